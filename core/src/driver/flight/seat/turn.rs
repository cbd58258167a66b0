//! Waits in a flight for its answer, or for the turn to lead.

use core::future::poll_fn;
use core::task::{Poll, Waker};
use std::sync::Arc;

use futures_util::FutureExt;

use crate::driver::flight::seat::{Seat, SharedAnswer};
use crate::driver::world::bounds::{CacheKey, CacheValue};
use crate::driver::world::erased::Boxed;
use crate::driver::world::timeout::TICK;
use crate::machine::error::Error;
use crate::machine::event::Event;
use crate::machine::lookup::step::Answer;
use crate::machine::shard::Turn;

impl<K: CacheKey, V: CacheValue> Seat<K, V> {
    /// Waits for the flight's answer. What ends before it can be handed out is looked up anew, in
    /// another flight. `None`: this seat is to lead.
    pub(crate) async fn turn(&mut self) -> Option<SharedAnswer<V>> {
        let mut timer: Option<Boxed<'static, ()>> = None;
        poll_fn(|cx| {
            loop {
                let until = match self.poll(cx.waker().clone()) {
                    Turn::Answer(answer) => {
                        self.note_wait();
                        return Poll::Ready(Some(answer));
                    }
                    Turn::Lead => {
                        self.note_wait();
                        return Poll::Ready(None);
                    }
                    Turn::Ended => {
                        self.rejoin();
                        continue;
                    }
                    Turn::Wait(until) => until,
                };
                if self.waits.is_none() && !self.follows_itself {
                    self.waits = Some(self.shared.runtime.now());
                }
                // Asked again when the leader counts as silent.
                timer = until.map(|until| {
                    let left = until.since(self.shared.runtime.now());
                    self.shared.runtime.sleep(left.max(TICK))
                });
                let rings = (timer.as_mut()).is_some_and(|alarm| alarm.poll_unpin(cx).is_ready());
                if !rings {
                    return Poll::Pending;
                }
            }
        })
        .await
    }

    fn poll(&self, waker: Waker) -> Turn<Arc<V>> {
        let Some(ticket) = &self.ticket else {
            return Turn::Answer(Arc::new(Answer::endless(Err(Error::Closed))));
        };
        self.shared
            .ask(self.address.shard, |table, context, effects| {
                table.poll(ticket, context, waker, effects)
            })
    }

    /// It waits no longer for what another loads, if it did: it has the answer, or is to lead.
    fn note_wait(&mut self) {
        if let Some(since) = self.waits.take() {
            let took = self.shared.runtime.now().since(since);
            self.shared.journal.note(&Event::Waited { took });
        }
    }

    fn rejoin(&mut self) {
        let Some(ticket) = self.ticket.take() else {
            return;
        };
        let (ticket, _) = self
            .shared
            .ask(self.address.shard, |table, context, effects| {
                table.rejoin(ticket, context, effects)
            });
        self.ticket = Some(ticket);
        self.follows_itself = false;
        self.rejoined += 1;
    }

    /// How often it left a flight for another one.
    pub(crate) const fn rejoined(&self) -> u32 {
        self.rejoined
    }
}
