//! One lookup of one key: told what happened, it answers what to do next (PROTOCOL.md, R1 to R3).

use alloc::vec::Vec;
use core::mem::take;
use core::time::Duration;

use crate::machine::error::{Error, Fault};
use crate::machine::event::Event;
use crate::machine::policy::pace::{Aim, Outcome};
use crate::machine::policy::{Call, Policy};
use crate::machine::table::writes::Write;
use crate::machine::tier::entry::{Cached, Entry, Load};
use crate::machine::tier::verb::Filled;
use crate::machine::time::Timestamp;
use crate::machine::token::Token;

/// The answer of a lookup, which loads what is missing: it is never [`Cached::Miss`].
pub type Answer<V> = Result<Cached<V>, Error>;

/// What to do next.
#[derive(Debug)]
#[must_use = "a step must be carried out and replied to"]
pub enum Step<V> {
    /// Look into L1; reply [`Reply::Local`].
    ReadLocal,
    /// Read L2; reply [`Reply::Remote`].
    ReadRemote,
    /// Ask L2 for the lease; reply [`Reply::Leased`].
    Lease {
        /// The token that is to hold it.
        token: Token,
        /// How long it stands.
        life: Duration,
    },
    /// Wait; reply [`Reply::Paused`].
    Pause(Duration),
    /// Run the loader, for `load_timeout` at most; reply [`Reply::Loaded`].
    Load,
    /// Encode and fill L2; reply [`Reply::Stored`].
    Fill {
        /// The token that holds the lease.
        token: Token,
        /// The value, or `None` for the not-found placeholder.
        value: Option<V>,
        /// How long the value is still fresh.
        life: Duration,
        /// The life the lease was given.
        lease: Duration,
        /// How old the lease is.
        age: Duration,
    },
    /// Write L1 at once, without any await; reply [`Reply::Kept`].
    WriteLocal {
        /// The announcement, which goes back with the reply.
        write: Write,
        /// What to write.
        entry: Entry<V>,
    },
    /// The flight has its answer: leave it and ask [`poll`](crate::machine::shard::Shard::poll) for it. A
    /// release is sent without waiting for its reply.
    Finish {
        /// The lease to be given back.
        release: Option<Token>,
    },
    /// The flight is a refresh that has nothing to do: leave it, whoever waits for it leads then.
    GiveUp,
    /// The leader was deposed while it loaded: this answers it alone, and is kept nowhere.
    Alone(Answer<V>),
    /// The leader was deposed: it follows now. A lease that it was just granted is
    /// [late](crate::machine::shard::Shard::late_lease).
    Follow,
}

/// What happened.
#[derive(Debug)]
pub enum Reply<V> {
    /// Nothing yet: the caller leads.
    Begin,
    /// What L1 holds.
    Local(Option<Entry<V>>),
    /// What L2 holds.
    Remote(Result<Option<Seen<V>>, Fault>),
    /// Whether the lease was granted, and what L2 held at that moment.
    Leased(Result<(bool, Option<Seen<V>>), Fault>),
    /// The pause is over.
    Paused,
    /// What the loader brought.
    Loaded(Result<Load<V>, Error>),
    /// Whether L2 took the value.
    Stored(Result<Filled, Fault>),
    /// The write is done.
    Kept(Write),
}

/// A readable entry of L2: its value, or `None` for the placeholder, and what is left of its life.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen<V> {
    /// The value, or `None` for the not-found placeholder.
    pub value: Option<V>,
    /// What was left of its life when it was read; zero is not fresh.
    pub left: Duration,
    /// How long ago its life began, if that is known.
    pub age: Option<Duration>,
}

/// What a lookup may know of the world at a step.
#[derive(Debug)]
pub(super) struct View<'a> {
    pub(super) now: Timestamp,
    pub(super) dice: u128,
    pub(super) policy: &'a Policy,
    /// Whether the flight is nobody's any more.
    pub(super) superseded: bool,
    /// Whether L2 may be read and filled.
    pub(super) l2: bool,
}

/// Where a lookup puts what is to be told, and dropped, outside the lock.
pub(super) struct Out<'a, V> {
    pub(super) events: &'a mut Vec<Event>,
    pub(super) spent: &'a mut Vec<V>,
}

/// What the lookup wants of its flight.
pub(super) enum Move<V> {
    Do(Step<V>),
    Keep(Entry<V>),
    Finish(Answer<V>, Option<Token>),
    GiveUp,
}

#[derive(Debug)]
pub(super) struct Lookup<V> {
    call: Call,
    state: State<V>,
    lease: Lease,
    /// After its first L2 fault a lookup sends L2 nothing more.
    faulted: bool,
    /// When another's lease was first in the way.
    waits_since: Option<Timestamp>,
    refusals: u32,
    /// What became of a refresh so far.
    outcome: Outcome,
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
    },
    Pausing,
    Loading {
        began: Timestamp,
    },
    Filling {
        entry: Entry<V>,
    },
    Keeping {
        answer: Answer<V>,
    },
    Done,
}

/// What the flight has of the lease.
#[derive(Clone, Copy, Debug)]
enum Lease {
    None,
    Asked(Token),
    Held { token: Token, since: Timestamp },
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
            outcome: Outcome::Passed,
        }
    }

    /// The same lookup begun anew for the next leader, with its wishes. What it knows of L2, the
    /// lease above all, stays the flight's.
    pub(super) fn restarted(&self, call: Call) -> Self {
        Self {
            call,
            state: State::Fresh,
            lease: self.lease,
            faulted: self.faulted,
            waits_since: self.waits_since,
            refusals: self.refusals,
            outcome: Outcome::Passed,
        }
    }

    /// What became of it, if it is a refresh.
    pub(super) fn outcome(&self) -> Option<Outcome> {
        self.call.aim.map(|_| self.outcome)
    }

    /// The token with which the lease was asked for last, granted or not.
    fn token(&self) -> Option<Token> {
        match self.lease {
            Lease::None => None,
            Lease::Asked(token) | Lease::Held { token, .. } => Some(token),
        }
    }

    /// The lease was granted after its asker had gone. The flight takes it if it would ask next;
    /// one that began to load without it must not fill with it. Whether it has it now.
    pub(super) fn on_late_lease(&mut self, token: Token, now: Timestamp) -> bool {
        let may_ask = matches!(
            self.state,
            State::Fresh | State::Local { .. } | State::Remote { .. }
        );
        let taken = may_ask && !self.faulted && self.token() == Some(token);
        if taken {
            self.lease = Lease::Held { token, since: now };
        }
        taken
    }

    pub(super) fn step(
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
            (State::Remote { sent }, Reply::Remote(read)) => self.on_remote(view, sent, read, out),
            (State::Leasing { sent }, Reply::Leased(leased)) => {
                self.on_leased(view, sent, leased, out)
            }
            (State::Pausing, Reply::Paused) => self.ask_lease(view, out),
            (State::Loading { began }, Reply::Loaded(loaded)) => {
                self.on_loaded(view, began, loaded, out)
            }
            (State::Filling { entry }, Reply::Stored(stored)) => {
                self.on_stored(view, entry, stored, out)
            }
            (State::Keeping { answer }, Reply::Kept(_)) => self.finish(answer),
            // A reply that belongs to no step: the driver is wrong, and its caller must not hang.
            (_, _) => self.finish(Err(Error::Closed)),
        }
    }

    fn on_begin(&mut self, view: &View<'_>, out: &mut Out<'_, V>) -> Move<V> {
        if let Some(aim) = self.call.aim {
            return self.begin_refresh(view, aim, out);
        }
        if view.policy.kind.has_local() && !self.call.skip_local {
            return self.look();
        }
        self.read_remote(view, out)
    }

    /// A refresh looks neither into L1 nor, unless it is only to copy, at L2 before it asks for the
    /// lease. Without an L2 there is nobody to share the work with.
    fn begin_refresh(&mut self, view: &View<'_>, aim: Aim, out: &mut Out<'_, V>) -> Move<V> {
        let kind = view.policy.kind;
        if !kind.has_remote() || self.call.skip_remote {
            return self.load(view, out);
        }
        match aim {
            Aim::Younger(_) | Aim::Load => self.ask_lease(view, out),
            Aim::Copy if kind.has_local() && !self.call.skip_local => self.read_remote(view, out),
            Aim::Copy => self.give_up(Outcome::Copied(None)),
        }
    }

    fn look(&mut self) -> Move<V> {
        self.state = State::Local { swept: false };
        Move::Do(Step::ReadLocal)
    }

    /// L1 lost the key. What a look under way finds may have been there before: it looks again.
    pub(super) fn on_swept(&mut self) {
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
        match found {
            Some(entry) if entry.is_fresh(view.now) => {
                out.events.push(Event::LocalHit);
                self.finish(Ok(cached(entry.into_value())))
            }
            ended => {
                out.spent.extend(ended.and_then(Entry::into_value));
                out.events.push(Event::LocalMiss);
                self.read_remote(view, out)
            }
        }
    }

    /// Reads L2, or does without it.
    fn read_remote(&mut self, view: &View<'_>, out: &mut Out<'_, V>) -> Move<V> {
        if self.asks_l2(view) {
            self.state = State::Remote { sent: view.now };
            return Move::Do(Step::ReadRemote);
        }
        self.do_without(view, out)
    }

    fn on_remote(
        &mut self,
        view: &View<'_>,
        sent: Timestamp,
        read: Result<Option<Seen<V>>, Fault>,
        out: &mut Out<'_, V>,
    ) -> Move<V> {
        let took = view.now.since(sent);
        match read {
            Ok(Some(seen)) if !seen.left.is_zero() => self.take_seen(view, sent, seen, out),
            Ok(ended) => {
                out.spent.extend(ended.and_then(|seen| seen.value));
                if self.call.aim.is_some() {
                    return self.give_up(Outcome::Copied(None));
                }
                out.events.push(Event::RemoteMiss { took });
                if !self.call.no_store {
                    return self.ask_lease(view, out);
                }
                self.load(view, out)
            }
            Err(fault) => {
                self.on_fault(fault, out);
                self.do_without(view, out)
            }
        }
    }

    fn ask_lease(&mut self, view: &View<'_>, out: &mut Out<'_, V>) -> Move<V> {
        if !self.asks_l2(view) {
            return self.do_without(view, out);
        }
        if let Lease::Held { since, .. } = self.lease
            && view.now.since(since) < view.policy.lease
        {
            return self.load(view, out);
        }
        // A token is asked for once. Asked twice it could be granted once more after a change had
        // taken it away, and a value that is older than the change would pass for a newer one.
        let token = Token::from_bits(view.dice);
        self.lease = Lease::Asked(token);
        self.state = State::Leasing { sent: view.now };
        Move::Do(Step::Lease {
            token,
            life: view.policy.lease,
        })
    }

    fn on_leased(
        &mut self,
        view: &View<'_>,
        sent: Timestamp,
        leased: Result<(bool, Option<Seen<V>>), Fault>,
        out: &mut Out<'_, V>,
    ) -> Move<V> {
        let (granted, found) = match leased {
            Ok(answer) => answer,
            Err(fault) => {
                self.on_lost_lease(&fault, view.now);
                self.on_fault(fault, out);
                return self.do_without(view, out);
            }
        };
        match (granted, self.lease) {
            (true, Lease::Asked(token)) => {
                self.lease = Lease::Held {
                    token,
                    since: view.now,
                }
            }
            (_, _) => self.lease = Lease::None,
        }
        let (fresh, ended) = match found {
            Some(seen) if seen.left.is_zero() || self.is_old(&seen) => (None, seen.value),
            fresh => (fresh, None),
        };
        out.spent.extend(ended);
        if let Some(seen) = fresh {
            return self.take_seen(view, sent, seen, out);
        }
        if self.call.aim.is_some() && view.superseded {
            return self.give_up(Outcome::Passed);
        }
        if granted {
            return self.load(view, out);
        }
        self.wait_for_lease(view, out)
    }

    /// Another node loads: ask again after a pause, for `lease_wait` at most.
    fn wait_for_lease(&mut self, view: &View<'_>, out: &mut Out<'_, V>) -> Move<V> {
        let since = *self.waits_since.get_or_insert(view.now);
        let left = view.policy.lease_wait.saturating_sub(view.now.since(since));
        if left.is_zero() && self.call.aim.is_some() {
            return self.give_up(Outcome::Passed);
        }
        if left.is_zero() {
            return self.load(view, out);
        }
        let pause = (FIRST_PAUSE * (1 << self.refusals.min(8))).min(LONGEST_PAUSE);
        self.refusals += 1;
        self.state = State::Pausing;
        Move::Do(Step::Pause(pause.min(left)))
    }

    /// A fresh entry of L2: it goes to L1 for what is left of its life, counted from the moment the
    /// read was sent.
    fn take_seen(
        &mut self,
        view: &View<'_>,
        sent: Timestamp,
        seen: Seen<V>,
        out: &mut Out<'_, V>,
    ) -> Move<V> {
        self.outcome = Outcome::Copied(seen.age);
        out.events.push(match self.call.aim {
            Some(_) => Event::Copied,
            None => Event::RemoteHit {
                took: view.now.since(sent),
            },
        });
        let end = view
            .policy
            .local_end(&self.call, sent, seen.left, view.dice);
        let answer = Ok(cached(seen.value.clone()));
        if self.call.no_store {
            return self.finish(answer);
        }
        self.keep(view, Entry::new(seen.value, end), answer)
    }

    /// Whether a refresh does not make do with this value.
    fn is_old(&self, seen: &Seen<V>) -> bool {
        self.call.aim.is_some_and(|aim| !aim.copies(seen.age))
    }

    /// L2 is not asked any more. A refresh that has no lease loads nothing: the whole fleet might.
    fn do_without(&mut self, view: &View<'_>, out: &mut Out<'_, V>) -> Move<V> {
        if self.call.aim.is_some() {
            return self.give_up(Outcome::Failed);
        }
        self.load(view, out)
    }

    /// A refresh leaves the tiers as they are.
    fn give_up(&mut self, outcome: Outcome) -> Move<V> {
        self.state = State::Done;
        self.outcome = outcome;
        Move::GiveUp
    }

    fn load(&mut self, view: &View<'_>, out: &mut Out<'_, V>) -> Move<V> {
        if self.call.aim.is_none() {
            out.events.push(Event::Miss);
        }
        self.state = State::Loading { began: view.now };
        Move::Do(Step::Load)
    }

    fn on_loaded(
        &mut self,
        view: &View<'_>,
        began: Timestamp,
        loaded: Result<Load<V>, Error>,
        out: &mut Out<'_, V>,
    ) -> Move<V> {
        let took = view.now.since(began);
        let load = match loaded {
            Ok(load) => load,
            Err(error) => {
                self.outcome = Outcome::Failed;
                out.events.push(Event::LoadFailed { took });
                return self.finish(Err(error));
            }
        };
        out.events.push(match load.value {
            Some(_) => Event::Loaded { took },
            None => Event::NotFound { took },
        });
        self.outcome = Outcome::Loaded;
        if self.call.aim.is_some() {
            out.events.push(Event::Refreshed);
        }
        let answer = Ok(cached(load.value.clone()));
        let Some(lives) = view.policy.lives(&self.call, &load, view.dice) else {
            return self.finish(answer);
        };
        let entry = Entry::new(load.value, view.now + lives.local);
        match self.lease {
            Lease::Held { token, since }
                if self.asks_l2(view) && !(view.superseded && view.policy.strangers) =>
            {
                let value = entry.value().cloned();
                self.state = State::Filling { entry };
                Move::Do(Step::Fill {
                    token,
                    value,
                    life: lives.remote,
                    lease: view.policy.lease,
                    age: view.now.since(since),
                })
            }
            Lease::None | Lease::Asked(_) | Lease::Held { .. } => self.keep(view, entry, answer),
        }
    }

    fn on_stored(
        &mut self,
        view: &View<'_>,
        entry: Entry<V>,
        stored: Result<Filled, Fault>,
        out: &mut Out<'_, V>,
    ) -> Move<V> {
        let answer = Ok(cached(entry.value().cloned()));
        match stored {
            Ok(Filled::Stored) => {
                self.lease = Lease::None;
                self.keep(view, entry, answer)
            }
            Ok(Filled::Refused) => {
                self.lease = Lease::None;
                self.finish(answer)
            }
            Err(Fault::Encode(_)) => {
                out.events.push(Event::Unencodable);
                self.keep(view, entry, answer)
            }
            Err(Fault::TooLarge) => {
                out.events.push(Event::TooLarge);
                self.keep(view, entry, answer)
            }
            // One that is only late gives the lease back when it arrives; for any other, the lease
            // is given back at the end.
            Err(fault) => {
                // A refresh that L2 did not take is one for nobody else.
                self.outcome = Outcome::Failed;
                if matches!(fault, Fault::Timeout) {
                    self.lease = Lease::None;
                }
                self.on_fault(fault, out);
                self.keep(view, entry, answer)
            }
        }
    }

    /// Only a flight that is still current writes L1.
    fn keep(&mut self, view: &View<'_>, entry: Entry<V>, answer: Answer<V>) -> Move<V> {
        let wanted = view.policy.kind.has_local() && !self.call.skip_local;
        if view.superseded || !wanted || !entry.is_fresh(view.now) {
            return self.finish(answer);
        }
        self.state = State::Keeping { answer };
        Move::Keep(entry)
    }

    /// The lease stays the flight's until here: a leader that is deposed or dropped on the way
    /// leaves it to the next one.
    fn finish(&mut self, answer: Answer<V>) -> Move<V> {
        self.state = State::Done;
        Move::Finish(answer, self.give_back())
    }

    /// The lease that this flight has and does not need any more. One whose reply never came is
    /// given back by whoever still listens for the reply.
    pub(super) fn give_back(&mut self) -> Option<Token> {
        match self.lease {
            Lease::Held { token, .. } => {
                self.lease = Lease::None;
                Some(token)
            }
            Lease::None | Lease::Asked(_) => None,
        }
    }

    fn asks_l2(&self, view: &View<'_>) -> bool {
        view.policy.kind.has_remote() && view.l2 && !self.faulted && !self.call.skip_remote
    }

    /// A lease that failed may stand all the same, and is given back at the end. Of one that is only
    /// late, somebody still awaits the reply.
    fn on_lost_lease(&mut self, fault: &Fault, now: Timestamp) {
        if let (Lease::Asked(token), false) = (self.lease, matches!(fault, Fault::Timeout)) {
            self.lease = Lease::Held { token, since: now };
        }
    }

    fn on_fault(&mut self, fault: Fault, out: &mut Out<'_, V>) {
        self.faulted = true;
        out.events.push(Event::RemoteFault(fault));
    }
}

impl<V> Step<V> {
    /// How long the step may take before its leader counts as silent.
    pub(super) fn limit(&self, policy: &Policy) -> Duration {
        match self {
            Self::ReadRemote | Self::Lease { .. } | Self::Fill { .. } => policy.remote_timeout,
            Self::Load => policy.load_timeout,
            Self::Pause(pause) => *pause,
            Self::ReadLocal
            | Self::WriteLocal { .. }
            | Self::Finish { .. }
            | Self::GiveUp
            | Self::Alone(_)
            | Self::Follow => Duration::ZERO,
        }
    }
}

pub(super) fn cached<V>(value: Option<V>) -> Cached<V> {
    value.map_or(Cached::Absent, Cached::Hit)
}

const FIRST_PAUSE: Duration = Duration::from_millis(2);
const LONGEST_PAUSE: Duration = Duration::from_millis(100);
