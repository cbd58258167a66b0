//! Where values come from when no tier has them.

use core::error::Error as StdError;
use core::fmt;
use core::future::Future;

use crate::machine::error::BoxError;
use crate::machine::tier::load::Load;
use crate::ports::standing::Standing;

/// A loader that is registered with a cache, for [`load`](crate::Cache::load).
///
/// Any `Fn(K) -> Future<Output = Result<T, LoadError>>` is one, where `T` is `V`, `Option<V>` or
/// [`Load<V>`]; `Ok(None)` means that the key does not exist.
pub trait Loader<K, V>: Send + Sync + 'static {
    /// Loads the value of `key`. It is bounded by `load_timeout` and then dropped.
    fn load(&self, key: K) -> impl Future<Output = Result<Load<V>, LoadError>> + Send;

    /// Loads the value of `key` anew, beside the one that stands there, if there is one: it may answer
    /// that this one is [`unchanged`](Load::unchanged).
    ///
    /// It runs in place of `load`, which it calls unless it is written. A function that takes what
    /// stands is registered with [`Builder::conditional_loader`](crate::Builder::conditional_loader).
    fn load_if_changed(
        &self,
        key: K,
        standing: Option<Standing<V>>,
    ) -> impl Future<Output = Result<Load<V>, LoadError>> + Send {
        Standing::hide(standing);
        self.load(key)
    }
}

impl<K, V, F, R, T> Loader<K, V> for F
where
    K: Send,
    F: Fn(K) -> R + Send + Sync + 'static,
    R: Future<Output = Result<T, LoadError>> + Send,
    T: Into<Load<V>>,
{
    fn load(&self, key: K) -> impl Future<Output = Result<Load<V>, LoadError>> + Send {
        let loading = self(key);
        async move { loading.await.map(Into::into) }
    }
}

/// A function of the key and of what stands there, as a loader.
#[cfg(feature = "std")]
pub(crate) struct Conditional<F>(pub(crate) F);

#[cfg(feature = "std")]
impl<K, V, F, R, T> Loader<K, V> for Conditional<F>
where
    K: Send,
    V: Send + Sync,
    F: Fn(K, Option<Standing<V>>) -> R + Send + Sync + 'static,
    R: Future<Output = Result<T, LoadError>> + Send,
    T: Into<Load<V>>,
{
    fn load(&self, key: K) -> impl Future<Output = Result<Load<V>, LoadError>> + Send {
        self.load_if_changed(key, None)
    }

    fn load_if_changed(
        &self,
        key: K,
        standing: Option<Standing<V>>,
    ) -> impl Future<Output = Result<Load<V>, LoadError>> + Send {
        let loading = (self.0)(key, standing);
        async move { loading.await.map(Into::into) }
    }
}

/// Any error of a loader. `?` turns every error into it, `anyhow::Error` too; like that one it is
/// therefore not an error itself.
///
/// A loader whose last expression is a `Result` with another error needs the `?`: write
/// `async || Ok(db.user(id).await?)`. One that only fails needs its type said:
/// `Err::<User, LoadError>(error.into())`.
///
/// An error that went through `anyhow` has a type of anyhow's: to see your own in
/// [`not_found_when`](crate::Builder::not_found_when) or
/// [`Error::load_as`](crate::Error::load_as), match it in the loader instead:
///
/// ```text
/// match db.user(id).await {
///     Err(error) if error.is::<NoRow>() => Ok(None),
///     row => Ok(Some(row?)),
/// }
/// ```
pub struct LoadError(BoxError);

impl LoadError {
    /// The error inside.
    #[must_use]
    pub fn into_inner(self) -> BoxError {
        self.0
    }

    /// The error inside.
    #[must_use]
    pub fn as_inner(&self) -> &(dyn StdError + Send + Sync + 'static) {
        &*self.0
    }
}

impl<E: Into<BoxError>> From<E> for LoadError {
    fn from(error: E) -> Self {
        Self(error.into())
    }
}

impl fmt::Debug for LoadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl fmt::Display for LoadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}
