//! The face through which a case speaks to its cache: that of tasks, or that of threads. On the second each
//! call of a node that has a blocking twin is that twin, made where it stands, and its loader is awaited on
//! the same thread. So two calls of one task run one after the other.

use std::borrow::Borrow;
use std::cell::Cell;
use std::future::Future;
use std::hash::Hash;
use std::ops::Deref;

use jetcache_core::{Batch, Blocking, Cache, Cached, Call, Error, Load, LoadError, Loads, Reach};

use crate::behaviour::stage::Value;

thread_local! {
    static BLOCKS: Cell<bool> = const { Cell::new(false) };
}

/// Plays a case: the nodes that this thread makes meanwhile are spoken to as threads do.
pub(crate) fn blocking(play: impl FnOnce()) {
    struct Over;
    impl Drop for Over {
        fn drop(&mut self) {
            BLOCKS.set(false);
        }
    }
    BLOCKS.set(true);
    let _over = Over;
    play();
}

/// A cache, behind one of its faces. What has no blocking twin is the cache's own.
pub(crate) struct Node<K = String, V = Value>
where
    K: Hash + Eq + Clone + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
{
    cache: Cache<K, V>,
    blocking: Option<Blocking<K, V>>,
}

/// Puts a cache behind the face of this thread.
pub(crate) trait Faced<K, V>
where
    K: Hash + Eq + Clone + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
{
    fn faced(self) -> Node<K, V>;
}

impl<K, V> Faced<K, V> for Cache<K, V>
where
    K: Hash + Eq + Clone + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
{
    fn faced(self) -> Node<K, V> {
        Node {
            blocking: BLOCKS.get().then(|| self.blocking()),
            cache: self,
        }
    }
}

impl<K, V> Clone for Node<K, V>
where
    K: Hash + Eq + Clone + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
{
    fn clone(&self) -> Self {
        Self {
            cache: self.cache.clone(),
            blocking: self.blocking.clone(),
        }
    }
}

impl<K, V> Deref for Node<K, V>
where
    K: Hash + Eq + Clone + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
{
    type Target = Cache<K, V>;

    fn deref(&self) -> &Cache<K, V> {
        &self.cache
    }
}

/// Reads.
impl<K, V> Node<K, V>
where
    K: Hash + Eq + Clone + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
{
    pub(crate) async fn get_or_load<Q, L, F, T>(
        &self,
        key: &Q,
        loader: L,
    ) -> Result<Option<V>, Error>
    where
        K: Borrow<Q>,
        Q: ToOwned<Owned = K> + Hash + Eq + Sync + ?Sized,
        L: FnOnce() -> F,
        F: Future<Output = Result<T, LoadError>>,
        T: Into<Load<V>>,
    {
        match &self.blocking {
            None => self.cache.get_or_load(key, loader).await,
            Some(face) => face.get_or_load(key, || smol::block_on(loader())),
        }
    }

    pub(crate) async fn get_or_load_with<Q, L, F, T>(
        &self,
        key: &Q,
        call: &Call,
        loader: L,
    ) -> Result<Option<V>, Error>
    where
        K: Borrow<Q>,
        Q: ToOwned<Owned = K> + Hash + Eq + Sync + ?Sized,
        L: FnOnce() -> F,
        F: Future<Output = Result<T, LoadError>>,
        T: Into<Load<V>>,
    {
        match &self.blocking {
            None => self.cache.get_or_load_with(key, call, loader).await,
            Some(face) => face.get_or_load_with(key, call, || smol::block_on(loader())),
        }
    }

    pub(crate) async fn load<Q>(&self, key: &Q) -> Result<Option<V>, Error>
    where
        K: Borrow<Q>,
        Q: ToOwned<Owned = K> + Hash + Eq + Sync + ?Sized,
    {
        match &self.blocking {
            None => self.cache.load(key).await,
            Some(face) => face.load(key),
        }
    }

    pub(crate) async fn load_with<Q>(&self, key: &Q, call: &Call) -> Result<Option<V>, Error>
    where
        K: Borrow<Q>,
        Q: ToOwned<Owned = K> + Hash + Eq + Sync + ?Sized,
    {
        match &self.blocking {
            None => self.cache.load_with(key, call).await,
            Some(face) => face.load_with(key, call),
        }
    }

    pub(crate) async fn get<Q>(&self, key: &Q) -> Cached<V>
    where
        K: Borrow<Q>,
        Q: ToOwned<Owned = K> + Hash + Eq + Sync + ?Sized,
    {
        match &self.blocking {
            None => self.cache.get(key).await,
            Some(face) => face.get(key),
        }
    }

    pub(crate) async fn get_with<Q>(&self, key: &Q, call: &Call) -> Cached<V>
    where
        K: Borrow<Q>,
        Q: ToOwned<Owned = K> + Hash + Eq + Sync + ?Sized,
    {
        match &self.blocking {
            None => self.cache.get_with(key, call).await,
            Some(face) => face.get_with(key, call),
        }
    }

    pub(crate) async fn exists<Q>(&self, key: &Q) -> bool
    where
        K: Borrow<Q>,
        Q: ToOwned<Owned = K> + Hash + Eq + Sync + ?Sized,
    {
        match &self.blocking {
            None => self.cache.exists(key).await,
            Some(face) => face.exists(key),
        }
    }

    pub(crate) async fn get_many<'k, Q, I>(&self, keys: I) -> Batch<&'k Q, Cached<V>>
    where
        I: IntoIterator<Item = &'k Q> + Send,
        I::IntoIter: Send,
        K: Borrow<Q>,
        Q: ToOwned<Owned = K> + Hash + Eq + Sync + ?Sized + 'k,
    {
        match &self.blocking {
            None => self.cache.get_many(keys).await,
            Some(face) => face.get_many(keys).unwrap(),
        }
    }

    pub(crate) async fn get_many_or_load<'k, Q, I, L, F, T>(
        &self,
        keys: I,
        mut loader: L,
    ) -> Batch<&'k Q, Result<Option<V>, Error>>
    where
        I: IntoIterator<Item = &'k Q> + Send,
        I::IntoIter: Send,
        K: Borrow<Q>,
        Q: ToOwned<Owned = K> + Hash + Eq + Sync + ?Sized + 'k,
        L: FnMut(Vec<K>) -> F,
        F: Future<Output = Result<T, LoadError>>,
        T: Into<Loads<K, V>>,
    {
        match &self.blocking {
            None => self.cache.get_many_or_load(keys, loader).await,
            Some(face) => {
                let load = |keys| smol::block_on(loader(keys));
                face.get_many_or_load(keys, load).unwrap()
            }
        }
    }

    pub(crate) async fn load_many<'k, Q, I>(
        &self,
        keys: I,
    ) -> Batch<&'k Q, Result<Option<V>, Error>>
    where
        I: IntoIterator<Item = &'k Q> + Send,
        I::IntoIter: Send,
        K: Borrow<Q>,
        Q: ToOwned<Owned = K> + Hash + Eq + Sync + ?Sized + 'k,
    {
        match &self.blocking {
            None => self.cache.load_many(keys).await,
            Some(face) => face.load_many(keys).unwrap(),
        }
    }
}

/// Changes.
impl<K, V> Node<K, V>
where
    K: Hash + Eq + Clone + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
{
    pub(crate) async fn insert(&self, key: K, value: V) -> Result<Reach, Error> {
        match &self.blocking {
            None => self.cache.insert(key, value).await,
            Some(face) => face.insert(key, value),
        }
    }

    pub(crate) async fn insert_with(&self, key: K, value: V, call: &Call) -> Result<Reach, Error> {
        match &self.blocking {
            None => self.cache.insert_with(key, value, call).await,
            Some(face) => face.insert_with(key, value, call),
        }
    }

    pub(crate) async fn insert_if_absent(&self, key: K, value: V) -> Result<bool, Error> {
        match &self.blocking {
            None => self.cache.insert_if_absent(key, value).await,
            Some(face) => face.insert_if_absent(key, value),
        }
    }

    pub(crate) async fn insert_if_present(&self, key: K, value: V) -> Result<bool, Error> {
        match &self.blocking {
            None => self.cache.insert_if_present(key, value).await,
            Some(face) => face.insert_if_present(key, value),
        }
    }

    pub(crate) async fn insert_many<I>(&self, entries: I) -> Batch<K, Result<Reach, Error>>
    where
        I: IntoIterator<Item = (K, V)> + Send,
        I::IntoIter: Send,
    {
        match &self.blocking {
            None => self.cache.insert_many(entries).await,
            Some(face) => face.insert_many(entries).unwrap(),
        }
    }

    pub(crate) async fn invalidate<Q>(&self, key: &Q) -> Reach
    where
        K: Borrow<Q>,
        Q: ToOwned<Owned = K> + Hash + Eq + Sync + ?Sized,
    {
        match &self.blocking {
            None => self.cache.invalidate(key).await,
            Some(face) => face.invalidate(key).unwrap(),
        }
    }

    pub(crate) async fn invalidate_many<'k, Q, I>(&self, keys: I) -> Batch<&'k Q, Reach>
    where
        I: IntoIterator<Item = &'k Q> + Clone + Send,
        I::IntoIter: Send,
        K: Borrow<Q>,
        Q: ToOwned<Owned = K> + Hash + Eq + Sync + ?Sized + 'k,
    {
        match &self.blocking {
            None => self.cache.invalidate_many(keys).await,
            Some(face) => face.invalidate_many(keys).unwrap(),
        }
    }

    pub(crate) async fn invalidate_tag(&self, tag: &str) -> Result<Reach, Error> {
        match &self.blocking {
            None => self.cache.invalidate_tag(tag).await,
            Some(face) => face.invalidate_tag(tag),
        }
    }

    pub(crate) async fn clear(&self) -> Result<Reach, Error> {
        match &self.blocking {
            None => self.cache.clear().await,
            Some(face) => face.clear(),
        }
    }

    pub(crate) async fn write_through<Q, W, F, T>(
        &self,
        key: &Q,
        writer: W,
    ) -> Result<Option<V>, Error>
    where
        K: Borrow<Q>,
        Q: ToOwned<Owned = K> + Hash + Eq + Sync + ?Sized,
        W: FnOnce() -> F,
        F: Future<Output = Result<T, LoadError>>,
        T: Into<Load<V>>,
    {
        match &self.blocking {
            None => self.cache.write_through(key, writer).await,
            Some(face) => face.write_through(key, || smol::block_on(writer())),
        }
    }

    pub(crate) async fn write_through_with<Q, W, F, T>(
        &self,
        key: &Q,
        call: &Call,
        writer: W,
    ) -> Result<Option<V>, Error>
    where
        K: Borrow<Q>,
        Q: ToOwned<Owned = K> + Hash + Eq + Sync + ?Sized,
        W: FnOnce() -> F,
        F: Future<Output = Result<T, LoadError>>,
        T: Into<Load<V>>,
    {
        match &self.blocking {
            None => self.cache.write_through_with(key, call, writer).await,
            Some(face) => face.write_through_with(key, call, || smol::block_on(writer())),
        }
    }

    pub(crate) async fn close(&self) {
        match &self.blocking {
            None => self.cache.close().await,
            Some(face) => face.close().unwrap(),
        }
    }
}
