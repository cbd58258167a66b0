//! The loader of single keys.

use core::future::Future;
use core::hash::Hash;
use std::sync::Arc;

use crate::driver::builder::Builder;
use crate::machine::tier::load::Load;
use crate::ports::loader::{Conditional, LoadError, Loader};
use crate::ports::standing::Standing;

/// The loader of single keys.
impl<K: Hash + Eq + Clone + Send + Sync + 'static, V: Clone + Send + Sync + 'static> Builder<K, V> {
    /// The loader that [`load`](crate::Cache::load) runs: a [`Loader`], or a function of the key.
    /// What it captures is cloned into each future:
    /// `move |id: u64| { let db = db.clone(); async move { .. } }`.
    ///
    /// ```
    /// # use jetcache_core::doc::runtime as jetcache_tokio;
    /// use jetcache_tokio::LoadError;
    /// # jetcache_core::doc::block_on(async {
    ///
    /// let cache = jetcache_tokio::builder::<String, String>("greetings")
    ///     .loader(|name: String| async move { Ok::<_, LoadError>(format!("hello, {name}")) })
    ///     .build()?;
    /// let greeting = cache.load("world").await?;
    /// assert_eq!(greeting.as_deref(), Some("hello, world"));
    /// # Ok::<(), jetcache_tokio::Error>(())
    /// # }).unwrap();
    /// ```
    pub fn loader(mut self, loader: impl Loader<K, V>) -> Self {
        self.loaders.one = Some(Arc::new(loader));
        self
    }

    /// [`loader`](Self::loader) as a function of the key and of the value that [stands](Standing) there,
    /// if there is one: it may answer that this one is [`unchanged`](crate::Load::unchanged). Refreshes
    /// and eager loads show it a value that is still fresh.
    ///
    /// ```
    /// # use jetcache_core::doc::runtime as jetcache_tokio;
    /// use core::time::Duration;
    /// use jetcache_tokio::{Load, LoadError, Standing};
    /// # jetcache_core::doc::block_on(async {
    ///
    /// # async fn version_of(_: &str) -> Result<String, std::io::Error> { Ok("7".into()) }
    /// # async fn text_of(name: &str) -> Result<String, std::io::Error> { Ok(name.into()) }
    /// let cache = jetcache_tokio::builder::<String, String>("texts")
    ///     .stale_for(Duration::from_secs(3600))
    ///     .conditional_loader(|name: String, standing: Option<Standing<String>>| async move {
    ///         let version = version_of(&name).await?;
    ///         Ok::<_, LoadError>(match standing {
    ///             Some(text) if text.mark_text() == Some(&*version) => Load::unchanged(),
    ///             _ => Load::from(text_of(&name).await?).mark(version),
    ///         })
    ///     })
    ///     .build()?;
    /// assert_eq!(cache.load("terms").await?.as_deref(), Some("terms"));
    /// # Ok::<(), jetcache_tokio::Error>(())
    /// # }).unwrap();
    /// ```
    pub fn conditional_loader<F, R, T>(self, loader: F) -> Self
    where
        F: Fn(K, Option<Standing<V>>) -> R + Send + Sync + 'static,
        R: Future<Output = Result<T, LoadError>> + Send,
        T: Into<Load<V>>,
    {
        self.loader(Conditional(loader))
    }
}
