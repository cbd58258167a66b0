//! The outcomes of a verb, one a key, in the order in which the keys were asked for.

use core::future::Future;

use futures_util::FutureExt;

use crate::driver::world::caught::caught_future;
use crate::machine::error::Fault;

pub(crate) type Outcomes<T> = Vec<Result<T, Fault>>;

/// The outcome of a verb that was asked for one key.
pub(crate) fn only<T>(mut outcomes: Outcomes<T>) -> Result<T, Fault> {
    outcomes.pop().unwrap_or_else(|| Err(miscounted()))
}

pub(crate) fn failed<T>(count: usize, fault: &Fault) -> Outcomes<T> {
    (0..count).map(|_| Err(fault.clone())).collect()
}

/// The answer of an adapter. One that panics or miscounts counts as an L2 whose answer never came:
/// what was asked of it may have been carried out.
pub(crate) fn survived<T>(
    count: usize,
    operation: impl Future<Output = Outcomes<T>>,
) -> impl Future<Output = Outcomes<T>> {
    // An `async fn` would make room for it twice.
    caught_future(operation).map(move |answer| match answer {
        Ok(outcomes) if outcomes.len() == count => outcomes,
        Ok(_) => failed(count, &miscounted()),
        Err(_) => failed(count, &Fault::Unreachable("the adapter panicked".into())),
    })
}

/// How many were answered.
pub(crate) fn answered<T>(outcomes: &Outcomes<T>) -> usize {
    outcomes.iter().filter(|outcome| outcome.is_ok()).count()
}

fn miscounted() -> Fault {
    Fault::Unreachable("the remote did not answer one outcome a key".into())
}
