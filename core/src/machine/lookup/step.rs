//! The steps of a lookup: what they need of the world, the replies, the answer.

use alloc::boxed::Box;
use core::time::Duration;

use crate::machine::counted::Arc;
use crate::machine::error::{Error, Fault};
use crate::machine::generations::Generations;
use crate::machine::generations::heard::Heard;
use crate::machine::generations::scope;
use crate::machine::generations::tags::Tags;
use crate::machine::policy::Policy;
use crate::machine::policy::call::Call;
use crate::machine::table::writes::Write;
use crate::machine::tier::entry::{Cached, Entry};
use crate::machine::tier::envelope::Header;
use crate::machine::tier::load::Load;
use crate::machine::tier::mark::{Age, Mark, Note};
use crate::machine::tier::verb::{Announce, Extended, Filled, Granted, Times};
use crate::machine::time::Timestamp;
use crate::machine::token::Token;

/// The answer of a lookup, and who may still be given it when.
#[derive(Clone, Debug)]
pub struct Answer<V> {
    /// The answer itself. A lookup loads what is missing: it is never [`Cached::Miss`].
    pub outcome: Result<Cached<V>, Error>,
    /// When the value's life ends.
    pub until: Timestamp,
    /// When its loading began, if the flight loaded it.
    pub loaded: Option<Timestamp>,
    /// Of a stale value: a point in time, and for how long its life was over then.
    pub over: Option<(Timestamp, Duration)>,
    /// The tags of the value.
    pub tags: Tags,
    /// As of which news it is known to be alive.
    pub stamp: Heard,
    /// One of its scopes had news since then: it is for those who came before, and for nobody else
    /// (PROTOCOL.md, T6).
    pub outlived: bool,
}

impl<V> Answer<V> {
    /// A value that was found, and lives until then.
    pub(in crate::machine) fn found(value: Option<V>, until: Timestamp) -> Self {
        Self {
            outcome: Ok(Cached::known(value)),
            until,
            loaded: None,
            over: None,
            tags: Tags::NONE,
            stamp: Heard::new(0),
            outlived: false,
        }
    }

    /// A value which may be served stale until then, and whose life was over for so long at that
    /// point in time.
    pub(in crate::machine) const fn stale(
        value: V,
        until: Timestamp,
        over: (Timestamp, Duration),
    ) -> Self {
        Self {
            outcome: Ok(Cached::Stale(value)),
            until,
            loaded: None,
            over: Some(over),
            tags: Tags::NONE,
            stamp: Heard::new(0),
            outlived: false,
        }
    }

    /// What ends never: an error, or a value that is kept nowhere.
    pub const fn endless(outcome: Result<Cached<V>, Error>) -> Self {
        Self {
            outcome,
            until: Timestamp::MAX,
            loaded: None,
            over: None,
            tags: Tags::NONE,
            stamp: Heard::new(0),
            outlived: false,
        }
    }

    /// The same with the tags of the value, which is known to be alive as of this stamp.
    pub(in crate::machine) fn tagged(self, tags: &Tags, stamp: Heard) -> Self {
        let tags = tags.clone();
        Self {
            tags,
            stamp,
            ..self
        }
    }

    /// Whether it may be handed out at `now` for a call that came at `came`: while its life lasts,
    /// and afterwards to those who came before its loading began. Nothing could be fresher for them,
    /// and with a life shorter than the write to L2 takes they would load for ever. A stale one also
    /// only to a call that takes values which are stale for so long.
    #[must_use]
    pub fn is_good(&self, call: &Call, came: Timestamp, now: Timestamp) -> bool {
        let taken = match (self.over, call.stale_for) {
            (Some((at, over)), Some(window)) => now + over < at + window,
            (_, _) => true,
        };
        taken && (now < self.until || self.loaded.is_some_and(|began| came <= began))
    }
}

/// What to do next.
#[derive(Debug)]
#[must_use = "a step must be carried out and replied to"]
pub enum Step<V> {
    /// Look into L1; reply [`Reply::Local`].
    ReadLocal,
    /// Write L1 at once, without any await; reply [`Reply::Kept`].
    WriteLocal {
        /// The announcement, which goes back with the reply.
        write: Write,
        /// What to write.
        entry: Entry<V>,
    },
    /// Ask the world.
    Ask(Need<V>),
    /// The flight has its answer: leave it. A release is sent without waiting for its reply.
    Finish {
        /// The answer, as everyone who waits gets it; clone what it holds outside the lock.
        answer: Arc<Answer<V>>,
        /// The lease to be given back.
        release: Option<Release>,
    },
    /// A refresh has nothing to do: leave the flight. The longest waiter leads then.
    GiveUp,
    /// The leader was deposed while it loaded: this answers it alone, and is kept nowhere.
    Alone(Answer<V>),
    /// The leader was deposed: it follows now. A lease that it was just granted is
    /// [late](crate::machine::shard::Shard::late_lease).
    Follow,
}

/// A lease that is to be renewed while the loader runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Renewal {
    /// Its token.
    pub token: Token,
    /// When.
    pub at: Timestamp,
    /// How long it stands then.
    pub life: Duration,
}

/// A lease that is given back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Release {
    /// Its token.
    pub token: Token,
    /// For how long nobody is to load, because the holder's load failed.
    pub failing: Option<Duration>,
}

impl Release {
    /// The lease of this token, which anybody may have next.
    #[must_use]
    pub const fn of(token: Token) -> Self {
        Self {
            token,
            failing: None,
        }
    }
}

/// What a lookup needs of the world.
#[derive(Debug)]
pub enum Need<V> {
    /// Read L2; reply [`Reply::Remote`].
    Read,
    /// Ask L2 for the lease; reply [`Reply::Leased`].
    Lease {
        /// The token that is to hold it.
        token: Token,
        /// How long it stands.
        life: Duration,
    },
    /// Let time pass; reply [`Reply::Paused`].
    Pause(Duration),
    /// Run the loader, for `load_timeout` at most; reply [`Reply::Loaded`].
    Load,
    /// Encode the value and fill L2; reply [`Reply::Stored`].
    Fill(Filling<V>),
    /// Renew the life of the value in L2, which is unchanged; reply [`Reply::Extended`].
    Extend(Box<Extension>),
}

/// A value on its way to L2.
#[derive(Debug)]
pub struct Filling<V> {
    /// The token that holds the lease.
    pub token: Token,
    /// The value, or `None` for the not-found placeholder.
    pub value: Option<V>,
    /// What is kept with the value.
    pub mark: Option<Mark>,
    /// Its tags.
    pub tags: Tags,
    /// Under which number it was loaded.
    pub born: scope::Mark,
    /// Its times.
    pub times: Times,
    /// Whether the others hear of it.
    pub announce: Announce,
}

/// A value of L2 whose life is to be renewed.
#[derive(Debug)]
pub struct Extension {
    /// The token that holds the lease.
    pub token: Token,
    /// What must still stand there.
    pub header: Header,
    /// Its times.
    pub times: Times,
    /// Whether the others hear of it.
    pub announce: Announce,
}

/// A value that stands there, as its loader is shown it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stands<V> {
    /// The value.
    pub value: V,
    /// How long ago its life began, if that is known.
    pub age: Option<Duration>,
    /// What was kept with it.
    pub mark: Option<Mark>,
}

impl<V: Clone> Stands<V> {
    /// What the loader brought: if it said `unchanged`, this value.
    #[must_use]
    pub fn put_back(&self, load: Load<V>) -> Load<V> {
        match load.unchanged {
            true => Load {
                value: Some(self.value.clone()),
                ..load
            },
            false => load,
        }
    }
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
    /// What became of the lease, and what L2 held at that moment.
    Leased(Result<(Granted, Option<Seen<V>>), Fault>),
    /// The pause is over.
    Paused,
    /// What the loader brought.
    Loaded(Result<Load<V>, Error>),
    /// Whether L2 took the value.
    Stored(Result<Filled, Fault>),
    /// Whether L2 has renewed the value.
    Extended(Result<Extended, Fault>),
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
    /// For how long its life was over then; zero as long as something is left.
    pub over: Duration,
    /// How long after its life it may be served stale, if the entry says that.
    pub window: Option<Duration>,
    /// How long it took to load the value; zero if nobody knows.
    pub cost: Duration,
    /// How long ago its life began, if that is known; of a value whose life is over, its whole life.
    pub age: Option<Duration>,
    /// What was kept with the value.
    pub mark: Option<Mark>,
    /// Its tags.
    pub tags: Tags,
    /// Under which number it was loaded; `None` in a format that has none, where nothing is dead.
    pub born: Option<scope::Mark>,
    /// How it stands there, if it may have to be extended: its life is over, or a refresh looks.
    pub header: Option<Header>,
}

impl<V> Seen<V> {
    /// Whether it is still fresh at `now`, its life counted from the moment at which the read was
    /// sent.
    pub(in crate::machine) fn is_fresh(&self, sent: Timestamp, now: Timestamp) -> bool {
        now < sent + self.left
    }

    /// Whether it is dead to a node that knows these raises: its key is in this bucket.
    pub(in crate::machine) fn is_dead(&self, bucket: u16, generations: &Generations) -> bool {
        let is_dead = |born| generations.is_dead(born, &self.tags, bucket);
        self.born.is_some_and(is_dead)
    }

    /// How old it is: it was read at `sent`.
    pub(in crate::machine) fn aged(&self, sent: Timestamp) -> Option<Age> {
        let then = self.age?.saturating_add(self.over);
        Some(Age { at: sent, then })
    }

    /// Its mark as an entry of L1 has it, if it has one. It is taken.
    pub(in crate::machine) fn note(&mut self, sent: Timestamp) -> Option<Note> {
        let mark = self.mark.take()?;
        let age = self.aged(sent).unwrap_or(Age::born(sent));
        Some(Note::new(mark, age))
    }

    /// Until when it may be served stale. An entry that does not say it, in the jetcache-go format,
    /// has the window of this cache.
    pub(in crate::machine) fn stale_end(&self, sent: Timestamp, policy: &Policy) -> Timestamp {
        sent + self.left + self.stale_for(policy).saturating_sub(self.over)
    }

    /// Until when L1 may serve a copy of it stale that it serves until `end`. Without a window not at
    /// all, however long L2 keeps it: `local_ttl` is a promise.
    pub(in crate::machine) fn copy_end(
        &self,
        end: Timestamp,
        sent: Timestamp,
        policy: &Policy,
    ) -> Timestamp {
        if self.stale_for(policy).is_zero() {
            return end;
        }
        self.stale_end(sent, policy)
    }

    fn stale_for(&self, policy: &Policy) -> Duration {
        match &self.value {
            Some(_) => self.window.unwrap_or(policy.stale_for),
            None => Duration::ZERO,
        }
    }
}

impl<V> Step<V> {
    /// How long the step may take before its leader counts as silent.
    pub(in crate::machine) fn limit(&self, policy: &Policy) -> Duration {
        match self {
            Self::Ask(Need::Read | Need::Lease { .. } | Need::Fill(_) | Need::Extend(_)) => {
                policy.remote_timeout
            }
            // A renewal may be on its way when the loader ends.
            Self::Ask(Need::Load) => policy.load_timeout.saturating_add(policy.remote_timeout),
            Self::Ask(Need::Pause(pause)) => *pause,
            Self::ReadLocal
            | Self::WriteLocal { .. }
            | Self::Finish { .. }
            | Self::GiveUp
            | Self::Alone(_)
            | Self::Follow => Duration::ZERO,
        }
    }
}
