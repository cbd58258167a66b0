//! What a tier holds for a key.

use core::time::Duration;

use core::sync::atomic::{AtomicUsize, Ordering};

use crate::machine::counted::Arc;
use crate::machine::generations::heard::Heard;
use crate::machine::generations::tags::Tags;
use crate::machine::policy::call::Call;
use crate::machine::tier::mark::Note;
use crate::machine::time::{self, Timestamp};

/// What L1 holds for a key: a value, or the not-found placeholder, and until when.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry<V> {
    value: Option<V>,
    expires: Timestamp,
    /// How long after that it may be served stale, in milliseconds.
    window: u32,
    /// Above zero: how long its life will have been over at `expires`, in milliseconds; it is stale
    /// already, and served because it could not be loaded anew. Below zero: how long before `expires`
    /// it is to be loaded anew.
    lag: i32,
    /// What is kept beside the value, if anything is. One pointer: most entries have none, and a hit
    /// clones it.
    beside: Option<Arc<Beside>>,
}

/// What is kept beside a value.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Beside {
    /// What a loader has kept with it.
    note: Option<Note>,
    tagged: Option<Tagged>,
}

/// The tags of an entry, and the count of the news when it was last known to be alive.
#[derive(Debug)]
struct Tagged {
    tags: Tags,
    stamp: AtomicUsize,
}

impl Clone for Tagged {
    fn clone(&self) -> Self {
        Self {
            tags: self.tags.clone(),
            stamp: AtomicUsize::new(self.stamp.load(Ordering::Relaxed)),
        }
    }
}

impl PartialEq for Tagged {
    fn eq(&self, other: &Self) -> bool {
        self.tags == other.tags
    }
}

impl Eq for Tagged {}

impl<V> Entry<V> {
    /// An entry that is served until `expires`. `None` is the not-found placeholder.
    pub const fn new(value: Option<V>, expires: Timestamp) -> Self {
        Self {
            value,
            expires,
            window: 0,
            lag: 0,
            beside: None,
        }
    }

    /// The same entry with the tags of its value, which is known to be alive as of this stamp.
    #[must_use]
    pub fn tagged(self, tags: &Tags, stamp: Heard) -> Self {
        let tagged = (!tags.is_empty()).then(|| Tagged {
            tags: tags.clone(),
            stamp: AtomicUsize::new(stamp.count()),
        });
        let note = self.note().cloned();
        self.with(Beside { note, tagged })
    }

    fn with(self, beside: Beside) -> Self {
        let something = beside.note.is_some() || beside.tagged.is_some();
        let beside = something.then(|| Arc::new(beside));
        Self { beside, ..self }
    }

    fn tags_beside(&self) -> Option<&Tagged> {
        self.beside.as_ref()?.tagged.as_ref()
    }

    /// The tags of its value.
    pub fn tags(&self) -> &Tags {
        self.tags_beside()
            .map_or(&Tags::NONE, |tagged| &tagged.tags)
    }

    /// As of which news it is known to be alive; `None` for one without tags, which the news that
    /// concern it remove.
    pub fn stamp(&self) -> Option<Heard> {
        let tagged = self.tags_beside()?;
        Some(Heard::new(tagged.stamp.load(Ordering::Relaxed)))
    }

    /// Whether it has nothing beside its value, and so no tags.
    #[inline(always)]
    pub const fn is_plain(&self) -> bool {
        self.beside.is_none()
    }

    /// Whether none of its tags was raised, when this much news was heard (PROTOCOL.md, T5).
    /// `had_news` says whether tags had news since a stamp; it is asked only if there was some.
    pub fn is_alive(&self, heard: Heard, had_news: impl FnOnce(Heard, &Tags) -> bool) -> bool {
        self.tags_beside()
            .is_none_or(|tagged| tagged.is_alive(heard, had_news))
    }

    /// The same entry, which may be served stale until then if it cannot be loaded anew. The window
    /// after its end is kept in whole milliseconds, 49 days at most.
    #[must_use]
    pub fn stale_until(self, until: Timestamp) -> Self {
        Self {
            window: whole_millis(until.since(self.expires)),
            ..self
        }
    }

    /// The same entry, marked as stale: it could not be loaded anew, and when this entry ends its life
    /// will have been over for so long.
    #[must_use]
    pub fn overdue(self, over: Duration) -> Self {
        Self {
            lag: millis(over),
            ..self
        }
    }

    /// The same entry, which a hit in the last part of its life has loaded anew: see
    /// [`is_due`](Self::is_due).
    #[must_use]
    pub fn with_lead(self, lead: Duration) -> Self {
        Self {
            lag: -millis(lead),
            ..self
        }
    }

    /// The same entry, which is not loaded anew before its end.
    #[must_use]
    pub(crate) fn without_lead(self) -> Self {
        Self {
            lag: self.lag.max(0),
            ..self
        }
    }

    /// Whether it is loaded anew before its end.
    pub const fn has_lead(&self) -> bool {
        self.lag < 0
    }

    /// Whether it is time to load it anew, though it is fresh still.
    pub fn is_due(&self, now: Timestamp) -> bool {
        let lead = Duration::from_millis(u64::from(self.lag.min(0).unsigned_abs()));
        self.lag < 0 && self.expires <= now + lead
    }

    /// The same entry with what is known of its value.
    #[must_use]
    pub(in crate::machine) fn noted(self, note: Option<Note>) -> Self {
        let note = note.filter(|_| self.value.is_some());
        if note.is_none() && self.beside.is_none() {
            return self;
        }
        let tagged = self.tags_beside().cloned();
        self.with(Beside { note, tagged })
    }

    pub(in crate::machine) fn note(&self) -> Option<&Note> {
        self.beside.as_ref()?.note.as_ref()
    }

    /// The mark that a loader has kept with the value.
    pub fn mark(&self) -> Option<&[u8]> {
        self.note().map(|note| note.mark().bytes())
    }

    /// How old its value is at `now`, if that is known: a value with a mark has it.
    pub fn age(&self, now: Timestamp) -> Option<Duration> {
        self.note().map(|note| note.age().by(now))
    }

    /// The same times, and the same mark, for another value.
    pub fn map<W>(self, f: impl FnOnce(V) -> W) -> Entry<W> {
        Entry {
            value: self.value.map(f),
            expires: self.expires,
            window: self.window,
            lag: self.lag,
            beside: self.beside,
        }
    }

    /// The value, or `None` for the not-found placeholder.
    pub const fn value(&self) -> Option<&V> {
        self.value.as_ref()
    }

    /// The value itself, or `None` for the not-found placeholder.
    pub fn into_value(self) -> Option<V> {
        self.value
    }

    /// The value itself, which it has no more then.
    #[inline]
    pub(crate) fn take_value(&mut self) -> Option<V> {
        self.value.take()
    }

    /// The same as an answer.
    pub fn into_cached(mut self) -> Cached<V> {
        self.take_cached()
    }

    #[inline]
    pub(crate) fn take_cached(&mut self) -> Cached<V> {
        let stale = self.is_stale();
        match self.take_value() {
            Some(value) if stale => Cached::Stale(value),
            value => Cached::known(value),
        }
    }

    /// When the entry stops being served.
    pub const fn expires(&self) -> Timestamp {
        self.expires
    }

    /// Whether the entry may be served at `now`.
    pub fn is_fresh(&self, now: Timestamp) -> bool {
        now < self.expires
    }

    /// Whether its life is over, and it is served because it could not be loaded anew.
    pub const fn is_stale(&self) -> bool {
        self.lag > 0
    }

    /// For how long its life will have been over when it [`expires`](Self::expires): nothing, unless
    /// it is stale already.
    pub fn over(&self) -> Duration {
        Duration::from_millis(u64::from(self.lag.max(0).unsigned_abs()))
    }

    /// Whether this call may be answered with it at `now`: it is fresh, and if it is stale, not for
    /// longer than the call allows.
    pub(crate) fn answers(&self, call: &Call, now: Timestamp) -> bool {
        let accepted = |window| now + self.over() < self.expires + window;
        self.is_fresh(now) && (!self.is_stale() || call.stale_for.is_none_or(accepted))
    }

    /// When it may not even be served stale any more: [`expires`](Self::expires), unless it has a
    /// window after that.
    pub fn stale_end(&self) -> Timestamp {
        self.expires + Duration::from_millis(u64::from(self.window))
    }
}

impl Tagged {
    fn is_alive(&self, heard: Heard, had_news: impl FnOnce(Heard, &Tags) -> bool) -> bool {
        let stamp = Heard::new(self.stamp.load(Ordering::Relaxed));
        if stamp == heard {
            return true;
        }
        if had_news(stamp, &self.tags) {
            return false;
        }
        // The count that was read before its tags were looked at.
        self.stamp.store(heard.count(), Ordering::Relaxed);
        true
    }
}

/// At least a millisecond, 24 days at most.
fn millis(span: Duration) -> i32 {
    i32::try_from(time::whole_millis(span))
        .unwrap_or(i32::MAX)
        .max(1)
}

fn whole_millis(span: Duration) -> u32 {
    u32::try_from(time::whole_millis(span)).unwrap_or(u32::MAX)
}

/// What a read found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Cached<V> {
    /// The value is cached.
    Hit(V),
    /// The value's life is over, but not its [`stale_for`](crate::Builder::stale_for), and it could
    /// not be loaded anew, or not in time.
    Stale(V),
    /// The cache knows that the key does not exist.
    Absent,
    /// The cache knows nothing about the key, or L2 could not answer.
    Miss,
}

impl<V> Cached<V> {
    /// What a tier or a loader says: a value, or that there is none.
    pub(crate) fn known(value: Option<V>) -> Self {
        value.map_or(Self::Absent, Self::Hit)
    }

    /// The value of a hit, a stale one too.
    pub fn hit(self) -> Option<V> {
        match self {
            Self::Hit(value) | Self::Stale(value) => Some(value),
            Self::Absent | Self::Miss => None,
        }
    }

    /// Whether a value was found, be it stale.
    pub const fn is_hit(&self) -> bool {
        matches!(self, Self::Hit(_) | Self::Stale(_))
    }

    /// Whether a value was found whose life is over.
    pub const fn is_stale(&self) -> bool {
        matches!(self, Self::Stale(_))
    }

    /// The same about a reference to the value.
    pub const fn as_ref(&self) -> Cached<&V> {
        match self {
            Self::Hit(value) => Cached::Hit(value),
            Self::Stale(value) => Cached::Stale(value),
            Self::Absent => Cached::Absent,
            Self::Miss => Cached::Miss,
        }
    }

    /// The same about another value.
    pub fn map<W>(self, f: impl FnOnce(V) -> W) -> Cached<W> {
        match self {
            Self::Hit(value) => Cached::Hit(f(value)),
            Self::Stale(value) => Cached::Stale(f(value)),
            Self::Absent => Cached::Absent,
            Self::Miss => Cached::Miss,
        }
    }
}
