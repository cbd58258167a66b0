//! Kept cases of tags and clear.

use std::collections::BTreeSet;
use std::time::Duration;

use jetcache_core::{Cache, Cached, Load, LoadError, Reach};

use crate::actors::caller::{Node, REMOTE_TIMEOUT};
use crate::fate::judge::Judge;
use crate::fate::ledger::Key;
use crate::kept::play;
use crate::world::codec::Fickle;
use crate::world::net::Net;
use crate::world::time::World;
use crate::world::weather::Weather;

fn node(world: &World, net: &Net) -> Node {
    Cache::<Key, u64>::builder("kept", world.clone())
        .remote(net.of(0), Fickle)
        .remote_timeout(REMOTE_TIMEOUT)
        .lease(HOUR)
        .failover_window(HOUR)
        .build()
        .unwrap()
}

fn net(world: &World) -> Net {
    Net::new(world, &Judge::new(world), Weather::calm()).with_log()
}

async fn load(node: &Node, key: Key) {
    let loader = async || Ok::<_, LoadError>(Load::from(7).tags(["tag"]));
    assert_eq!(node.get_or_load(&key, loader).await.unwrap(), Some(7));
}

/// Under a lease that L2 has granted stands a value that is dead, so it is asked what was raised before
/// that is known. Whoever is dropped then gives the lease back.
#[test]
fn a_read_that_is_dropped_over_a_dead_value_leaves_nothing() {
    let mut steps = 0;
    while !dropped_after(steps) {
        steps += 1;
    }
    assert!(steps > 5, "it was over after {steps} steps");
}

/// Drops a read after so many steps. Returns whether it was over by then.
fn dropped_after(steps: usize) -> bool {
    let world = World::new(0);
    let net = net(&world);
    let node = node(&world, &net);
    let own = node.clone();
    play(&world, async move {
        load(&own, 1).await;
        let reach = own.invalidate_tag("tag").await.unwrap();
        assert_eq!(reach, Reach::Everywhere);
    });
    let own = node.clone();
    let read = world.begin(async move { load(&own, 1).await });
    let step = || world.step(&BTreeSet::new(), world.time() + Duration::from_secs(60));
    for _ in 0..steps {
        step();
    }
    let over = !world.cancel(read);
    while step() {}
    let left = (net.leases(), node.activity(), node.tasks());
    assert!(
        left == Default::default(),
        "kept case, step {steps}: P5 is broken: {left:?} are left"
    );
    over
}

/// The replica that takes over lacks the raise. Its node changes another key there, and reads nothing:
/// nobody else could tell those who begin now.
#[test]
fn a_raise_that_the_new_primary_lacks_is_made_up_for_without_a_read() {
    let world = World::new(0);
    let net = net(&world);
    let (one, other) = (node(&world, &net), net.clone());
    let own = one.clone();
    play(&world, async move {
        load(&own, 1).await;
        other.go_on();
        let reach = own.invalidate_tag("tag").await.unwrap();
        assert_eq!(reach, Reach::Everywhere);
        other.go_on();
        own.invalidate(&2).await;
        own.invalidate(&2).await;
    });
    assert_eq!(one.stats().failovers, 1);
    let newcomer = node(&world, &net);
    let found = play(&world, async move { newcomer.get(&1).await });
    assert!(
        found == Cached::Miss,
        "kept case, step 0: P2 is broken: {found:?} came back"
    );
}

const HOUR: Duration = Duration::from_secs(3600);
