//! What a lookup does with what its loader brought: fill L2 with it, keep it in L1, answer it
//! (PROTOCOL.md, R2 and R3).

use core::time::Duration;

use crate::machine::error::{Error, Fault};
use crate::machine::event::Event;
use crate::machine::generations::tags::NO_TAGS;
use crate::machine::lookup::lease::Lease;
use crate::machine::lookup::step::{Answer, Filling, Need, Step};
use crate::machine::lookup::{Lookup, Move, Out, State, View};
use crate::machine::policy::pace::RefreshOutcome;
use crate::machine::tier::entry::{Cached, Entry};
use crate::machine::tier::load::Load;
use crate::machine::tier::mark::{Age, Note};
use crate::machine::tier::verb::{Announce, Filled, Times};
use crate::machine::time::Timestamp;
use crate::machine::token::Token;

impl<V: Clone> Lookup<V> {
    pub(super) fn on_loaded<const L2: bool>(
        &mut self,
        view: &View<'_>,
        began: Timestamp,
        loaded: Result<Load<V>, Error>,
        out: &mut Out<'_, V>,
    ) -> Move<V> {
        let took = view.now.since(began);
        let shown = self.shown.take();
        let loaded = loaded.and_then(Load::checked);
        let load = match loaded {
            Ok(load) => load,
            Err(error) => {
                self.outcome = RefreshOutcome::Failed;
                out.events.push(match error {
                    Error::Overloaded => Event::Overloaded { waited: took },
                    _ => Event::LoadFailed { took },
                });
                if let Some(entry) = self.due.take() {
                    return self.keep_due(view, entry);
                }
                if let Some(stale) = self.fail_over(view) {
                    return stale;
                }
                return self.finish(Answer::endless(Err(error)));
            }
        };
        if !load.tags.is_empty() && !view.policy.has_tags() {
            self.outcome = RefreshOutcome::Failed;
            out.events.push(Event::LoadFailed { took });
            out.spent.extend(load.value);
            return self.finish(Answer::endless(Err(no_tags())));
        }
        out.events.push(match load.value {
            Some(_) => Event::Loaded { took },
            None => Event::NotFound { took },
        });
        self.outcome = RefreshOutcome::Loaded;
        if self.call.aim.is_some() {
            out.events.push(Event::Refreshed);
        }
        let shown = shown.filter(|_| load.unchanged);
        if load.unchanged {
            out.events.push(Event::Unchanged);
        }
        let outcome = Ok(Cached::known(load.value.clone()));
        let lives = view.policy.lives(&self.call, &load, view.roll.bits());
        let tags = match &shown {
            Some(shown) if load.tags.is_empty() => shown.tags.clone(),
            _ => load.tags,
        };
        let Some(mut lives) = lives else {
            return self.finish(Answer::endless(outcome).tagged(&tags, self.stamp));
        };
        // What it brought may be older than the raise of one of its tags (T6).
        if view.generations.had_news(self.stamp, &tags) {
            return self.finish(Answer {
                until: view.now + lives.remote,
                loaded: Some(began),
                ..Answer::endless(outcome).tagged(&tags, self.stamp)
            });
        }
        // One that is too long is not kept, and the one before is not its mark any more.
        let before = shown.as_ref().filter(|_| !load.overlong);
        let mark = load.mark.or_else(|| before?.mark.clone());
        let header = shown.and_then(|shown| {
            let (header, life) = shown.extends(mark.as_ref(), &tags, &lives)?;
            lives.last(life);
            Some(header)
        });
        let answer = Answer {
            until: view.now + lives.remote,
            loaded: Some(began),
            ..Answer::endless(outcome).tagged(&tags, self.stamp)
        };
        let note = mark.map(|mark| Note::new(mark, Age::born(view.now)));
        let entry = lives.entry(load.value, view.now).noted(note);
        let entry = entry.tagged(&tags, self.stamp);
        // A load that took no time that can be measured still takes some.
        let cost = took.max(Duration::from_millis(1));
        let entry = view.policy.led(entry, cost, lives.remote, view.roll);
        match header {
            _ if !L2 => self.keep(view, entry, answer),
            Some(header) => self.extend(view, entry, answer, (lives.stale, cost), header),
            None => self.fill(view, entry, answer, (lives.stale, cost)),
        }
    }

    /// Fills L2, if it may.
    pub(super) fn fill(
        &mut self,
        view: &View<'_>,
        entry: Entry<V>,
        answer: Answer<V>,
        times: (Duration, Duration),
    ) -> Move<V> {
        let Some((token, times)) = self.may_fill(view, &answer, times) else {
            return self.keep(view, entry, answer);
        };
        let announce = self.announces(view);
        let (value, mark) = (
            entry.value().cloned(),
            entry.note().map(Note::mark).cloned(),
        );
        let tags = answer.tags.clone();
        self.state = State::Filling { entry, answer };
        Move::Do(Step::Ask(Need::Fill(Filling {
            token,
            value,
            mark,
            tags,
            born: self.born,
            times,
            announce,
        })))
    }

    /// The token that may fill L2 with this answer, and the answer's times: its window, and what its
    /// loading took, are given.
    pub(super) fn may_fill(
        &self,
        view: &View<'_>,
        answer: &Answer<V>,
        (stale, cost): (Duration, Duration),
    ) -> Option<(Token, Times)> {
        match self.lease.held() {
            // With strangers a superseded load does not fill: its lease does not show what they
            // removed.
            Some((token, since))
                if self.asks_l2(view) && !(view.superseded && view.policy.strangers) =>
            {
                let times = Times {
                    life: answer.until.since(view.now),
                    stale,
                    cost,
                    lease: view.policy.lease,
                    age: view.now.since(since),
                };
                (!times.life.is_zero()).then_some((token, times))
            }
            _ => None,
        }
    }

    /// A load is no change, and comes only where nothing stood; but a refresh replaces what others may
    /// have in L1. Among strangers all is told that jetcache-go tells.
    pub(super) fn announces(&self, view: &View<'_>) -> Announce {
        if self.call.aim.is_some() || view.policy.strangers {
            Announce::Yes
        } else {
            Announce::No
        }
    }

    pub(super) fn on_stored(
        &mut self,
        view: &View<'_>,
        entry: Entry<V>,
        answer: Answer<V>,
        stored: Result<Filled, Fault>,
        out: &mut Out<'_, V>,
    ) -> Move<V> {
        match stored {
            Ok(Filled::Stored) => {
                self.lease = Lease::None;
                self.keep(view, entry, answer)
            }
            // A change has taken the lease away, and its word has not come or will not; or L2 has
            // evicted it.
            Ok(Filled::Refused) => {
                self.lease = Lease::None;
                out.events.push(Event::FillRefused);
                let end = entry.expires().min(view.now + view.refused_ttl);
                let note = entry.note().cloned();
                let entry = Entry::new(entry.into_value(), end).noted(note);
                let entry = entry.tagged(&answer.tags, answer.stamp);
                self.keep(view, entry, answer)
            }
            Err(Fault::Encode(_)) => {
                out.events.push(Event::Unencodable);
                self.keep(view, entry, answer)
            }
            Err(Fault::TooLarge) => {
                out.events.push(Event::TooLarge);
                self.keep(view, entry, answer)
            }
            // A fill that is only late gives the lease back when it arrives. After any other fault
            // the lease is given back at the end.
            Err(fault) => {
                // L2 did not take it, so no other node can copy it.
                self.outcome = RefreshOutcome::Failed;
                if matches!(fault, Fault::Timeout) {
                    self.lease = Lease::None;
                }
                self.on_fault(fault, out);
                self.keep(view, entry, answer)
            }
        }
    }

    /// Only a flight that is still current writes L1, and only what none of whose tags was raised
    /// meanwhile.
    pub(super) fn keep(&mut self, view: &View<'_>, entry: Entry<V>, answer: Answer<V>) -> Move<V> {
        let wanted = view.policy.kind.has_local() && !self.call.skip_local;
        let outlived = view.generations.had_news(answer.stamp, &answer.tags);
        if view.superseded || outlived || !wanted || !entry.is_fresh(view.now) {
            return self.finish(answer);
        }
        self.state = State::Keeping { answer };
        Move::Keep(entry)
    }
}

/// Why a value with tags cannot be kept.
fn no_tags() -> Error {
    Error::config(NO_TAGS)
}
