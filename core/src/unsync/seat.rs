//! The seat of a task in a flight. Dropping it always leaves the flight.

use core::future::poll_fn;
use core::hash::Hash;
use core::task::Poll;
use core::time::Duration;

use crate::machine::counted::Arc;
use crate::machine::error::Error;
use crate::machine::lookup::step::{Answer, Reply};
use crate::machine::policy::call::Call;
use crate::machine::shard::{Ticket, Turn};
use crate::machine::tier::load::Load;
use crate::unsync::level2::Level2;
use crate::unsync::shared::Shared;
use crate::unsync::state::lookup::Next;
use crate::unsync::timer::Timer;
use crate::unsync::within::within;

pub(super) struct Seat<'a, K: Hash + Eq + Clone, V: Clone, T: Timer, L: Level2<K, V>> {
    shared: &'a Shared<K, V, T, L>,
    key: K,
    /// There until it is left.
    ticket: Option<Ticket>,
}

/// The answer of a flight, shared by all who waited for it.
pub(super) type SharedAnswer<V> = Arc<Answer<V>>;

impl<'a, K: Hash + Eq + Clone, V: Clone, T: Timer, L: Level2<K, V>> Seat<'a, K, V, T, L> {
    pub(super) fn join(shared: &'a Shared<K, V, T, L>, key: K, call: Call) -> Self {
        let moment = shared.timer.moment();
        let ticket = shared.with(|state, rest| state.join(&key, call, moment, rest));
        Self {
            shared,
            key,
            ticket: Some(ticket),
        }
    }

    /// Waits for the flight's answer. What ends before it can be handed out is looked up anew. `None`:
    /// this seat is to lead.
    pub(super) async fn turn(&mut self) -> Option<SharedAnswer<V>> {
        loop {
            let until = match poll_fn(|cx| Poll::Ready(self.poll(cx.waker()))).await {
                Turn::Answer(answer) => return Some(answer),
                Turn::Lead => return None,
                Turn::Ended => {
                    self.rejoin();
                    continue;
                }
                Turn::Wait(until) => until,
            };
            // Asked again when it is woken, or when the leader counts as silent.
            let now = self.shared.timer.moment().now;
            let left = until.map_or(Duration::MAX, |until| until.since(now).max(TICK));
            within(self.shared.timer.sleep(left), woken()).await;
        }
    }

    fn poll(&self, waker: &core::task::Waker) -> Turn<V> {
        let moment = self.shared.timer.moment();
        match &self.ticket {
            Some(ticket) => {
                (self.shared).with(|state, rest| state.poll(ticket, waker.clone(), moment, rest))
            }
            None => Turn::Answer(closed()),
        }
    }

    fn rejoin(&mut self) {
        let moment = self.shared.timer.moment();
        if let Some(ticket) = self.ticket.take() {
            let ticket = (self.shared).with(|state, rest| state.rejoin(ticket, moment, rest));
            self.ticket = Some(ticket);
        }
    }

    /// Does what a leader can do at once.
    pub(super) fn advance(&self, reply: Reply<V>) -> Next<V> {
        let mut clock = || self.shared.timer.moment();
        match &self.ticket {
            Some(ticket) => (self.shared)
                .with(|state, rest| state.advance(&self.key, ticket, reply, &mut clock, rest)),
            None => Next::Over(Some(closed())),
        }
    }

    /// The reply that a loader's result is.
    pub(super) fn loaded(&self, loaded: Result<Load<V>, Error>) -> Reply<V> {
        let moment = self.shared.timer.moment();
        match &self.ticket {
            Some(ticket) => {
                (self.shared).with(|state, rest| state.loaded(ticket, loaded, moment, rest))
            }
            None => Reply::Loaded(loaded),
        }
    }
}

impl<K: Hash + Eq + Clone, V: Clone, T: Timer, L: Level2<K, V>> Drop for Seat<'_, K, V, T, L> {
    fn drop(&mut self) {
        let moment = self.shared.timer.moment();
        if let Some(ticket) = self.ticket.take() {
            (self.shared).with(|state, rest| state.leave(&self.key, ticket, moment, rest));
        }
    }
}

fn closed<V>() -> SharedAnswer<V> {
    Arc::new(Answer::endless(Err(Error::Closed)))
}

/// Completes when its task is polled again.
async fn woken() {
    let mut again = false;
    poll_fn(|_| match core::mem::replace(&mut again, true) {
        true => Poll::Ready(()),
        false => Poll::Pending,
    })
    .await;
}

/// What a timer is set to at least: a shorter sleep could end before the clock has moved.
const TICK: Duration = Duration::from_millis(1);
