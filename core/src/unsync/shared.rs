//! What the tasks of one executor share.

use core::cell::{Ref, RefCell};

use crate::unsync::state::{Counts, Rest, State};

pub(super) struct Shared<K, V, T, L> {
    state: RefCell<State<K, V, L>>,
    counts: Counts,
    pub(super) timer: T,
}

impl<K, V, T, L> Shared<K, V, T, L> {
    pub(super) const fn new(state: State<K, V, L>, timer: T) -> Self {
        Self {
            state: RefCell::new(state),
            counts: Counts::new(),
            timer,
        }
    }

    /// Wakers are woken, and values dropped, once nobody is inside.
    pub(super) fn with<R>(
        &self,
        question: impl FnOnce(&mut State<K, V, L>, &mut Rest<K, V>) -> R,
    ) -> R {
        let mut rest = Rest::default();
        let answer = question(&mut self.state.borrow_mut(), &mut rest);
        rest.carry_out(&self.counts);
        answer
    }

    pub(super) fn look(&self) -> Ref<'_, State<K, V, L>> {
        self.state.borrow()
    }

    pub(super) const fn counts(&self) -> &Counts {
        &self.counts
    }
}
