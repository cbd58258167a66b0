//! Looking at one key: what each level has, and what is under way.

use core::borrow::Borrow;
use core::hash::Hash;
use std::borrow::ToOwned;
use std::sync::Arc;

use crate::driver::cache::Cache;
use crate::driver::link::text::reserved;
use crate::machine::error::Fault;
use crate::machine::generations::scope::bucket;
use crate::machine::tier::entry::Entry;
use crate::machine::tier::inspection::{InL1, InL2, Inspection, L1Entry, UnderWay};

/// Looking at a key.
impl<K: Hash + Eq + Clone + Send + Sync + 'static, V: Clone + Send + Sync + 'static> Cache<K, V> {
    /// What each level has of `key`, and what is under way about it on this node: for people who want
    /// to know why they see what they see.
    ///
    /// It only looks: nothing is filled, loaded or removed, and no hit or miss is counted. L2 is asked
    /// in one round trip of at most `remote_timeout`, which observers see as
    /// [`Verb::Inspect`](crate::Verb), if its [breaker](crate::Breaker) lets it pass. If it does not
    /// answer, [`InL2::Away`] says why, and what this node knows is there all the same. The value is
    /// decoded to find out whether it can be read.
    ///
    /// A closed cache is inspected like any other.
    ///
    /// # Cancellation
    /// Dropping the future does no harm.
    ///
    /// ```
    /// # use jetcache_core::doc::runtime as jetcache_tokio;
    /// # use std::sync::Arc;
    /// use jetcache_tokio::InL1;
    ///
    /// # jetcache_core::doc::block_on(async {
    /// # let cache = jetcache_tokio::builder::<String, Arc<str>>("users").build()?;
    /// cache.insert("7".to_owned(), "Ada".into()).await?;
    /// let seen = cache.inspect("7").await;
    /// assert!(matches!(seen.l1, InL1::Entry(_)));
    /// println!("{seen}");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # }).unwrap();
    /// ```
    pub async fn inspect<Q>(&self, key: &Q) -> Inspection
    where
        K: Borrow<Q>,
        Q: ToOwned<Owned = K> + Hash + Eq + ?Sized,
    {
        let shared = &self.shared;
        let mut seen = Inspection::new(Arc::clone(&shared.journal.name), None);
        let Some(link) = &shared.link else {
            self.look_here(key, &mut seen);
            return seen;
        };
        let text = match link.texts.of(&key.to_owned()) {
            Ok(Some(text)) => text,
            Ok(None) => {
                seen.l2 = InL2::Unheld(reserved().to_string().into());
                self.look_here(key, &mut seen);
                return seen;
            }
            Err(error) => {
                seen.l2 = InL2::Unheld(error.to_string().into());
                self.look_here(key, &mut seen);
                return seen;
            }
        };
        // L2 first: what is said of this node is not older than what is said of L2.
        seen.l2 = match shared.runtime.check() {
            Ok(()) => link.look(&text).await,
            Err(why) => InL2::Away(Fault::Unreachable(why.into())),
        };
        seen.key = Some(text);
        self.look_here(key, &mut seen);
        seen
    }

    /// What this node has.
    fn look_here<Q>(&self, key: &Q, seen: &mut Inspection)
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        let shared = &self.shared;
        let (hash, now) = (shared.tables.hash(key), shared.runtime.now());
        let is_key = |other: &Arc<K>| (**other).borrow() == key;
        if let Some(local) = &shared.level1.local {
            let alive = |entry: &Entry<V>| shared.generations.is_alive(entry);
            seen.l1 = match local.peek(&key).filter(alive) {
                Some(entry) => InL1::Entry(L1Entry::of(&entry, now)),
                None => InL1::Nothing,
            };
        }
        let table = shared.tables.look(shared.tables.shard_of(hash));
        let bucket = seen.key.as_deref().map_or(0, bucket);
        let under_way = table.under_way(hash, is_key, bucket, now);
        drop(table);
        let blocked = shared.generations.look().is_blocked(bucket);
        let fresh_keys = shared.fresh_keys.as_ref();
        seen.here = UnderWay {
            unconfirmed: under_way.unconfirmed || blocked,
            kept_fresh: fresh_keys.is_some_and(|keys| keys.contains(hash, is_key)),
            ..under_way
        };
    }
}
