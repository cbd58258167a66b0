//! What a loader brings.

use core::fmt;
use core::time::Duration;

use crate::machine::counted::Arc;
use crate::machine::error::Error;
use crate::machine::generations::tags::{Tags, TooManyTags};
use crate::machine::tier::mark::Mark;

/// What a loader brings: a value or "does not exist", and how long to keep it.
///
/// A loader may return `V`, `Option<V>` or a `Load<V>`; the first two keep the cache's own times.
///
/// ```
/// # use jetcache_core::doc::runtime as jetcache_tokio;
/// use core::time::Duration;
/// use jetcache_tokio::Load;
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
    pub(crate) stale_for: Option<Duration>,
    pub(crate) kept: bool,
    /// What is to be kept with the value.
    pub(crate) mark: Option<Mark>,
    /// It was too long for that.
    pub(crate) overlong: bool,
    /// The tags of the value.
    pub(crate) tags: Tags,
    /// There were too many of them.
    pub(crate) overtagged: bool,
    /// The value is the one that stood there and was shown to the loader. There is no value here until
    /// the driver has put it back.
    pub(crate) unchanged: bool,
}

impl<V> Load<V> {
    fn new(value: Option<V>) -> Self {
        Self {
            value,
            ttl: None,
            local_ttl: None,
            stale_for: None,
            kept: true,
            mark: None,
            overlong: false,
            tags: Tags::NONE,
            overtagged: false,
            unchanged: false,
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

    /// How long after its TTL this value may be served when it cannot be loaded anew, in place of the
    /// cache's `stale_for` and of the call's. Zero for not at all.
    #[must_use]
    pub fn stale_for(mut self, window: Duration) -> Self {
        self.stale_for = Some(window);
        self
    }

    /// The value that stood there, and was [shown](crate::Standing) to the loader, is still right: it
    /// counts as loaded just now, with its whole life ahead, and is not sent to L2 again. Its mark stays,
    /// unless this brings another one. Times that were set for the value itself, such as
    /// [`ttl`](Self::ttl), are to be set here again: otherwise those of the call or of the cache hold.
    ///
    /// Only a loader that was shown a value may say so. From any other the load fails with
    /// [`NothingStands`].
    ///
    /// ```
    /// # use jetcache_core::doc::runtime as jetcache_tokio;
    /// use jetcache_tokio::{Load, LoadError, Standing};
    ///
    /// # struct Page; struct Response { status: u16, etag: String }
    /// # impl Response { async fn page(self) -> Result<Page, std::io::Error> { Ok(Page) } }
    /// # async fn fetch(_: Option<&str>) -> Result<Response, std::io::Error> { Err(std::io::Error::other("")) }
    /// async fn load(standing: Option<Standing<Page>>) -> Result<Load<Page>, LoadError> {
    ///     let etag = standing.as_ref().and_then(|standing| standing.mark_text());
    ///     let response = fetch(etag).await?;
    ///     if response.status == 304 {
    ///         return Ok(Load::unchanged());
    ///     }
    ///     let etag = response.etag.clone();
    ///     Ok(Load::from(response.page().await?).mark(etag))
    /// }
    /// # let _ = load;
    /// ```
    #[must_use]
    pub fn unchanged() -> Self {
        Self {
            unchanged: true,
            ..Self::new(None)
        }
    }

    /// Keeps a mark with the value, in both tiers: an etag, a version, a date, at most 1024 bytes, which
    /// an L1 that is bounded by bytes does not count. A
    /// writer's answer may have one, too. The next loader that is [shown](crate::Standing) the value is shown its mark as well.
    ///
    /// A longer one is not kept, which the log says; nor is the mark of what does not exist, and in
    /// [`Wire::JetcacheGo`](crate::Wire::JetcacheGo) L2 has no room for any.
    #[must_use]
    pub fn mark(mut self, mark: impl AsRef<[u8]>) -> Self {
        self.mark = Mark::new(mark.as_ref());
        self.overlong = self.mark.is_none();
        self
    }

    /// Gives the value tags, 64 at most, in place of those it had: whoever
    /// [raises](crate::Cache::invalidate_tag) one of them removes the value from every tier of every
    /// node. A load with more of them fails with [`Error::TooManyTags`]. What does not exist may have
    /// tags, too. In [`Wire::JetcacheGo`](crate::Wire::JetcacheGo) there are none: such a load fails with
    /// [`Error::Config`].
    ///
    /// A tag is any text. Removal by prefix is a tag as well: give the value the prefixes by which it is to
    /// be found. The [guide to tags](crate::guide::tags) has more.
    ///
    /// ```
    /// # use jetcache_core::doc::runtime as jetcache_tokio;
    /// use jetcache_tokio::Load;
    ///
    /// # let (shop, user, order) = (3, 7, "order");
    /// let load = Load::from(order).tags([format!("shop:{shop}"), format!("user:{user}")]);
    /// # let _ = load;
    /// ```
    #[must_use]
    pub fn tags<T: AsRef<str>>(mut self, tags: impl IntoIterator<Item = T>) -> Self {
        let tags = Tags::of(tags);
        self.overtagged = tags.is_err();
        self.tags = tags.unwrap_or_default();
        self
    }

    /// Answer the callers, and keep the value in no tier.
    #[must_use]
    pub fn uncached(mut self) -> Self {
        self.kept = false;
        self
    }

    /// The load itself, by a loader that was shown nothing.
    ///
    /// # Errors
    /// [`NothingStands`].
    pub(crate) fn of_nothing_shown(self) -> Result<Self, NothingStands> {
        let nothing = self.unchanged && self.value.is_none();
        if nothing {
            Err(NothingStands)
        } else {
            Ok(self)
        }
    }

    /// The load itself, unless it says that a value is unchanged which nobody has put back, or has too
    /// many tags.
    ///
    /// # Errors
    /// [`NothingStands`] as an [`Error::Load`], [`Error::TooManyTags`].
    pub(crate) fn checked(self) -> Result<Self, Error> {
        if self.overtagged {
            return Err(Error::TooManyTags(TooManyTags));
        }
        Ok(self.of_nothing_shown()?)
    }

    /// The same with another value, for instance one that is cheaper to clone.
    pub fn map<W>(self, f: impl FnOnce(V) -> W) -> Load<W> {
        Load {
            value: self.value.map(f),
            ttl: self.ttl,
            local_ttl: self.local_ttl,
            stale_for: self.stale_for,
            kept: self.kept,
            mark: self.mark,
            overlong: self.overlong,
            tags: self.tags,
            overtagged: self.overtagged,
            unchanged: self.unchanged,
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

/// Why a load failed whose loader said [`unchanged`](Load::unchanged): no value was shown to it. The
/// loader is to bring the value itself when it is given no [`Standing`](crate::Standing).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct NothingStands;

impl fmt::Display for NothingStands {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(
            "the loader said `unchanged`, and no value was shown to it: load the value where no \
             `Standing` is given, and in batches and writers always",
        )
    }
}

impl core::error::Error for NothingStands {}

impl From<NothingStands> for Error {
    fn from(error: NothingStands) -> Self {
        Self::Load(Arc::new(error))
    }
}
