//! Removing by tag, and everything: on all nodes, and in L2.

use core::hash::Hash;
use std::sync::Arc;

use crate::driver::cache::Cache;
use crate::driver::generations::raise::raise;
use crate::driver::shared::Shared;
use crate::machine::change::Reach;
use crate::machine::error::Error;
use crate::machine::generations::scope::Scope;
use crate::machine::generations::tags::NO_TAGS;
use crate::machine::policy::call::Call;

/// Removing many keys without naming them.
impl<K: Hash + Eq + Clone + Send + Sync + 'static, V: Clone + Send + Sync + 'static> Cache<K, V> {
    /// Removes every value that has this tag, from every tier of every node.
    ///
    /// A loader gives its value tags by [`Load::tags`](crate::Load::tags), an insert or a write-through by
    /// [`Call::tags`](crate::Call::tags). Whatever a tag hits, L2 runs one short script: values carry the
    /// number of the last raise before they were loaded, and readers compare.
    ///
    /// When it returns, no later read on this node gets a value with this tag whose loading began before
    /// the call. With [`Reach::Everywhere`] no node reads one from L2 any more, and other nodes' L1 lose
    /// theirs when they hear of it. With [`Reach::Pending`] L2 has not acknowledged it yet: this node
    /// believes no value with this tag that stands there, and repeats the raise;
    /// [`raises_confirmed`](Self::raises_confirmed) waits for that.
    ///
    /// Tags stand in 65,536 buckets. Two tags in one share their raises, which costs misses; so tags
    /// that are raised many times a second, each another one, are better removed as keys. The
    /// [guide to tags](crate::guide::tags) has figures, and more.
    ///
    /// # Errors
    /// [`Error::Config`] if L2 keeps no log of raises: in [`Wire::JetcacheGo`](crate::Wire::JetcacheGo), and
    /// with a store of one's own that does [not](crate::ports::remote::Remote::keeps_log).
    ///
    /// # Cancellation
    /// Dropping the future stops the waiting, not the removal.
    ///
    /// ```
    /// # use jetcache_core::doc::runtime as jetcache_tokio;
    /// use jetcache_tokio::{Cached, Load, LoadError};
    ///
    /// # jetcache_core::doc::block_on(async {
    /// let cache = jetcache_tokio::builder::<u64, String>("products").build()?;
    /// cache
    ///     .get_or_load(&7, async || {
    ///         Ok::<_, LoadError>(Load::from("chair".to_owned()).tags(["shop:3", "furniture"]))
    ///     })
    ///     .await?;
    /// cache.invalidate_tag("shop:3").await?;
    /// assert_eq!(cache.get(&7).await, Cached::Miss);
    /// # Ok::<(), jetcache_tokio::Error>(())
    /// # }).unwrap();
    /// ```
    pub async fn invalidate_tag(&self, tag: &str) -> Result<Reach, Error> {
        self.invalidate_tags([tag]).await
    }

    /// Removes every value that has one of these tags, as [`invalidate_tag`](Self::invalidate_tag) does;
    /// 500 tags with one round trip.
    ///
    /// # Errors
    /// Those of `invalidate_tag`.
    ///
    /// # Cancellation
    /// Dropping the future stops the waiting, not the removal.
    pub async fn invalidate_tags<T: AsRef<str>>(
        &self,
        tags: impl IntoIterator<Item = T>,
    ) -> Result<Reach, Error> {
        let scopes = tags.into_iter().map(|tag| Scope::of_tag(tag.as_ref()));
        let scopes: Vec<Scope> = scopes.collect();
        if scopes.is_empty() {
            return Ok(Reach::Everywhere);
        }
        self.raise(scopes).await
    }

    /// Removes everything from every tier of every node: all that this cache's namespace has in L2, and
    /// every L1 on the same bus.
    ///
    /// It takes one round trip, however much there is. What was removed stays in L2 until its TTL ends,
    /// and nobody reads it. Loads that are under way answer their callers and are kept nowhere. Afterwards
    /// each key is loaded once, as after any change.
    ///
    /// It promises what [`invalidate_tag`](Self::invalidate_tag) promises.
    /// [`clear_local`](Self::clear_local) empties this process's L1 alone.
    ///
    /// # Errors
    /// Those of `invalidate_tag`.
    ///
    /// # Cancellation
    /// Dropping the future stops the waiting, not the removal.
    pub async fn clear(&self) -> Result<Reach, Error> {
        self.raise(vec![Scope::All]).await
    }

    /// Waits until L2 has acknowledged every raise of this node: after [`Reach::Pending`] from
    /// [`invalidate_tag`](Self::invalidate_tag) or [`clear`](Self::clear).
    ///
    /// It returns at once if nothing is pending, and waits for as long as L2 is away: bound it with your
    /// runtime's timeout.
    ///
    /// # Errors
    /// [`Error::Closed`] if the cache is closed before.
    ///
    /// # Cancellation
    /// Dropping the future stops the waiting and nothing else.
    pub async fn raises_confirmed(&self) -> Result<(), Error> {
        let are_confirmed = || self.shared.generations.look().pending() == 0;
        self.wait_until(are_confirmed).await
    }

    async fn raise(&self, scopes: Vec<Scope>) -> Result<Reach, Error> {
        check_tags(&self.shared)?;
        // As a removal it goes on as well as it can, on a closed cache, too.
        self.ensure_tasks();
        let shared = Arc::clone(&self.shared);
        Ok(Box::pin(async move { raise(&shared, scopes).await }).await)
    }
}

/// # Errors
/// [`Error::Config`] if this call gives its value tags, and values cannot have any.
pub(in crate::driver::cache) fn check_call_tags<K, V>(
    shared: &Shared<K, V>,
    call: &Call,
) -> Result<(), Error> {
    if call.tags.is_empty() {
        return Ok(());
    }
    check_tags(shared)
}

/// # Errors
/// [`Error::Config`] if values cannot have tags, or be cleared.
fn check_tags<K, V>(shared: &Shared<K, V>) -> Result<(), Error> {
    match &shared.link {
        Some(link) if link.log.is_none() => Err(Error::config(NO_TAGS)),
        _ => Ok(()),
    }
}
