//! Which load waits for which: a loader that asks for its own key, itself or by way of other
//! loaders, would wait for itself until a time limit ended that. It is told at once instead.
//!
//! A thread knows the loads that it is just polling, one within the other. Who waits for another's
//! load in the middle of one says so; if that closes a ring, it does not wait. What a loader spawns
//! as a task of its own is not seen.

use core::cell::RefCell;
use core::future::{Future, poll_fn};
use core::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::driver::shared::Shared;
use crate::machine::error::Error;

/// A key that is loaded or written: the cache, and the key's hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct LoadKey {
    pub(crate) cache: usize,
    pub(crate) hash: u64,
}

impl LoadKey {
    /// The key of this hash in that cache.
    pub(crate) fn of<K, V>(cache: &Arc<Shared<K, V>>, hash: u64) -> Self {
        Self {
            cache: Arc::as_ptr(cache).addr(),
            hash,
        }
    }
}

thread_local! {
    /// The loads that this thread polls now, the innermost last.
    static POLLED: RefCell<Vec<Arc<[LoadKey]>>> = const { RefCell::new(Vec::new()) };
}

/// Those who wait for a load in the middle of others.
static WAITING: Mutex<Vec<(u64, Waiting)>> = Mutex::new(Vec::new());

struct Waiting {
    /// What they load meanwhile.
    loading: Vec<LoadKey>,
    /// What they wait for.
    target: LoadKey,
}

/// Runs a loader or writer of these keys.
pub(crate) async fn loading<T>(keys: Arc<[LoadKey]>, code: impl Future<Output = T>) -> T {
    let mut code = pin!(code);
    poll_fn(|cx| {
        let _polled = Polled::begin(&keys);
        code.as_mut().poll(cx)
    })
    .await
}

/// The loads in whose middle a thread is, for another thread that goes on there, or for this one later.
pub(crate) struct Chain(Vec<Arc<[LoadKey]>>);

impl Chain {
    /// Those of this thread now.
    pub(crate) fn here() -> Self {
        Self(POLLED.with_borrow(Clone::clone))
    }

    /// Runs something in their middle.
    pub(crate) fn within<T>(&self, work: impl FnOnce() -> T) -> T {
        struct Before(Vec<Arc<[LoadKey]>>);
        impl Drop for Before {
            fn drop(&mut self) {
                POLLED.replace(core::mem::take(&mut self.0));
            }
        }
        let _before = Before(POLLED.replace(self.0.clone()));
        work()
    }
}

/// Whether this call stands in the middle of a load.
pub(crate) fn is_nested() -> bool {
    POLLED.with_borrow(|polled| !polled.is_empty())
}

/// # Errors
/// [`Error::Deadlock`] if this very call stands in the middle of a load of the key.
pub(crate) fn check(key: LoadKey) -> Result<(), Error> {
    POLLED.with_borrow(|polled| {
        let within = polled.iter().any(|keys| keys.contains(&key));
        if within { Err(Error::Deadlock) } else { Ok(()) }
    })
}

/// Says that this call waits for another's load of the key, until what is returned is dropped.
///
/// # Errors
/// [`Error::Deadlock`] if that load waits for one in whose middle this call stands.
pub(crate) fn wait(target: LoadKey) -> Result<Option<Wait>, Error> {
    let loading: Vec<LoadKey> = POLLED.with_borrow(|polled| {
        let keys = polled.iter().flat_map(|keys| keys.iter());
        keys.copied().collect()
    });
    if loading.is_empty() {
        return Ok(None);
    }
    let mut waiting = waiting();
    if closes_a_ring(&waiting, &loading, target) {
        return Err(Error::Deadlock);
    }
    let number = waiting.last().map_or(0, |(last, _)| last + 1);
    waiting.push((number, Waiting { loading, target }));
    Ok(Some(Wait(number)))
}

/// A wait that others can see.
#[derive(Debug)]
pub(crate) struct Wait(u64);

impl Drop for Wait {
    fn drop(&mut self) {
        waiting().retain(|(number, _)| *number != self.0);
    }
}

fn closes_a_ring(waiting: &[(u64, Waiting)], loading: &[LoadKey], target: LoadKey) -> bool {
    let mut targets = vec![target];
    let mut at = 0;
    while let Some(&target) = targets.get(at) {
        if loading.contains(&target) {
            return true;
        }
        for (_, other) in waiting {
            if other.loading.contains(&target) && !targets.contains(&other.target) {
                targets.push(other.target);
            }
        }
        at += 1;
    }
    false
}

fn waiting() -> MutexGuard<'static, Vec<(u64, Waiting)>> {
    // No user code runs under it.
    WAITING.lock().unwrap_or_else(PoisonError::into_inner)
}

/// While it lives, this thread polls a load of these keys.
struct Polled;

impl Polled {
    fn begin(keys: &Arc<[LoadKey]>) -> Self {
        POLLED.with_borrow_mut(|polled| polled.push(Arc::clone(keys)));
        Self
    }
}

impl Drop for Polled {
    fn drop(&mut self) {
        POLLED.with_borrow_mut(|polled| polled.pop());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(hash: u64) -> LoadKey {
        // No cache has this address.
        LoadKey { cache: 1, hash }
    }

    fn within<T>(keys: &[u64], work: impl FnOnce() -> T) -> T {
        let keys: Vec<LoadKey> = keys.iter().copied().map(key).collect();
        let _polled = Polled::begin(&keys.into());
        work()
    }

    #[test]
    fn a_ring_is_found_however_long() {
        assert!(matches!(wait(key(1)), Ok(None)), "nobody loads");
        let one = within(&[1], || wait(key(2))).unwrap();
        let two = within(&[2, 20], || wait(key(3))).unwrap();
        let three = within(&[3], || within(&[4], || wait(key(5)))).unwrap();
        assert!(one.is_some() && two.is_some() && three.is_some());
        within(&[5], || {
            assert!(wait(key(1)).is_err() && wait(key(20)).is_err());
            assert!(wait(key(5)).is_err() && wait(key(9)).is_ok());
            assert!(check(key(5)).is_err() && check(key(1)).is_ok());
        });
        drop(two);
        within(&[5], || assert!(wait(key(1)).is_ok()));
    }

    #[test]
    fn a_panic_leaves_no_trace() {
        let panics = std::panic::catch_unwind(|| within(&[7], || panic!("as the test says")));
        assert!(panics.is_err() && check(key(7)).is_ok());
    }
}
