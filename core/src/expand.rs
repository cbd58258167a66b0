//! What the attributes of `jetcache-macros` expand to. It may change with any version: nobody else is to
//! call it.

use core::borrow::Borrow;
use core::error::Error as StdError;
use core::future::Future;
use core::hash::Hash;
use core::marker::PhantomData;
use core::pin::pin;
use core::task::{Context, Waker};
use std::borrow::ToOwned;
use std::string::String;
use std::vec::Vec;

use crate::driver::Cache;
use crate::machine::error::Error;
use crate::machine::policy::call::Call;
use crate::machine::tier::load::Load;
use crate::ports::loader::LoadError;

/// A key as the user wrote it: by value or by reference. Its method `key` is the reference in either case.
#[derive(Debug)]
pub struct Peel<'a, T: ?Sized>(pub &'a T);

impl<'a, Q: ?Sized> Peel<'_, &'a Q> {
    /// What was behind the reference.
    #[must_use]
    pub const fn key(&self) -> &'a Q {
        self.0
    }
}

/// [`Peel`] for what is no reference.
pub trait Whole<'a> {
    /// The type of the key.
    type Key: ?Sized;
    /// The key.
    fn key(&self) -> &'a Self::Key;
}

impl<'a, T: ?Sized> Whole<'a> for Peel<'a, T> {
    type Key = T;

    fn key(&self) -> &'a T {
        self.0
    }
}

/// The type of a function's errors.
pub trait Returned {
    /// It.
    type Error;
}

impl<T, E> Returned for Result<T, E> {
    type Error = E;
}

/// An error on its way to a function that fails with `E`s.
#[derive(Debug)]
pub struct Failed<E>(Error, PhantomData<fn() -> E>);

impl<E> Failed<E> {
    /// Of a call of the cache.
    #[must_use]
    pub const fn new(error: Error) -> Self {
        Self(error, PhantomData)
    }
}

impl<E: StdError + Clone + From<Error> + 'static> Failed<E> {
    /// The body's own error, if it was its; else the cache's.
    #[must_use]
    pub fn into_own(self) -> E {
        let own = self.0.load_as::<E>().cloned();
        own.unwrap_or_else(|| self.0.into())
    }
}

/// [`Failed`] for errors that cannot be cloned, and so cannot be everybody's.
pub trait Convert {
    /// The function's error.
    type Own;
    /// The cache's error as the function's.
    fn into_own(self) -> Self::Own;
}

impl<E: From<Error>> Convert for Failed<E> {
    type Own = E;

    fn into_own(self) -> E {
        self.0.into()
    }
}

/// What a body brings, with its tags.
async fn brought<V, T, E>(
    body: impl Future<Output = (Vec<String>, Result<T, E>)>,
) -> Result<Load<V>, LoadError>
where
    T: Into<Load<V>>,
    LoadError: From<E>,
{
    let (tags, brought) = body.await;
    let load: Load<V> = brought?.into();
    Ok(if tags.is_empty() {
        load
    } else {
        load.tags(tags)
    })
}

/// A body that cannot fail, until it is run.
struct Once<B>(Option<B>);

impl<B, T> Once<B>
where
    B: Future<Output = (Vec<String>, T)>,
{
    fn run(&mut self) -> impl Future<Output = (Vec<String>, Result<T, Error>)> + use<B, T> {
        let body = self.0.take();
        async {
            match body {
                Some(body) => {
                    let (tags, value) = body.await;
                    (tags, Ok(value))
                }
                // A call runs its loader once.
                None => (Vec::new(), Err(Error::Closed)),
            }
        }
    }

    /// What the function returns if the cache has failed: what the body brings beside it.
    ///
    /// # Panics
    /// If the body has run, and is lost: it has panicked, or took too long.
    async fn beside(self, error: Error) -> T {
        match self.0 {
            Some(body) => body.await.1,
            None => panic!("{error}"),
        }
    }
}

macro_rules! verbs {
    ($($option:ident $value:ident $plain_option:ident $plain_value:ident: $call:ident)*) => {$(
        /// For a function that returns `Result<Option<V>, E>`.
        pub async fn $option<K, V, Q, B, T, E>(
            cache: &Cache<K, V>,
            key: &Q,
            call: &Call,
            body: B,
        ) -> Result<Option<V>, Error>
        where
            K: Borrow<Q> + Hash + Eq + Clone + Send + Sync + 'static,
            V: Clone + Send + Sync + 'static,
            Q: ToOwned<Owned = K> + Hash + Eq + ?Sized,
            B: Future<Output = (Vec<String>, Result<T, E>)>,
            T: Into<Load<V>>,
            LoadError: From<E>,
        {
            cache.$call(key, call, || brought(body)).await
        }

        /// For a function that returns `Result<V, E>`.
        pub async fn $value<K, V, Q, B, T, E>(
            cache: &Cache<K, V>,
            key: &Q,
            call: &Call,
            body: B,
        ) -> Result<V, Error>
        where
            K: Borrow<Q> + Hash + Eq + Clone + Send + Sync + 'static,
            V: Clone + Send + Sync + 'static,
            Q: ToOwned<Owned = K> + Hash + Eq + ?Sized,
            B: Future<Output = (Vec<String>, Result<T, E>)>,
            T: Into<Load<V>>,
            LoadError: From<E>,
        {
            let found = cache.$call(key, call, || brought(body)).await?;
            found.ok_or(Error::NotFound)
        }

        /// For a function that returns `Option<V>`.
        pub async fn $plain_option<K, V, Q, B>(
            cache: &Cache<K, V>,
            key: &Q,
            call: &Call,
            body: B,
        ) -> Option<V>
        where
            K: Borrow<Q> + Hash + Eq + Clone + Send + Sync + 'static,
            V: Clone + Send + Sync + 'static,
            Q: ToOwned<Owned = K> + Hash + Eq + ?Sized,
            B: Future<Output = (Vec<String>, Option<V>)>,
        {
            let mut body = Once(Some(body));
            match cache.$call(key, call, || brought(body.run())).await {
                Ok(found) => found,
                Err(error) => body.beside(error).await,
            }
        }

        /// For a function that returns `V`.
        pub async fn $plain_value<K, V, Q, B>(
            cache: &Cache<K, V>,
            key: &Q,
            call: &Call,
            body: B,
        ) -> V
        where
            K: Borrow<Q> + Hash + Eq + Clone + Send + Sync + 'static,
            V: Clone + Send + Sync + 'static,
            Q: ToOwned<Owned = K> + Hash + Eq + ?Sized,
            B: Future<Output = (Vec<String>, V)>,
        {
            let mut body = Once(Some(body));
            let found = cache.$call(key, call, || brought(body.run())).await;
            match found.and_then(|found| found.ok_or(Error::NotFound)) {
                Ok(value) => value,
                Err(error) => body.beside(error).await,
            }
        }
    )*};
}

verbs! {
    load_option load_value load_plain_option load_plain_value: get_or_load_with
    write_option write_value write_plain_option write_plain_value: write_through_with
}

/// Removes the key `when` that is so and the body has succeeded; at once, and without waiting, if the body
/// is dropped in the middle.
pub async fn invalidate<K, V, Q, B, T>(
    cache: &Cache<K, V>,
    key: &Q,
    when: bool,
    body: B,
    succeeded: impl FnOnce(&T) -> bool,
) -> T
where
    K: Borrow<Q> + Hash + Eq + Clone + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
    Q: ToOwned<Owned = K> + Hash + Eq + ?Sized,
    B: Future<Output = T>,
{
    if !when {
        return body.await;
    }
    let begin = Begin(Some(|| {
        // Once it is begun it goes on by itself.
        let mut removal = pin!(cache.invalidate(key));
        let _ = removal
            .as_mut()
            .poll(&mut Context::from_waker(Waker::noop()));
    }));
    let returned = body.await;
    begin.no_more();
    if succeeded(&returned) {
        cache.invalidate(key).await;
    }
    returned
}

/// Does something if it is dropped.
struct Begin<F: FnOnce()>(Option<F>);

impl<F: FnOnce()> Begin<F> {
    fn no_more(mut self) {
        self.0 = None;
    }
}

impl<F: FnOnce()> Drop for Begin<F> {
    fn drop(&mut self) {
        if let Some(begin) = self.0.take() {
            begin();
        }
    }
}
