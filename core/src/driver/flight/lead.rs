//! Leading one flight: its needs are met one after the other.

use core::future::Future;
use core::pin::pin;
use std::slice;
use std::sync::Arc;

use crate::driver::flight::chain::loading;
use crate::driver::flight::load::load;
use crate::driver::flight::renew::renewing;
use crate::driver::flight::seat::{Led, Next, Seat};
use crate::driver::flight::verbs::{extend, fill, lease, read};
use crate::driver::world::bounds::{CacheKey, CacheValue};
use crate::driver::world::caught::caught_future;
use crate::machine::error::{Error, Limit};
use crate::machine::lookup::step::{Need, Reply};
use crate::machine::tier::load::Load;
use crate::ports::bus::Kind;
use crate::ports::loader::LoadError;
use crate::ports::standing::Standing;

/// Leads the flight of this seat. The loader is shown what stands there. It is taken when it is run, so that a leader deposed
/// before that may lead again. If user code panics, the flight fails with [`Error::Panicked`].
pub(crate) async fn lead<K, V, L, F, T>(seat: &mut Seat<K, V>, loader: &mut Option<L>) -> Led<V>
where
    K: CacheKey,
    V: CacheValue,
    L: FnOnce(Option<Standing<V>>) -> F,
    F: Future<Output = Result<T, LoadError>>,
    T: Into<Load<V>>,
{
    let led = caught_future(async {
        let mut next = Next::Reply(Reply::Begin);
        loop {
            next = match next {
                Next::Over(led) => return led,
                Next::Reply(reply) => seat.advance(reply),
                Next::Ask(Need::Load) => Next::Reply(Reply::Loaded(match loader.take() {
                    Some(loader) => {
                        let keys = Arc::from([seat.load_key()]);
                        let stands = seat.standing();
                        let load = pin!(load(seat.shared(), loader, stands));
                        let loading = pin!(loading(keys, load));
                        let loaded = renewing(seat.shared(), &[&*seat], loading).await;
                        if let Err(error) = &loaded
                            && seat.refreshes()
                        {
                            // It has no caller who would be told.
                            let key = seat.address().text.as_deref();
                            seat.shared().journal.warn_of_refresh(key, error);
                        }
                        loaded
                    }
                    // It was deposed after its loader had run out of time, and leads again.
                    None => {
                        let limit = Limit::Load(seat.shared().rules.now().policy.load_timeout);
                        Err(Error::Timeout(limit))
                    }
                })),
                Next::Ask(need) => meet(seat, need).await,
            };
        }
    });
    match led.await {
        Ok(led) => led,
        Err(panic) => seat.fail(panic.into()),
    }
}

/// Meets any need but the loader's. Apart, to be compiled once a cache and not once a call site.
async fn meet<K: CacheKey, V: CacheValue>(
    mut seat: &mut Seat<K, V>,
    need: Need<Arc<V>>,
) -> Next<V> {
    let shared = Arc::clone(seat.shared());
    let seats = slice::from_mut(&mut seat);
    // Each in a box of its own: a load makes room for none of them before it needs it, and a small box is
    // had for little.
    let met = match need {
        Need::Read => Box::pin(read(&shared, seats)).await,
        Need::Lease { token, life } => Box::pin(lease(&shared, seats, &[(token, life)])).await,
        Need::Fill(filling) => Box::pin(fill(&shared, seats, &[filling], Kind::SetByOnce)).await,
        Need::Extend(extension) => {
            Box::pin(extend(&shared, seats, &[*extension], Kind::SetByOnce)).await
        }
        Need::Pause(pause) => {
            shared.runtime.sleep(pause).await;
            vec![Next::Reply(Reply::Paused)]
        }
        // `meet_all` runs the loader itself.
        Need::Load => Vec::new(),
    };
    let one = met.into_iter().next();
    one.unwrap_or_else(|| Next::Over(seat.fail(Error::Closed)))
}
