//! What a tier holds for a key, and what a loader brings.

use core::time::Duration;

use crate::machine::time::Timestamp;

/// What L1 holds for a key: a value, or the not-found placeholder, and until when.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry<V> {
    value: Option<V>,
    expires: Timestamp,
}

impl<V> Entry<V> {
    /// An entry that is served until `expires`. `None` is the not-found placeholder.
    pub const fn new(value: Option<V>, expires: Timestamp) -> Self {
        Self { value, expires }
    }

    /// The value, or `None` for the not-found placeholder.
    pub const fn value(&self) -> Option<&V> {
        self.value.as_ref()
    }

    /// The value itself, or `None` for the not-found placeholder.
    pub fn into_value(self) -> Option<V> {
        self.value
    }

    /// When the entry stops being served.
    pub const fn expires(&self) -> Timestamp {
        self.expires
    }

    /// Whether the entry may be served at `now`.
    pub fn is_fresh(&self, now: Timestamp) -> bool {
        now < self.expires
    }
}

/// What a read without a loader found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Cached<V> {
    /// The value is cached.
    Hit(V),
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

    /// The value of a hit.
    pub fn hit(self) -> Option<V> {
        match self {
            Self::Hit(value) => Some(value),
            Self::Absent | Self::Miss => None,
        }
    }

    /// Whether a value was found.
    pub const fn is_hit(&self) -> bool {
        matches!(self, Self::Hit(_))
    }
}

/// What a loader brings: a value or "does not exist", and how long to keep it.
///
/// A loader may return `V`, `Option<V>` or a `Load<V>`; the first two keep the cache's own times.
///
/// ```
/// use core::time::Duration;
/// use jetcache_core::Load;
///
/// let load = Load::from("value").ttl(Duration::from_secs(5));
/// let absent: Load<&str> = None.into();
/// let once = Load::from("secret").uncached();
/// # let _ = (load, absent, once);
/// ```
#[derive(Clone, Debug)]
pub struct Load<V> {
    pub(crate) value: Option<V>,
    pub(crate) ttl: Option<Duration>,
    pub(crate) local_ttl: Option<Duration>,
    pub(crate) kept: bool,
}

impl<V> Load<V> {
    fn new(value: Option<V>) -> Self {
        Self {
            value,
            ttl: None,
            local_ttl: None,
            kept: true,
        }
    }

    /// How long this value is fresh, in place of the cache's `ttl` (or `negative_ttl`) and of the
    /// call's. Zero means that it is not kept at all.
    #[must_use]
    pub fn ttl(mut self, ttl: Duration) -> Self {
        self.ttl = Some(ttl);
        self
    }

    /// How long this node's L1 keeps the loaded value at most, in place of the cache's `local_ttl`
    /// and of the call's. Zero means that L1 does not keep it. A later read that finds the value in
    /// L2 keeps it by the cache's `local_ttl` again.
    #[must_use]
    pub fn local_ttl(mut self, ttl: Duration) -> Self {
        self.local_ttl = Some(ttl);
        self
    }

    /// Answer the callers, and keep the value in no tier.
    #[must_use]
    pub fn uncached(mut self) -> Self {
        self.kept = false;
        self
    }

    /// The same with another value, for instance one that is cheaper to clone.
    pub fn map<W>(self, f: impl FnOnce(V) -> W) -> Load<W> {
        Load {
            value: self.value.map(f),
            ttl: self.ttl,
            local_ttl: self.local_ttl,
            kept: self.kept,
        }
    }
}

impl<V> From<V> for Load<V> {
    fn from(value: V) -> Self {
        Self::new(Some(value))
    }
}

impl<V> From<Option<V>> for Load<V> {
    fn from(value: Option<V>) -> Self {
        Self::new(value)
    }
}
