//! What every [`Runtime`] must do.

use core::time::Duration;
use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use jetcache_core::Runtime;

/// Runs the suite; call it inside the runtime.
///
/// # Panics
/// At the first rule that is broken.
pub async fn run<R: Runtime>(runtime: &R) {
    time_goes_forward(runtime).await;
    rolls_differ(runtime);
    a_task_is_run_to_its_end(runtime).await;
    nothing_panics_outside(runtime).await;
}

async fn time_goes_forward<R: Runtime>(runtime: &R) {
    let before = runtime.now();
    runtime.sleep(Duration::from_millis(60)).await;
    let passed = runtime.now().since(before);
    // The clock may be coarse.
    assert!(
        passed >= Duration::from_millis(40),
        "60 ms of sleep were {passed:?} by the clock"
    );
    let mut last = runtime.now();
    for _ in 0..1000 {
        let now = runtime.now();
        assert!(now >= last, "the clock went back from {last:?} to {now:?}");
        last = now;
    }
}

fn rolls_differ<R: Runtime>(runtime: &R) {
    let rolls: HashSet<u128> = (0..1000).map(|_| runtime.roll()).collect();
    assert_eq!(rolls.len(), 1000, "random bits came twice");
}

async fn a_task_is_run_to_its_end<R: Runtime>(runtime: &R) {
    let steps = Arc::new(AtomicUsize::new(0));
    let (seen, nap) = (Arc::clone(&steps), runtime.sleep(Duration::from_millis(5)));
    let spawned = runtime.spawn(Box::pin(async move {
        seen.fetch_add(1, Ordering::SeqCst);
        nap.await;
        seen.fetch_add(1, Ordering::SeqCst);
    }));
    assert!(spawned.is_ok(), "a task can be spawned inside the runtime");
    for _ in 0..1000 {
        if steps.load(Ordering::SeqCst) == 2 {
            return;
        }
        runtime.sleep(Duration::from_millis(10)).await;
    }
    panic!(
        "a spawned task ran {} of its 2 steps",
        steps.load(Ordering::SeqCst)
    );
}

/// The driver spawns and sleeps from `Drop`, which runs anywhere.
async fn nothing_panics_outside<R: Runtime>(runtime: &R) {
    let outside = thread::scope(|scope| {
        scope
            .spawn(|| {
                // Given back or taken, either is fine.
                drop(runtime.spawn(Box::pin(async {})));
                runtime.sleep(Duration::from_millis(1))
            })
            .join()
    });
    match outside {
        Ok(sleep) => sleep.await,
        Err(_) => panic!("spawning or making a sleep outside the runtime panicked"),
    }
}
