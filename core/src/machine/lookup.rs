//! One lookup of one key: given what happened, it answers what to do next (PROTOCOL.md, R1 to R3).

mod fallback;
mod lease;
mod leasing;
mod loaded;
mod reading;
mod refresh;
mod shown;
mod stale;
mod standing;
pub mod step;

use alloc::vec::Vec;
use core::mem::take;
use core::time::Duration;

use crate::machine::error::{Error, Fault};
use crate::machine::event::Event;
use crate::machine::generations::Generations;
use crate::machine::generations::heard::Heard;
use crate::machine::generations::scope::Mark;
use crate::machine::lookup::fallback::Fallback;
use crate::machine::lookup::lease::Lease;
use crate::machine::lookup::shown::Shown;
use crate::machine::lookup::step::{Answer, Need, Release, Reply, Step};
use crate::machine::policy::Policy;
use crate::machine::policy::call::Call;
use crate::machine::policy::pace::{Aim, RefreshOutcome};
use crate::machine::table::luck::Luck;
use crate::machine::tier::entry::Entry;
use crate::machine::time::Timestamp;
use crate::machine::token::Roll;

/// What a lookup may know of the world at a step.
#[derive(Debug)]
pub(super) struct View<'a> {
    pub(super) now: Timestamp,
    pub(super) roll: Roll<'a>,
    pub(super) policy: &'a Policy,
    /// When the leader came.
    pub(super) came: Timestamp,
    /// Whether the flight is nobody's any more.
    pub(super) superseded: bool,
    /// Whether something may be about to be removed from L1.
    pub(super) sweeping: bool,
    /// Whether somebody else is about to write the key into L1.
    pub(super) writing: bool,
    /// Whether L2 may be read and filled.
    pub(super) l2: bool,
    /// How long L1 may keep a loaded value that L2 refused.
    pub(super) refused_ttl: Duration,
    /// What was raised.
    pub(super) generations: &'a Generations,
}

/// Where a lookup leaves events to note, and values to drop, once the lock is open, and what it has learnt.
pub(super) struct Out<'a, V> {
    pub(super) events: &'a mut Vec<Event>,
    pub(super) spent: &'a mut Vec<V>,
    pub(super) luck: &'a mut Luck,
    /// There is a stale value now: who waits may want it.
    pub(super) found_stale: bool,
}

/// What the lookup wants of its flight.
pub(super) enum Move<V> {
    Do(Step<V>),
    Keep(Entry<V>),
    Finish(Answer<V>, Option<Release>),
    GiveUp,
}

#[derive(Debug)]
pub(super) struct Lookup<V> {
    call: Call,
    state: State<V>,
    lease: Lease,
    /// After its first L2 fault a lookup sends L2 nothing more.
    faulted: bool,
    /// When somebody else's lease was first in the way.
    waits_since: Option<Timestamp>,
    refusals: u32,
    /// What may be answered if nothing fresh can be had.
    fallback: Option<Fallback<V>>,
    /// What L2 showed last, if it can be extended. L1 may have the same for a little longer, or something
    /// newer: whether it is still right is the loader's to say.
    in_l2: Option<Fallback<V>>,
    /// What the loader was shown.
    shown: Option<Shown>,
    /// What L1 has, and is to be loaded anew before its end.
    due: Option<Entry<V>>,
    /// Whether that may be shown to the loader: not if L2 has lost it, and no bus would tell of that.
    due_stands: bool,
    /// Somebody else has put a fresh value into L1 meanwhile.
    fed: bool,
    /// For how long nobody else need try, since the load has failed.
    failing: Option<Duration>,
    /// What became of a refresh so far.
    outcome: RefreshOutcome,
    /// Under which number its loading began, or that of the value that it has found.
    born: Mark,
    /// As of which news what it has is alive.
    stamp: Heard,
}

#[derive(Debug, Default)]
enum State<V> {
    #[default]
    Fresh,
    Local {
        /// L1 lost the key since it was to be looked at.
        swept: bool,
    },
    Remote {
        sent: Timestamp,
    },
    Leasing {
        sent: Timestamp,
        /// It has not read L2 before.
        first: bool,
    },
    Pausing,
    Loading {
        began: Timestamp,
    },
    Filling {
        entry: Entry<V>,
        answer: Answer<V>,
    },
    /// As `Filling`, but L2 has the value already; its window, and what its loading took.
    Extending {
        entry: Entry<V>,
        answer: Answer<V>,
        stale: Duration,
        cost: Duration,
    },
    Keeping {
        answer: Answer<V>,
    },
    Done,
}

impl<V: Clone> Lookup<V> {
    pub(super) fn new(call: Call) -> Self {
        Self {
            call,
            state: State::Fresh,
            lease: Lease::None,
            faulted: false,
            waits_since: None,
            refusals: 0,
            fallback: None,
            in_l2: None,
            shown: None,
            due: None,
            due_stands: true,
            fed: false,
            failing: None,
            outcome: RefreshOutcome::Passed,
            born: Mark::NONE,
            stamp: Heard::default(),
        }
    }

    /// The same lookup, restarted for the next leader with that leader's wishes. What it knows of
    /// L2, above all the lease, belongs to the flight and stays.
    pub(super) fn restarted(&self, call: Call) -> Self {
        Self {
            call,
            state: State::Fresh,
            lease: self.lease,
            // A leader that vanished in the middle of a renewal leaves a lease of unknown age.
            faulted: self.faulted || self.lease.is_renewing(),
            waits_since: self.waits_since,
            refusals: self.refusals,
            fallback: self.fallback.clone(),
            in_l2: self.in_l2.clone(),
            shown: None,
            due: None,
            due_stands: true,
            fed: self.fed,
            failing: None,
            outcome: RefreshOutcome::Passed,
            born: Mark::NONE,
            stamp: Heard::default(),
        }
    }

    /// What became of it, if it is a refresh.
    pub(super) fn outcome(&self) -> Option<RefreshOutcome> {
        self.call.aim.map(|_| self.outcome)
    }

    /// What comes next. Without an L2 what L2 says belongs to no step, and is not compiled: on a
    /// microcontroller it would cost five kilobytes.
    pub(super) fn step<const L2: bool>(
        &mut self,
        view: &View<'_>,
        reply: Reply<V>,
        out: &mut Out<'_, V>,
    ) -> Move<V> {
        match (take(&mut self.state), reply) {
            (State::Fresh, Reply::Begin) => self.on_begin(view, out),
            (State::Local { swept: true }, Reply::Local(Some(entry))) => {
                out.spent.extend(entry.into_value());
                self.look()
            }
            (State::Local { .. }, Reply::Local(found)) => self.on_local(view, found, out),
            (State::Remote { sent }, Reply::Remote(read)) if L2 => {
                self.on_remote(view, sent, read, out)
            }
            (State::Leasing { sent, first }, Reply::Leased(leased)) if L2 => {
                self.on_leased(view, (sent, first), leased, out)
            }
            (State::Pausing, Reply::Paused) if L2 => self.ask_lease(view, out),
            (State::Loading { began }, Reply::Loaded(loaded)) => {
                self.on_loaded::<L2>(view, began, loaded, out)
            }
            (State::Filling { entry, answer }, Reply::Stored(stored)) if L2 => {
                self.on_stored(view, entry, answer, stored, out)
            }
            (
                State::Extending {
                    entry,
                    answer,
                    stale,
                    cost,
                },
                Reply::Extended(extended),
            ) if L2 => self.on_extended(view, entry, answer, (stale, cost), extended, out),
            (State::Keeping { answer }, Reply::Kept(_)) => self.finish(answer),
            // A reply that belongs to no step: the driver is wrong, and its caller must not hang.
            (_, _) => self.finish(Answer::endless(Err(Error::Closed))),
        }
    }

    fn on_begin(&mut self, view: &View<'_>, out: &mut Out<'_, V>) -> Move<V> {
        if let Some(aim) = self.call.aim {
            return self.begin_refresh(view, aim, out);
        }
        if view.policy.kind.has_local() && !self.call.skip_local {
            return self.look();
        }
        self.look_remote(view, out)
    }

    fn look(&mut self) -> Move<V> {
        self.state = State::Local { swept: false };
        Move::Do(Step::ReadLocal)
    }

    /// Whether it knows nothing of the key yet, and looks before it loads.
    pub(super) fn is_to_look(&self) -> bool {
        matches!(
            self.state,
            State::Fresh | State::Local { .. } | State::Pausing
        )
    }

    /// Whether it has neither found anything that it may still answer, nor begun to load. (What L1 has
    /// shown is buried when L1 is swept.)
    pub(super) fn has_nothing(&self) -> bool {
        let looks = self.is_to_look();
        self.due.is_none()
            && (looks || matches!(self.state, State::Remote { .. } | State::Leasing { .. }))
    }

    /// L1 lost the key. A look under way may still find the old entry, so it looks again; what an
    /// earlier look has found is dead.
    pub(super) fn on_swept(&mut self) {
        let dead = self.fallback.iter_mut().chain(&mut self.in_l2);
        dead.for_each(Fallback::bury);
        if let State::Local { swept } = &mut self.state {
            *swept = true;
        }
    }

    fn on_local(
        &mut self,
        view: &View<'_>,
        found: Option<Entry<V>>,
        out: &mut Out<'_, V>,
    ) -> Move<V> {
        let found = match found {
            Some(entry)
                if !entry.is_alive(view.generations.heard(), |stamp, tags| {
                    view.generations.had_news(stamp, tags)
                }) =>
            {
                out.events.push(Event::DeadInL1);
                out.spent.extend(entry.into_value());
                None
            }
            found => found,
        };
        match self.call.aim {
            Some(Aim::Eager) => return self.on_due(view, found, out),
            Some(_) => return self.on_standing(view, found, out),
            None => {}
        }
        match found {
            Some(entry) if entry.answers(&self.call, view.now) => {
                out.events.push(Event::LocalHit);
                self.finish(answer_of(entry, view.generations.heard()))
            }
            ended => {
                out.events.push(Event::LocalMiss);
                let found = ended.map_or(Err(None), |entry| {
                    let heard = view.generations.heard();
                    Fallback::of_l1(entry, view.sweeping, heard, view.now)
                });
                self.fall_back_on(found, out);
                self.look_remote(view, out)
            }
        }
    }

    /// Goes on without L2. A refresh without the lease does not load, or every node of the
    /// fleet might.
    fn do_without(&mut self, view: &View<'_>, out: &mut Out<'_, V>) -> Move<V> {
        if self.call.aim.is_some() {
            return self.give_up(RefreshOutcome::Failed);
        }
        self.load(view, out)
    }

    /// Ends a refresh; the tiers stay as they are.
    fn give_up(&mut self, outcome: RefreshOutcome) -> Move<V> {
        self.state = State::Done;
        self.outcome = outcome;
        Move::GiveUp
    }

    fn load(&mut self, view: &View<'_>, out: &mut Out<'_, V>) -> Move<V> {
        if self.call.aim.is_none() {
            out.events.push(Event::Miss);
        }
        self.state = State::Loading { began: view.now };
        self.born = view.generations.born();
        self.stamp = view.generations.heard();
        Move::Do(Step::Ask(Need::Load))
    }

    /// The flight keeps its lease until here, so that a leader that is deposed or dropped on the
    /// way leaves it to the next one.
    fn finish(&mut self, answer: Answer<V>) -> Move<V> {
        self.state = State::Done;
        Move::Finish(answer, self.give_back())
    }

    /// The lease that this flight has and does not need any more.
    pub(super) fn give_back(&mut self) -> Option<Release> {
        let token = self.lease.give_back()?;
        let failing = self.failing.take();
        Some(Release { token, failing })
    }

    fn asks_l2(&self, view: &View<'_>) -> bool {
        view.policy.kind.has_remote() && view.l2 && !self.faulted && !self.call.skip_remote
    }

    fn on_fault(&mut self, fault: Fault, out: &mut Out<'_, V>) {
        self.faulted = true;
        out.events.push(Event::RemoteFault(fault));
    }
}

/// The answer that an entry of L1 is, which was found alive when this much news was heard.
fn answer_of<V>(entry: Entry<V>, heard: Heard) -> Answer<V> {
    let (until, over) = (entry.expires(), entry.over());
    let (tags, stamp) = (entry.tags().clone(), entry.stamp().unwrap_or(heard));
    let answer = match entry.into_value() {
        Some(value) if !over.is_zero() => Answer::stale(value, until, (until, over)),
        value => Answer::found(value, until),
    };
    answer.tagged(&tags, stamp)
}
