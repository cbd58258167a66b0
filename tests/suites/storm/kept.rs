//! Kept cases: what storms have found, in the fewest steps.

#[path = "kept/breaker.rs"]
mod breaker;
#[path = "kept/fleet.rs"]
mod fleet;
#[path = "kept/generations.rs"]
mod generations;

use std::collections::BTreeSet;
use std::future::Future;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use jetcache_core::{Builder, Cache, Error, LoadError, Loads};

use crate::actors::caller::REMOTE_TIMEOUT;
use crate::actors::loading::is_absence;
use crate::fate::judge::Judge;
use crate::fate::ledger::Key;
use crate::world::codec::Fickle;
use crate::world::net::Net;
use crate::world::time::World;
use crate::world::weather::Weather;

/// Runs a task and everything that follows from it. Returns what the task returned.
pub(crate) fn play<T: Send + 'static>(
    world: &World,
    task: impl Future<Output = T> + Send + 'static,
) -> T {
    let brought = Arc::new(Mutex::new(None));
    let place = Arc::clone(&brought);
    world.begin(async move {
        let outcome = task.await;
        *place.lock().unwrap() = Some(outcome);
    });
    // A node that listens to a bus does so for ever, so the end is set.
    let end = world.time() + Duration::from_secs(60);
    while world.step(&BTreeSet::new(), end) {}
    let outcome = brought.lock().unwrap().take();
    outcome.expect("it ends")
}

fn builder(world: &World, weather: Weather) -> Builder<Key, u64> {
    Cache::builder("kept", world.clone())
        .remote(Net::new(world, &Judge::new(world), weather), Fickle)
        .remote_timeout(REMOTE_TIMEOUT)
        .not_found_when(is_absence)
}

#[test]
fn a_predicate_that_panics_fails_the_keys_it_was_asked_about() {
    let world = World::new(0);
    let cache = builder(&world, Weather::calm()).build().unwrap();
    let own = cache.clone();
    let answers = play(&world, async move {
        let one = async |ids: Vec<Key>| {
            let loads = ids.iter().map(|id| match id {
                1 => (*id, Err(LoadError::from("an odd row"))),
                _ => (*id, Ok(7)),
            });
            Ok(loads.collect::<Loads<Key, u64>>())
        };
        let all = async |_| Err::<Vec<(Key, u64)>, _>(LoadError::from("an odd row"));
        let some = own.get_many_or_load(&[1, 2], one).await;
        let none = own.get_many_or_load(&[3, 4], all).await;
        some.into_iter()
            .chain(none)
            .map(|(_, answer)| answer)
            .collect::<Vec<_>>()
    });
    assert!(matches!(answers[0], Err(Error::Panicked(_))), "{answers:?}");
    assert!(matches!(answers[1], Ok(Some(7))), "{answers:?}");
    assert!(matches!(answers[2], Err(Error::Panicked(_))), "{answers:?}");
    assert!(matches!(answers[3], Err(Error::Panicked(_))), "{answers:?}");
    assert_eq!((cache.activity(), cache.tasks()), Default::default());
}

#[test]
fn an_adapter_that_panics_is_a_fault_of_l2() {
    let world = World::new(0);
    let cache = builder(&world, Weather::of_panics()).build().unwrap();
    let own = cache.clone();
    let answers = play(&world, async move {
        let load = async |ids: Vec<Key>| Ok(ids.into_iter().map(|id| (id, 7)).collect::<Vec<_>>());
        let one = own.get_or_load(&1, async || Ok(7)).await;
        let many = own.get_many_or_load(&[2, 3], load).await;
        (one, many.into_values())
    });
    assert!(matches!(answers, (Ok(Some(7)), Ok(many)) if many == [Some(7), Some(7)]));
    assert!(cache.stats().remote_faults > 0);
    assert_eq!((cache.activity(), cache.tasks()), Default::default());
}

/// Wherever a batch is dropped, its leases are given back, those that come later too.
#[test]
fn a_batch_that_is_dropped_leaves_nothing() {
    let mut steps = 0;
    while !dropped_after(steps) {
        steps += 1;
    }
    assert!(steps > 5, "it was over after {steps} steps");
}

/// Drops a batch after so many steps. Returns whether it was over by then.
fn dropped_after(steps: usize) -> bool {
    let world = World::new(0);
    let net = Net::new(&world, &Judge::new(&world), Weather::calm());
    let cache = Cache::<Key, u64>::builder("kept", world.clone())
        .remote(net.clone(), Fickle)
        .lease(Duration::from_secs(3600))
        .build()
        .unwrap();
    let own = cache.clone();
    let batch = world.begin(async move {
        let load = async |ids: Vec<Key>| Ok(ids.into_iter().map(|id| (id, 7)).collect::<Vec<_>>());
        let _ = own.get_many_or_load(&[1, 2, 3], load).await;
    });
    let step = || world.step(&BTreeSet::new(), world.time() + Duration::from_secs(60));
    for _ in 0..steps {
        step();
    }
    let over = !world.cancel(batch);
    while step() {}
    let left = (net.leases(), cache.activity(), cache.tasks());
    assert!(
        left == Default::default(),
        "kept case, step {steps}: P5 is broken: {left:?} are left"
    );
    over
}
