//! Kept cases of a fleet: what storms have found, and what no storm would find, in the fewest
//! steps.

use std::time::Duration;

use jetcache_core::ports::bus::{Kind, Message};
use jetcache_core::{Builder, BusState, Cache, Cached, LoadError, Runtime, Wire};

use crate::fate::judge::Judge;
use crate::fate::ledger::Key;
use crate::kept::play;
use crate::world::bus::{Air, Bus};
use crate::world::codec::Fickle;
use crate::world::gap::{Gap, Width};
use crate::world::net::Net;
use crate::world::time::World;
use crate::world::weather::Weather;

/// An L2 and a bus for a few nodes.
struct Fleet {
    world: World,
    net: Net,
    air: Air,
}

type Node = Cache<Key, u64>;

impl Fleet {
    fn of(bus: Bus) -> Self {
        Self::seeded(0, bus)
    }

    fn seeded(seed: u64, bus: Bus) -> Self {
        let world = World::new(seed);
        let judge = Judge::new(&world);
        let air = Air::calm(&world, &judge, bus);
        let net = Net::new(&world, &judge, Weather::calm()).on(&air);
        Self { world, net, air }
    }

    fn builder(&self, life: usize) -> Builder<Key, u64> {
        Cache::builder("kept", self.world.clone())
            .remote(self.net.of(life), Fickle)
            .ttl(HOUR)
            .local_ttl(HOUR)
            .remote_timeout(Duration::from_secs(1))
            .bus(self.air.antenna(life))
    }

    /// So many nodes, which already listen.
    fn nodes<const N: usize>(
        &self,
        with: impl Fn(Builder<Key, u64>) -> Builder<Key, u64>,
    ) -> [Node; N] {
        let build = |life| with(self.builder(life)).build().unwrap();
        let nodes = std::array::from_fn(build);
        for node in &nodes {
            let own: Node = Node::clone(node);
            play(&self.world, async move { own.get(&0).await });
        }
        nodes
    }

    /// A node of another fleet says that it removed a key.
    fn a_stranger_removes(&self, key: Key) {
        let message = Message {
            cache: "kept".into(),
            source: "0123456789abcdef".into(),
            kind: Kind::Delete,
            keys: vec![format!("kept:{key}")],
            fenced: false,
        };
        self.air.say(STRANGER, message);
    }
}

async fn brings(value: u64) -> Result<u64, LoadError> {
    Ok(value)
}

#[test]
fn every_call_that_goes_further_than_l1_begins_to_listen() {
    for call in 0..7 {
        let fleet = Fleet::of(Bus::Publish);
        let node = fleet.builder(0).build().unwrap();
        let own = node.clone();
        let one = async |_: Vec<Key>| Ok::<_, LoadError>(vec![(1, 7)]);
        play(&fleet.world, async move {
            match call {
                0 => drop(own.get(&1).await),
                1 => drop(own.get_many(&[1]).await),
                2 => drop(own.get_or_load(&1, async || Ok(7)).await),
                3 => drop(own.get_many_or_load(&[1], one).await),
                4 => drop(own.insert(1, 7).await),
                5 => drop(own.insert_many([(1, 7)]).await),
                _ => drop(own.write_through(&1, async || Ok(7)).await),
            }
        });
        let heard = node.bus();
        assert!(
            heard == BusState::Up,
            "kept case, step {call}: P2 is broken: nobody listens, {heard:?}"
        );
    }
}

#[test]
fn words_that_are_too_many_are_not_lost() {
    let fleet = Fleet::of(Bus::Publish);
    let [one, two] = fleet.nodes(|builder| builder);
    let own = two.clone();
    play(&fleet.world, async move {
        own.get_or_load(&1, || brings(7)).await.unwrap();
    });
    fleet.air.slow_down(Duration::from_secs(1));
    play(&fleet.world, async move {
        // While this is being told ...
        one.invalidate(&0).await;
        let others: Vec<Key> = (100..228).collect();
        for _ in 0..32 {
            one.invalidate_many(&others).await;
        }
        // ... 4,096 others wait, and one more.
        one.invalidate(&1).await;
    });
    let seen = two.peek(&1);
    assert!(
        seen == Cached::Miss,
        "kept case, step 4098: P2 is broken: {seen:?} is seen, and nobody told"
    );
}

/// Two nodes that told each other of what they did because they heard would never end.
#[test]
fn hearing_tells_nothing() {
    for bus in [Bus::Publish, Bus::WithChange] {
        let fleet = Fleet::of(bus);
        let nodes: [Node; 2] = fleet.nodes(|builder| builder.wire(Wire::JetcacheGo));
        fleet.a_stranger_removes(1);
        play(&fleet.world, async {});
        let (said, heard) = (fleet.air.said(), nodes.map(|node| node.stats().heard));
        assert!(
            said == 1 && heard == [1, 1],
            "kept case, step 1: P5 is broken: {said} words were said in {bus:?}, {heard:?} heard"
        );
    }
}

#[test]
fn who_says_so_need_not_hear_it() {
    for bus in [Bus::Publish, Bus::WithChange] {
        let fleet = Fleet::of(bus);
        let [node] = fleet.nodes(|builder| builder);
        let own = node.clone();
        play(&fleet.world, async move { own.insert(1, 7).await.is_ok() });
        let seen = node.peek(&1);
        assert!(
            fleet.air.said() == 1 && seen == Cached::Hit(7),
            "kept case, step 1: P6 is broken: {seen:?} is left of an insert in {bus:?}"
        );
    }
}

/// Between claim and fill a reader finds the key empty and its lease taken, and loads for itself.
#[test]
fn inserted_values_end_equal_everywhere() {
    for seed in 0..10 {
        for bus in [Bus::Publish, Bus::WithChange] {
            let mut fleet = Fleet::seeded(seed, bus);
            let hasty = |builder: Builder<Key, u64>| builder.lease_wait(Duration::from_millis(1));
            let [two] = fleet.nodes(hasty);
            fleet.net = fleet.net.in_weather(Weather::slow());
            let one = fleet.builder(1).build().unwrap();
            let (own, world) = (two.clone(), fleet.world.clone());
            fleet.world.begin(async move {
                for _ in 0..100 {
                    own.get_or_load(&1, || brings(9)).await.unwrap();
                    world.sleep(Duration::from_millis(3)).await;
                }
            });
            play(&fleet.world, async move { one.insert(1, 7).await.is_ok() });
            let seen = two.peek(&1);
            assert!(
                seen != Cached::Hit(9),
                "kept case, step {seed}: P2 is broken: {seen:?} beside an inserted 7 in {bus:?}"
            );
        }
    }
}

/// A node that is told too early drops its entry and reads the old one again.
#[test]
fn nobody_is_told_before_l2_has_changed() {
    for seed in 0..10 {
        let mut fleet = Fleet::seeded(seed, Bus::Publish);
        let [two] = fleet.nodes(|builder| builder);
        fleet.net = fleet.net.in_weather(Weather::slow());
        let one = fleet.builder(1).build().unwrap();
        let (own, world) = (two.clone(), fleet.world.clone());
        fleet.world.begin(async move {
            own.insert(1, 7).await.unwrap();
            for _ in 0..200 {
                own.get(&1).await;
                world.sleep(Duration::from_millis(3)).await;
            }
        });
        let world = fleet.world.clone();
        play(&fleet.world, async move {
            world.sleep(Duration::from_millis(50)).await;
            one.invalidate(&1).await
        });
        let seen = two.peek(&1);
        assert!(
            seen == Cached::Miss,
            "kept case, step {seed}: P2 is broken: {seen:?} is seen behind its removal"
        );
    }
}

#[test]
fn a_load_that_ends_while_its_word_is_taken_in_is_not_kept() {
    let fleet = Fleet::of(Bus::Publish);
    let gap = || Gap::new(&fleet.world, Width::Long(Duration::from_secs(1)));
    let [node] = fleet.nodes(|builder| builder.local(gap()));
    let (own, world) = (node.clone(), fleet.world.clone());
    fleet.world.begin(async move {
        let load = async || {
            world.sleep(Duration::from_millis(50)).await;
            Ok::<_, LoadError>(7)
        };
        own.get_or_load(&1, load).await.unwrap();
    });
    fleet.a_stranger_removes(1);
    play(&fleet.world, async {});
    let seen = node.peek(&1);
    assert!(
        node.stats().heard == 1 && seen == Cached::Miss,
        "kept case, step 1: P2 is broken: {seen:?} is seen behind a word of its removal"
    );
}

/// None of the nodes.
const STRANGER: usize = 99;
/// Longer than any case, so that no entry which should be gone just expires.
const HOUR: Duration = Duration::from_secs(3600);
