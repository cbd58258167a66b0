//! The outcomes of a verb, one a key, in the order in which the keys were asked for.

use core::future::Future;

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

/// The answer of an adapter. One that panics or miscounts counts as a broken L2.
pub(crate) async fn survived<T>(
    count: usize,
    operation: impl Future<Output = Outcomes<T>>,
) -> Outcomes<T> {
    match caught_future(operation).await {
        Ok(outcomes) if outcomes.len() == count => outcomes,
        Ok(_) => failed(count, &miscounted()),
        Err(_) => failed(count, &Fault::Refused("the adapter panicked".into())),
    }
}

/// How many were answered.
pub(crate) fn answered<T>(outcomes: &Outcomes<T>) -> usize {
    outcomes.iter().filter(|outcome| outcome.is_ok()).count()
}

fn miscounted() -> Fault {
    Fault::Refused("the remote did not answer one outcome a key".into())
}
