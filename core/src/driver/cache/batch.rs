//! The answer to a call of many keys.

use core::hash::Hash;
use std::collections::HashMap;
use std::vec;

use crate::machine::tier::entry::Cached;

/// What became of each key of a batch, in the order of the request, repeated keys included.
///
/// ```
/// # use jetcache_core::doc::runtime as jetcache_tokio;
/// use jetcache_tokio::LoadError;
///
/// # let cache = jetcache_tokio::builder::<u32, String>("names").build()?;
/// # jetcache_core::doc::block_on(async {
/// let names = cache
///     .get_many_or_load(&[1, 2, 9], async |ids| {
///         // One query for all of them. What it does not mention does not exist.
///         let rows = ids.into_iter().filter(|id| *id < 5).map(|id| (id, format!("name {id}")));
///         Ok::<Vec<_>, LoadError>(rows.collect())
///     })
///     .await;
/// for (id, name) in &names {
///     match name {
///         Ok(Some(name)) => println!("{id}: {name}"),
///         Ok(None) => println!("{id} does not exist"),
///         Err(error) => println!("{id}: {error}"),
///     }
/// }
/// let names: Vec<Option<String>> = names.into_values()?;
/// assert_eq!(names[2], None);
/// # Ok::<(), jetcache_tokio::Error>(())
/// # }).unwrap();
/// # Ok::<(), jetcache_tokio::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Batch<K, R> {
    outcomes: Vec<(K, R)>,
    /// The indices of those that were answered with a stale value.
    stale: Vec<usize>,
}

impl<K, R> Batch<K, R> {
    /// How many keys were asked for.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.outcomes.len()
    }

    /// Whether no key was asked for.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.outcomes.is_empty()
    }

    /// The keys and their outcomes, in the order of the request.
    pub fn iter(&self) -> core::slice::Iter<'_, (K, R)> {
        self.outcomes.iter()
    }

    /// The keys that were answered with a stale value: its life is over, and it could not be loaded
    /// anew, or not in time.
    pub fn stale(&self) -> impl Iterator<Item = &K> {
        self.stale.iter().map(|at| &self.outcomes[*at].0)
    }

    /// The outcomes of a request, and whether each is stale.
    pub(super) fn with_stale(outcomes: impl Iterator<Item = (K, R, bool)>) -> Self {
        let (mut all, mut stale) = (Vec::with_capacity(outcomes.size_hint().0), Vec::new());
        for (at, (key, outcome, is_stale)) in outcomes.enumerate() {
            all.push((key, outcome));
            stale.extend(is_stale.then_some(at));
        }
        Self {
            outcomes: all,
            stale,
        }
    }

    /// The outcomes by key.
    #[must_use]
    pub fn into_map(self) -> HashMap<K, R>
    where
        K: Hash + Eq,
    {
        self.outcomes.into_iter().collect()
    }
}

impl<K, T, E> Batch<K, Result<T, E>> {
    /// The outcomes alone, in the order of the request.
    ///
    /// # Errors
    /// The first error, if there is one.
    pub fn into_values(self) -> Result<Vec<T>, E> {
        self.outcomes
            .into_iter()
            .map(|(_, outcome)| outcome)
            .collect()
    }

    /// The keys that failed, and why.
    pub fn errors(&self) -> impl Iterator<Item = (&K, &E)> {
        self.iter()
            .filter_map(|(key, outcome)| Some((key, outcome.as_ref().err()?)))
    }
}

impl<K: Hash + Eq, V, E> Batch<K, Result<Option<V>, E>> {
    /// The values that there are, by their keys; what does not exist is left out.
    ///
    /// # Errors
    /// The first error, if there is one.
    ///
    /// ```
    /// # use jetcache_core::doc::runtime as jetcache_tokio;
    /// use jetcache_tokio::LoadError;
    ///
    /// # let cache = jetcache_tokio::builder::<u32, String>("names").build()?;
    /// # jetcache_core::doc::block_on(async {
    /// let names = cache
    ///     .get_many_or_load(&[1, 9], async |_ids| Ok::<_, LoadError>(vec![(1, "one".to_string())]))
    ///     .await
    ///     .into_found()?;
    /// assert_eq!(names.get(&1).map(String::as_str), Some("one"));
    /// assert_eq!(names.len(), 1);
    /// # Ok::<(), jetcache_tokio::Error>(())
    /// # })?;
    /// # Ok::<(), jetcache_tokio::Error>(())
    /// ```
    pub fn into_found(self) -> Result<HashMap<K, V>, E> {
        let found = |(key, outcome): (K, Result<Option<V>, E>)| {
            let value = outcome.transpose()?;
            Some(value.map(|value| (key, value)))
        };
        self.outcomes.into_iter().filter_map(found).collect()
    }
}

impl<K: Hash + Eq, V> Batch<K, Cached<V>> {
    /// The values that there are, by their keys.
    #[must_use]
    pub fn into_found(self) -> HashMap<K, V> {
        let found = |(key, cached): (K, Cached<V>)| Some((key, cached.hit()?));
        self.outcomes.into_iter().filter_map(found).collect()
    }
}

impl<K, V> Batch<K, Cached<V>> {
    /// The keys that have a value, and their values.
    pub fn hits(&self) -> impl Iterator<Item = (&K, &V)> {
        self.iter().filter_map(|(key, cached)| match cached {
            Cached::Hit(value) | Cached::Stale(value) => Some((key, value)),
            Cached::Absent | Cached::Miss => None,
        })
    }
}

impl<K, R> FromIterator<(K, R)> for Batch<K, R> {
    fn from_iter<I: IntoIterator<Item = (K, R)>>(outcomes: I) -> Self {
        Self {
            outcomes: outcomes.into_iter().collect(),
            stale: Vec::new(),
        }
    }
}

impl<K, R> IntoIterator for Batch<K, R> {
    type Item = (K, R);
    type IntoIter = vec::IntoIter<(K, R)>;

    fn into_iter(self) -> Self::IntoIter {
        self.outcomes.into_iter()
    }
}

impl<'a, K, R> IntoIterator for &'a Batch<K, R> {
    type Item = &'a (K, R);
    type IntoIter = core::slice::Iter<'a, (K, R)>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}
