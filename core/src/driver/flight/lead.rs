//! Leading one flight: its needs are met one after the other.

use core::future::Future;
use core::hash::Hash;
use core::panic::AssertUnwindSafe;
use std::sync::Arc;

use futures_util::FutureExt;

use crate::driver::flight::lease::ask;
use crate::driver::flight::seat::{Led, Need, Seat, panicked};
use crate::driver::link::{Ask, Link, Times, Word, load_failure, only};
use crate::driver::shared::Shared;
use crate::driver::world::timeout::timeout;
use crate::machine::error::{Error, Fault};
use crate::machine::lookup::Reply;
use crate::machine::tier::entry::Load;
use crate::machine::token::Token;
use crate::ports::loader::LoadError;
use crate::ports::remote::{Fill, Filled};

impl<K, V> Seat<K, V>
where
    K: Hash + Eq + Clone + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
{
    /// Leads the flight. The loader is taken when it is run, so that a leader who is deposed before
    /// that may lead again. If anything of the user's panics, a loader, a codec, a `Clone`, the
    /// flight fails with [`Error::Panicked`].
    pub(crate) async fn lead<L, F, T>(&mut self, loader: &mut Option<L>) -> Led<V>
    where
        L: FnOnce() -> F,
        F: Future<Output = Result<T, LoadError>>,
        T: Into<Load<V>>,
    {
        let led = AssertUnwindSafe(self.carry_out(loader))
            .catch_unwind()
            .await;
        led.unwrap_or_else(|panic| self.fail(panicked(&*panic)))
    }

    async fn carry_out<L, F, T>(&mut self, loader: &mut Option<L>) -> Led<V>
    where
        L: FnOnce() -> F,
        F: Future<Output = Result<T, LoadError>>,
        T: Into<Load<V>>,
    {
        let shared = Arc::clone(&self.shared);
        let text = self.text.clone();
        let l2 = shared.link.as_ref().zip(text.as_ref());
        let mut reply = Reply::Begin;
        loop {
            reply = match (self.advance(reply), l2) {
                (Need::Over(led), _) => return led,
                (Need::Pause(pause), _) => {
                    shared.runtime.sleep(pause).await;
                    Reply::Paused
                }
                (Need::Load, _) => Reply::Loaded(match loader.take() {
                    Some(loader) => load(&shared, loader).await,
                    None => Err(Error::Timeout),
                }),
                (Need::Read, Some((link, text))) => {
                    self.read(only(link.read(&*shared.runtime, &[text]).await))
                }
                (Need::Lease { token, life }, Some((link, text))) => {
                    let wanted = Ask {
                        key: Arc::clone(text),
                        shard: self.shard,
                        token,
                        life,
                    };
                    self.leased(only(ask(&shared, link, vec![wanted]).await))
                }
                (
                    Need::Fill {
                        token,
                        value,
                        times,
                    },
                    Some((link, text)),
                ) => {
                    let value = value.as_deref();
                    Reply::Stored(self.fill(link, text, token, value, times).await)
                }
                (Need::Read | Need::Lease { .. } | Need::Fill { .. }, None) => {
                    return self.fail(Error::Closed);
                }
            }
        }
    }

    async fn fill(
        &self,
        link: &Link<K, V>,
        text: &str,
        token: Token,
        value: Option<&V>,
        times: Times,
    ) -> Result<Filled, Fault> {
        let mut bytes = link.format.encode(value).map_err(unencoded)?;
        link.format.seal(&mut bytes, times.life);
        let fill = Fill {
            key: text,
            token,
            value: times.stored(&bytes, self.junk()),
        };
        only(link.fill(&*self.shared.runtime, &[fill], Word::Kept).await)
    }
}

async fn load<K, V, L, F, T>(shared: &Shared<K, V>, loader: L) -> Result<Load<Arc<V>>, Error>
where
    L: FnOnce() -> F,
    F: Future<Output = Result<T, LoadError>>,
    T: Into<Load<V>>,
{
    let loading = async move { loader().await.map(Into::into) };
    let loading = AssertUnwindSafe(loading).catch_unwind();
    let loaded = match timeout(&*shared.runtime, shared.policy.load_timeout, loading).await {
        None => Err(Error::Timeout),
        Some(Err(panic)) => Err(panicked(&*panic)),
        Some(Ok(Ok(loaded))) => Ok(loaded),
        Some(Ok(Err(error))) => load_failure(error.into_inner(), shared.not_found.as_deref()),
    };
    loaded.map(|load| load.map(Arc::new))
}

/// Why a loaded value cannot be sent to L2.
pub(crate) fn unencoded(error: Error) -> Fault {
    match error {
        Error::TooLarge { .. } => Fault::TooLarge,
        error => Fault::Encode(error.to_string().into()),
    }
}
