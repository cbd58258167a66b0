//! Runs user code that loads or writes: its time, its panics and its errors, in one place for
//! single loads, batches and writers.

use core::future::Future;
use core::pin::pin;
use std::sync::Arc;

use futures_util::FutureExt;
use futures_util::future::Either;
use tracing::{Instrument, debug_span};

use crate::driver::shared::Shared;
use crate::driver::shared::journal::Journal;
use crate::driver::world::caught::caught_future;
use crate::driver::world::erased::AnyRuntime;
use crate::driver::world::timeout::timeout;
use crate::machine::error::{Error, Limit};
use crate::machine::event::Event;
use crate::machine::generations::tags::NO_TAGS;
use crate::machine::tier::load::Load;
use crate::machine::time::Timestamp;
use crate::ports::batch_loader::Loads;
use crate::ports::loader::LoadError;
use crate::ports::standing::Standing;

/// Runs the loader of one key, which is shown what stands there. A value that it says is unchanged is
/// that very one, whatever the tiers hold by then.
///
/// # Errors
/// Those of everyone who waits for the load.
pub(crate) async fn load<K, V, L, F, T>(
    shared: &Shared<K, V>,
    loader: L,
    standing: Option<Standing<V>>,
) -> Result<Load<Arc<V>>, Error>
where
    L: FnOnce(Option<Standing<V>>) -> F,
    F: Future<Output = Result<T, LoadError>>,
    T: Into<Load<V>>,
{
    let shown = standing.clone();
    // Pinned here, as each future that is handed it by value makes room for it twice.
    let loading = pin!(async move { loader(standing).await.map(Into::into) });
    let load: Load<V> = match loaded(shared, loading).await? {
        Ok(load) => load,
        Err(error) => shared.loaders.judge(error)?,
    };
    let mut load = load.map(Arc::new);
    if let Some(shown) = shown {
        load = shown.put_back(load);
    }
    brought(shared, load)
}

/// Waits for the loader of many keys. If it fails with "does not exist", none of the keys exists.
///
/// # Errors
/// Those of everyone who waits for one of the loads.
pub(crate) async fn load_many<K, V, F, T>(
    shared: &Shared<K, V>,
    loading: F,
) -> Result<Loads<K, V>, Error>
where
    F: Future<Output = Result<T, LoadError>>,
    T: Into<Loads<K, V>>,
{
    let loading = pin!(async move { loading.await.map(Into::into) });
    match loaded(shared, loading).await? {
        Ok(loads) => Ok(loads),
        Err(error) => shared.loaders.judge::<V>(error).map(|_| Loads::new()),
    }
}

/// Runs the writer of a write-through. Its error never means that the row does not exist: nobody
/// knows what became of the row.
///
/// # Errors
/// Those of the caller.
pub(crate) async fn write<K, V, W, F, T>(
    shared: &Shared<K, V>,
    writer: W,
) -> Result<Load<Arc<V>>, Error>
where
    W: FnOnce() -> F,
    F: Future<Output = Result<T, LoadError>>,
    T: Into<Load<V>>,
{
    let writing = pin!(async move { writer().await.map(Into::into) });
    let limit = shared.rules.now().write_timeout.map(Limit::Write);
    let written = limited(&*shared.runtime, limit, async { Ok(writing.await) }).await?;
    let has_tags = shared.rules.now().policy.has_tags();
    match written {
        Ok(load) if !load.tags.is_empty() && !has_tags => Err(Error::config(NO_TAGS)),
        Ok(load) => brought(shared, Load::map(load, Arc::new)),
        Err(error) => Err(Error::Load(error.into_inner().into())),
    }
}

/// What user code brought, if that is something.
///
/// # Errors
/// [`NothingStands`](crate::NothingStands).
pub(crate) fn brought<K, V>(
    shared: &Shared<K, V>,
    load: Load<Arc<V>>,
) -> Result<Load<Arc<V>>, Error> {
    if load.overlong {
        shared.journal.warn_of_mark();
    }
    load.checked()
}

/// What a loader brings, or its own error. It waits for its turn, if not all may run at once; that
/// counts as time that it takes.
///
/// # Errors
/// [`Error::Overloaded`], [`Error::Timeout`], [`Error::Panicked`].
async fn loaded<K, V, T>(
    shared: &Shared<K, V>,
    loader: impl Future<Output = Result<T, LoadError>>,
) -> Result<Result<T, LoadError>, Error> {
    let runtime = &*shared.runtime;
    let loading = async {
        let _turn = match shared.loaders.cap.now() {
            Some(cap) => Some(cap.turn(runtime).await?),
            None => None,
        };
        Ok(loader.await)
    };
    let limit = Limit::Load(shared.rules.now().policy.load_timeout);
    let span = debug_span!(target: "jetcache", "jetcache.load", cache = &*shared.journal.name);
    let leaving = Leaving {
        journal: &shared.journal,
        began: runtime.now(),
    };
    let loaded = limited(runtime, Some(limit), loading.instrument(span)).await;
    leaving.stays();
    loaded
}

/// A load that is under way. Dropped before it ends, it was given up.
struct Leaving<'a> {
    journal: &'a Journal,
    began: Timestamp,
}

impl Leaving<'_> {
    /// It has ended.
    fn stays(self) {
        core::mem::forget(self);
    }
}

impl Drop for Leaving<'_> {
    fn drop(&mut self) {
        let took = self.journal.now().since(self.began);
        self.journal.note(&Event::LoadGivenUp { took });
    }
}

/// What user code brings, or its own error.
///
/// # Errors
/// Those of `code`, [`Error::Timeout`] past the limit, [`Error::Panicked`].
fn limited<T>(
    runtime: &dyn AnyRuntime,
    limit: Option<Limit>,
    code: impl Future<Output = Result<Result<T, LoadError>, Error>>,
) -> impl Future<Output = Result<Result<T, LoadError>, Error>> {
    // An `async fn` would make room for the code twice.
    let code = caught_future(code);
    match limit {
        None => Either::Left(code.map(|brought| brought?)),
        Some(limit) => Either::Right(
            timeout(runtime, limit.span(), code)
                .map(move |brought| brought.ok_or(Error::Timeout(limit))??),
        ),
    }
}
