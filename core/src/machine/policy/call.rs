//! The wishes of one call, in place of the cache's settings.

use core::time::Duration;

use crate::machine::error::Error;
use crate::machine::generations::tags::{Tags, TooManyTags};
#[cfg(feature = "std")]
use crate::machine::policy::outage::Outage;
use crate::machine::policy::pace::Aim;

/// One call's own wishes, in place of the cache's settings.
///
/// A caller that joins a flight takes that flight's answer: its wishes apply only if it leads.
///
/// ```
/// # use jetcache_core::doc::runtime as jetcache_tokio;
/// use core::time::Duration;
/// use jetcache_tokio::Call;
///
/// let call = Call::new().ttl(Duration::from_secs(30)).skip_local();
/// # let _ = call;
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
#[must_use]
pub struct Call {
    pub(crate) ttl: Option<Duration>,
    pub(crate) local_ttl: Option<Duration>,
    pub(crate) stale_for: Option<Duration>,
    pub(crate) soft_timeout: Option<Duration>,
    pub(crate) skip_local: bool,
    pub(crate) skip_remote: bool,
    pub(crate) no_store: bool,
    pub(crate) refresh: bool,
    /// The tags of what a change stores.
    pub(crate) tags: Tags,
    /// There were too many of them.
    overtagged: bool,
    /// What it does not find is looked up once more, and counted then.
    pub(crate) looked_up_again: bool,
    /// The lookup is a refresh.
    pub(in crate::machine) aim: Option<Aim>,
}

impl Call {
    /// A call like any other.
    pub const fn new() -> Self {
        Self {
            ttl: None,
            local_ttl: None,
            stale_for: None,
            soft_timeout: None,
            skip_local: false,
            skip_remote: false,
            no_store: false,
            refresh: false,
            tags: Tags::NONE,
            overtagged: false,
            looked_up_again: false,
            aim: None,
        }
    }

    /// How long the value is fresh. Zero means that it is not kept at all, as
    /// [`Load::ttl`](crate::Load::ttl) has it; an insert that would keep nothing is refused.
    pub const fn ttl(mut self, ttl: Duration) -> Self {
        self.ttl = Some(ttl);
        self
    }

    /// How long L1 keeps the value at most. Zero means that L1 does not keep it, as
    /// [`Load::local_ttl`](crate::Load::local_ttl) has it; what L1 has already is still answered, unless
    /// the call has [`skip_local`](Self::skip_local).
    pub const fn local_ttl(mut self, ttl: Duration) -> Self {
        self.local_ttl = Some(ttl);
        self
    }

    /// How long after its TTL the value that this call brings may be served when it cannot be loaded
    /// anew; and the longest after its TTL that a value answers this call, also if it joins another's
    /// flight. Zero: this call is never given a stale value, and what it brings is never served stale.
    pub const fn stale_for(mut self, window: Duration) -> Self {
        self.stale_for = Some(window);
        self
    }

    /// How long this call waits if there is a stale value, in place of the cache's
    /// [`soft_timeout`](crate::Builder::soft_timeout). With zero it does not wait at all.
    pub const fn soft_timeout(mut self, span: Duration) -> Self {
        self.soft_timeout = Some(span);
        self
    }

    /// Neither read nor write L1. A change removes the key from it.
    pub const fn skip_local(mut self) -> Self {
        self.skip_local = true;
        self
    }

    /// Neither read nor write L2. A change removes the key from it.
    pub const fn skip_remote(mut self) -> Self {
        self.skip_remote = true;
        self
    }

    /// Answer, and keep what was found or loaded in no tier. On a change it is an error.
    pub const fn no_store(mut self) -> Self {
        self.no_store = true;
        self
    }

    /// Keep the key fresh from now on: every `refresh_every` one node of the fleet loads it anew
    /// with the registered loader, and the others copy the value from L2, until nobody has asked
    /// for it for `stop_refresh_after`. The latest call's other wishes hold for the refreshes too.
    ///
    /// It is for calls that load; others ignore it. It needs
    /// [`refresh_every`](crate::Builder::refresh_every) and a registered loader.
    pub const fn refresh(mut self) -> Self {
        self.refresh = true;
        self
    }

    /// Gives the inserted or written value tags, 64 at most: see [`Load::tags`](crate::Load::tags). More
    /// are refused when the call is made. It is for changes; a value that is loaded has the tags that its
    /// loader gives it.
    pub fn tags<T: AsRef<str>>(mut self, tags: impl IntoIterator<Item = T>) -> Self {
        let tags = Tags::of(tags);
        self.overtagged = tags.is_err();
        self.tags = tags.unwrap_or_default();
        self
    }

    /// The wishes of a refresh.
    pub(in crate::machine) const fn refreshing(mut self, aim: Aim) -> Self {
        self.aim = Some(aim);
        self
    }

    /// The wishes of a first look, after which what was not found is looked up as by any call.
    #[cfg(feature = "std")]
    pub(crate) const fn first_look(mut self) -> Self {
        self.looked_up_again = true;
        self
    }

    /// The wishes for the rest of a call: without L2 if it is away.
    #[cfg(feature = "std")]
    pub(crate) fn within(self, outage: Outage) -> Self {
        if outage.is_away() {
            self.skip_remote()
        } else {
            self
        }
    }

    /// Checks the wishes of a read; a driver calls it first.
    ///
    /// # Errors
    /// [`Error::Config`] for wishes that contradict each other.
    pub(crate) fn check(&self) -> Result<(), Error> {
        if self.refresh && (self.no_store || self.keeps_nothing()) {
            return Err(Error::config(
                "refresh, and no_store or a ttl of zero: leave one of them out, what is kept nowhere is \
                 not refreshed",
            ));
        }
        Ok(())
    }

    fn keeps_nothing(&self) -> bool {
        self.ttl.is_some_and(|ttl| ttl.is_zero())
    }

    /// Checks the wishes of a write-through; a driver calls it first.
    ///
    /// # Errors
    /// [`Error::Config`] for wishes that no write-through can fulfil, [`Error::TooManyTags`].
    #[cfg(feature = "std")]
    pub(crate) fn check_write(&self) -> Result<(), Error> {
        self.check_any_change()?;
        if self.skip_remote {
            return Err(Error::config(
                "skip_remote on a write_through: L2 is what orders its writers; write the row, and \
                 then use invalidate",
            ));
        }
        Ok(())
    }

    /// Checks the wishes of an insert; a driver calls it first.
    ///
    /// # Errors
    /// [`Error::Config`] for wishes that no insert can fulfil, [`Error::TooManyTags`].
    pub(crate) fn check_insert(&self, conditional: bool) -> Result<(), Error> {
        self.check_any_change()?;
        if self.keeps_nothing() {
            return Err(Error::config(
                "the ttl of an insert is zero: give it a duration above zero, or use invalidate to remove \
                 the key",
            ));
        }
        if conditional && self.skip_remote {
            return Err(Error::config(
                "skip_remote on a conditional insert: L2 is what judges the condition",
            ));
        }
        Ok(())
    }

    fn check_any_change(&self) -> Result<(), Error> {
        self.check()?;
        if self.overtagged {
            return Err(Error::TooManyTags(TooManyTags));
        }
        if self.no_store {
            return Err(Error::config(
                "no_store on a change: use invalidate to remove the key",
            ));
        }
        Ok(())
    }
}
