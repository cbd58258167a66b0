//! The steps of a lookup.

use alloc::borrow::ToOwned;
use core::hash::Hash;
use core::task::Waker;
use core::time::Duration;

use crate::machine::counted::Arc;
use crate::machine::error::{Error, Fault};
use crate::machine::event::Event;
use crate::machine::lookup::step::{Answer, Filling, Need, Release, Reply, Seen, Step};
use crate::machine::policy::call::Call;
use crate::machine::shard::{Ticket, Turn};
use crate::machine::tier::entry::Cached;
use crate::machine::tier::load::Load;
use crate::machine::tier::verb::{Extended, Filled};
use crate::ports::loader::LoadError;
use crate::unsync::clock::{Clock, Moment};
use crate::unsync::level2::Level2;
use crate::unsync::state::{Rest, State};

/// How a leader goes on.
pub(in crate::unsync) enum Next<V> {
    /// The loader is to be run.
    Load,
    /// Time is to pass.
    Pause(Duration),
    /// It leads no more; without an answer it follows now.
    Over(Option<Arc<Answer<V>>>),
}

impl<K: Hash + Eq + Clone, V: Clone, L: Level2<K, V>> State<K, V, L> {
    pub(in crate::unsync) fn join(
        &mut self,
        key: &K,
        call: Call,
        moment: Moment,
        rest: &mut Rest<K, V>,
    ) -> Ticket {
        let bucket = self.level2.bucket(key);
        let (ticket, _) = self.ask(moment, rest, |table, context, effects| {
            table.join(key.clone(), bucket, call, context, effects)
        });
        ticket
    }

    /// Does what a leader can do at once.
    pub(in crate::unsync) fn advance(
        &mut self,
        key: &K,
        ticket: &Ticket,
        mut reply: Reply<V>,
        clock: &mut dyn Clock,
        rest: &mut Rest<K, V>,
    ) -> Next<V> {
        let mut stood = false;
        loop {
            let moment = clock.moment();
            let step = self.ask(moment, rest, |table, context, effects| {
                if L::KIND.has_remote() {
                    table.step(ticket, context, reply, effects)
                } else {
                    table.step_without_l2(ticket, context, reply, effects)
                }
            });
            reply = match step {
                Step::ReadLocal => Reply::Local(self.local(key, moment.now, rest)),
                Step::WriteLocal { write, entry } => {
                    self.keep(key, entry, rest);
                    Reply::Kept(write)
                }
                Step::Ask(Need::Load) => return Next::Load,
                Step::Ask(Need::Pause(pause)) => return Next::Pause(pause),
                Step::Ask(Need::Read) => {
                    let read = self.read(key, rest);
                    stood = matches!(read, Ok(Some(_)));
                    Reply::Remote(read)
                }
                Step::Ask(Need::Lease { token, life }) => {
                    let granted = self.leases.ask(key, token, life, moment.now);
                    // Nobody else writes there: what was absent just now still is.
                    let again = stood.then(|| self.read(key, rest));
                    Reply::Leased(again.unwrap_or(Ok(None)).map(|seen| (granted, seen)))
                }
                Step::Ask(Need::Fill(filling)) => Reply::Stored(self.fill(key, &filling)),
                Step::Ask(Need::Extend(_)) => Reply::Extended(Ok(Extended::Unlike)),
                Step::Finish { answer, release } => {
                    self.release(key, release);
                    return Next::Over(Some(answer));
                }
                Step::Alone(answer) => return Next::Over(Some(Arc::new(answer))),
                Step::GiveUp | Step::Follow => return Next::Over(None),
            };
        }
    }

    /// The reply that a loader's result is. It may have said "unchanged" of what stands there.
    pub(in crate::unsync) fn loaded(
        &mut self,
        ticket: &Ticket,
        loaded: Result<Load<V>, Error>,
        moment: Moment,
        rest: &mut Rest<K, V>,
    ) -> Reply<V> {
        let stands = self.ask(moment, rest, |table, context, _| {
            table.standing(ticket, context)
        });
        let put_back = |load| match stands {
            Some(stands) => stands.put_back(load),
            None => load,
        };
        Reply::Loaded(loaded.map(put_back).and_then(Load::checked))
    }

    pub(in crate::unsync) fn poll(
        &mut self,
        ticket: &Ticket,
        waker: Waker,
        moment: Moment,
        rest: &mut Rest<K, V>,
    ) -> Turn<V> {
        self.ask(moment, rest, |table, context, effects| {
            table.poll(ticket, context, waker, effects)
        })
    }

    /// Another flight, since the answer of this one ended before its caller could have it.
    pub(in crate::unsync) fn rejoin(
        &mut self,
        ticket: Ticket,
        moment: Moment,
        rest: &mut Rest<K, V>,
    ) -> Ticket {
        let (ticket, _) = self.ask(moment, rest, |table, context, effects| {
            table.rejoin(ticket, context, effects)
        });
        ticket
    }

    pub(in crate::unsync) fn leave(
        &mut self,
        key: &K,
        ticket: Ticket,
        moment: Moment,
        rest: &mut Rest<K, V>,
    ) {
        let release = self.ask(moment, rest, |table, context, effects| {
            table.leave(ticket, context, effects)
        });
        self.release(key, release);
    }

    /// Nobody has the lease of this key.
    pub(in crate::unsync) fn free(&mut self, key: &K) {
        self.leases.revoke(key);
    }

    fn release(&mut self, key: &K, release: Option<Release>) {
        if let Some(release) = release {
            self.leases.spend(key, release.token);
        }
    }

    /// What L2 has. What cannot be read is a miss.
    pub(super) fn read(
        &mut self,
        key: &K,
        rest: &mut Rest<K, V>,
    ) -> Result<Option<Seen<V>>, Fault> {
        match self.level2.read(key)? {
            None => Ok(None),
            Some(Ok(seen)) => Ok(Some(seen)),
            Some(Err(why)) => {
                let key = "".into();
                rest.note(Event::Undecodable { key, why });
                Ok(None)
            }
        }
    }

    /// Fills L2, if no change has come in between (PROTOCOL.md, R2).
    fn fill(&mut self, key: &K, filling: &Filling<V>) -> Result<Filled, Fault> {
        if !self.leases.spend(key, filling.token) {
            return Ok(Filled::Refused);
        }
        (self.level2)
            .encode(filling.value.as_ref(), filling.mark.as_ref())
            .map_err(unencoded)?;
        self.level2.write(key, filling.times, filling.born)?;
        Ok(Filled::Stored)
    }
}

/// What a loader brings.
pub(in crate::unsync) fn brought<V, T: Into<Load<V>>>(
    loaded: Result<T, LoadError>,
) -> Result<Load<V>, Error> {
    loaded
        .map(Into::into)
        .map_err(|error| Error::Load(error.into_inner().into()))
}

/// Why a value cannot be sent to L2.
pub(super) fn unencoded(error: Error) -> Fault {
    match error {
        Error::TooLarge { .. } => Fault::TooLarge,
        _ => Fault::Encode("the codec cannot encode the value".to_owned().into()),
    }
}

/// The answer of a flight, for one caller.
pub(in crate::unsync) fn answered<K, V: Clone>(
    answer: &Answer<V>,
    rest: &mut Rest<K, V>,
) -> Result<Cached<V>, Error> {
    if let Ok(Cached::Stale(_)) = answer.outcome {
        rest.note(Event::Stale);
    }
    answer.outcome.clone()
}
