//! Slots of a Redis cluster move while they are used.

use jetcache_adapters::RedisCluster;
use jetcache_core::ports::bus::Kind;
use jetcache_core::ports::remote::{Claim, Fill, Filled, LeaseAsk, Wire};
use jetcache_core::{Fault, Remote};
use jetcache_tests::redis_cluster::RedisNodes;

use crate::adapters::cluster::{as_str, open, patient};
use crate::adapters::verbs::{MINUTE, T, claim, fill, lease, many, read, stored};

/// A slot on its way from master 0 to master 1.
struct Move<'a> {
    nodes: &'a RedisNodes,
    slot: String,
}

impl<'a> Move<'a> {
    fn begin(nodes: &'a RedisNodes, key: &str) -> Self {
        let slot = nodes.slot(key).to_string();
        let (from, to) = (nodes.id(0), nodes.id(1));
        nodes.ok(1, &["CLUSTER", "SETSLOT", &slot, "IMPORTING", &from]);
        nodes.ok(0, &["CLUSTER", "SETSLOT", &slot, "MIGRATING", &to]);
        Self { nodes, slot }
    }

    fn key(&self, key: &str) {
        let port = self.nodes.node(1).port().to_string();
        let command = ["MIGRATE", "127.0.0.1", &port, key, "0", "5000"];
        self.nodes.ok(0, &command);
    }

    /// The slot stays where it is.
    fn back(self) {
        for at in [0, 1] {
            self.nodes
                .ok(at, &["CLUSTER", "SETSLOT", &self.slot, "STABLE"]);
        }
    }

    fn end(self) {
        let id = self.nodes.id(1);
        for at in [1, 0, 2] {
            self.nodes
                .ok(at, &["CLUSTER", "SETSLOT", &self.slot, "NODE", &id]);
        }
    }
}

/// Keys of one slot on master 0, with a value each if `full`.
fn slotful(nodes: &RedisNodes, cluster: &RedisCluster, full: bool) -> Vec<String> {
    let tag = nodes.keys_on(0, 1, "#").remove(0);
    let keys: Vec<_> = (0..4).map(|n| format!("ns:{{{tag}}}:{n}")).collect();
    if full {
        many().block_on(async {
            for key in &keys {
                assert!(lease(cluster, key, T).await.unwrap().is_granted());
                let filled = fill(cluster, key, T, b"v").await.unwrap();
                assert_eq!(filled, Filled::Stored);
            }
        });
    }
    keys
}

fn calls(nodes: &RedisNodes, at: usize, command: &str) -> usize {
    let stats = nodes.node(at).cli(&["INFO", "commandstats"]);
    let line = stats
        .lines()
        .find(|line| line.starts_with(&format!("cmdstat_{command}:calls=")));
    line.map_or(0, |line| {
        let count = line.split_once('=').unwrap().1;
        count.split_once(',').unwrap().0.parse().unwrap()
    })
}

fn asks<'a>(keys: &'a [&str]) -> Vec<LeaseAsk<'a>> {
    let ask = |key| LeaseAsk {
        key,
        token: T,
        life: MINUTE,
    };
    keys.iter().copied().map(ask).collect()
}

#[test]
fn a_slot_that_moved_is_followed_and_remembered() {
    let nodes = RedisNodes::start();
    let cluster = open(&nodes);
    let keys = slotful(&nodes, &cluster, true);
    let keys = as_str(&keys);
    let way = Move::begin(&nodes, keys[0]);
    keys.iter().for_each(|key| way.key(key));
    way.end();
    many().block_on(async {
        // The command that finds out first is one that is never sent twice.
        assert!(claim(&cluster, keys[0], T).await.unwrap());
        for found in cluster.read(&keys[1..], Wire::Native).await {
            assert_eq!(found.unwrap().unwrap().bytes, b"v");
        }
        for leased in cluster.lease(&asks(&keys[1..]), Wire::Native).await {
            let leased = leased.unwrap();
            assert!(leased.is_granted() && leased.found.unwrap().bytes == b"v");
        }
    });
    let failed = nodes.node(0).cli(&["INFO", "errorstats"]);
    assert!(failed.contains("errorstat_MOVED:count=1"), "{failed}");
    assert_eq!(calls(&nodes, 1, "asking"), 0);
}

#[test]
fn a_batch_of_a_moved_slot_is_sent_on_whole() {
    let nodes = RedisNodes::start();
    let cluster = open(&nodes);
    let keys = slotful(&nodes, &cluster, true);
    let keys = as_str(&keys);
    let other = nodes.keys_on(2, 1, "ns:#").remove(0);
    let way = Move::begin(&nodes, keys[0]);
    keys.iter().for_each(|key| way.key(key));
    way.end();
    let mut all = keys.clone();
    all.push(&other);
    many().block_on(async {
        for leased in cluster.lease(&asks(&all), Wire::Native).await {
            assert!(leased.unwrap().is_granted());
        }
        let fills: Vec<_> = all
            .iter()
            .map(|key| Fill {
                key,
                token: T,
                value: stored(b"w"),
                kind: Kind::SetByOnce,
            })
            .collect();
        for filled in cluster.fill(&fills, Wire::Native).await {
            assert_eq!(filled.unwrap(), Filled::Stored);
        }
        for found in cluster.read(&all, Wire::Native).await {
            assert_eq!(found.unwrap().unwrap().bytes, b"w");
        }
    });
}

#[test]
fn a_slot_on_the_move_serves_a_key_where_it_is() {
    let nodes = RedisNodes::start();
    let cluster = open(&nodes);
    let keys = slotful(&nodes, &cluster, true);
    let way = Move::begin(&nodes, &keys[0]);
    way.key(&keys[0]);
    way.key(&keys[1]);
    many().block_on(async {
        for key in &keys {
            let found = read(&cluster, key).await.unwrap();
            assert_eq!(found.unwrap().bytes, b"v", "{key}");
        }
        // Neither node has anything.
        let absent = keys[0].replace(":0", ":absent");
        assert!(read(&cluster, &absent).await.unwrap().is_none());
        // No node has the lease yet, so it is put where the slot is going. The second look finds
        // the value there, too.
        for key in &keys {
            let leased = lease(&cluster, key, T).await.unwrap();
            assert!(leased.is_granted(), "{key}");
            assert_eq!(leased.found.unwrap().bytes, b"v", "{key}");
        }
        // Value and lease are there: scripts work.
        let filled = fill(&cluster, &keys[0], T, b"w").await.unwrap();
        assert_eq!(filled, Filled::Stored);
    });
    // `ASKING` holds for one command.
    assert!(calls(&nodes, 1, "asking") >= 8);
    way.key(&keys[2]);
    way.key(&keys[3]);
    way.end();
    many().block_on(async {
        for key in &keys {
            let wanted: &[u8] = if key == &keys[0] { b"w" } else { b"v" };
            let found = read(&cluster, key).await.unwrap();
            assert_eq!(found.unwrap().bytes, wanted);
        }
    });
}

#[test]
fn each_command_of_a_batch_finds_its_own_way() {
    let nodes = RedisNodes::start();
    let cluster = open(&nodes);
    let keys = slotful(&nodes, &cluster, true);
    let runtime = many();
    runtime.block_on(async {
        for key in &keys[..3] {
            assert!(lease(&cluster, key, T).await.unwrap().is_granted());
        }
    });
    let way = Move::begin(&nodes, &keys[0]);
    // 0: value and lease have gone. 1: the value has. 2: both are here. 3: has no lease.
    for key in [&keys[0], &format!("{}#lease", keys[0]), &keys[1]] {
        way.key(key);
    }
    let fills: Vec<_> = keys
        .iter()
        .map(|key| Fill {
            key,
            token: T,
            value: stored(b"w"),
            kind: Kind::SetByOnce,
        })
        .collect();
    let filled = runtime.block_on(cluster.fill(&fills, Wire::Native));
    assert_eq!(filled[0].as_ref().unwrap(), &Filled::Stored);
    assert_eq!(filled[2].as_ref().unwrap(), &Filled::Stored);
    for at in [1, 3] {
        let Err(Fault::Refused(why)) = &filled[at] else {
            panic!("{at}: {:?}", filled[at])
        };
        assert!(why.contains("TryAgain"), "{why}");
    }
}

/// Moves the lease while a fill waits for it. It waits for no more than a tenth of a second, in
/// which a busy machine may not get that done, so there are some attempts.
#[test]
fn a_command_waits_a_little_for_keys_that_are_apart() {
    let nodes = RedisNodes::start();
    let cluster = open(&nodes);
    let tag = nodes.keys_on(0, 1, "#").remove(0);
    let runtime = many();
    let waits = (0..20).any(|attempt| {
        let key = format!("ns:{{{tag}}}:{attempt}");
        let refused = || {
            let errors = nodes.node(0).cli(&["INFO", "errorstats"]);
            let count = errors.split_once("errorstat_TRYAGAIN:count=");
            count.map(|(_, count)| count.trim_end().to_owned())
        };
        runtime.block_on(async {
            assert!(lease(&cluster, &key, T).await.unwrap().is_granted());
            let way = Move::begin(&nodes, &key);
            let before = refused();
            // The lease is here and the value is not, so it may be there.
            let task = tokio::spawn({
                let (cluster, key) = (cluster.clone(), key.clone());
                async move { fill(&cluster, &key, T, b"w").await }
            });
            while refused() == before && !task.is_finished() {
                tokio::task::yield_now().await;
            }
            let waited = !task.is_finished();
            way.back();
            task.await
                .unwrap()
                .is_ok_and(|filled| filled == Filled::Stored)
                && waited
        })
    });
    assert!(waits);
}

#[test]
fn a_script_is_loaded_where_the_slot_is_going() {
    let nodes = RedisNodes::start();
    let cluster = open(&nodes);
    let keys = slotful(&nodes, &cluster, true);
    let runtime = many();
    runtime.block_on(async { lease(&cluster, &keys[0], T).await.unwrap() });
    nodes.node(1).cli(&["SCRIPT", "FLUSH"]);
    let way = Move::begin(&nodes, &keys[0]);
    way.key(&keys[0]);
    way.key(&format!("{}#lease", keys[0]));
    let filled = runtime.block_on(fill(&cluster, &keys[0], T, b"w")).unwrap();
    assert_eq!(filled, Filled::Stored);
}

#[test]
fn the_right_to_ask_is_missed() {
    let nodes = RedisNodes::start();
    for at in 0..3 {
        let user = [
            "ACL", "SETUSER", "app", "on", ">pw", "~*", "+@all", "-asking",
        ];
        nodes.ok(at, &user);
    }
    let urls = nodes
        .urls()
        .into_iter()
        .map(|url| url.replace("//", "//app:pw@"));
    let cluster = patient(urls);
    let keys = slotful(&nodes, &cluster, true);
    let way = Move::begin(&nodes, &keys[0]);
    way.key(&keys[0]);
    let fault = many().block_on(read(&cluster, &keys[0])).unwrap_err();
    assert!(fault.to_string().contains("asking"), "{fault}");
}

#[test]
fn claims_through_a_slots_whole_journey_are_each_carried_out_once() {
    let nodes = RedisNodes::start();
    let cluster = open(&nodes);
    let keys = slotful(&nodes, &cluster, false);
    let runtime = many();
    let all = |granted: bool| {
        let claims: Vec<_> = keys
            .iter()
            .map(|key| Claim {
                key,
                token: T,
                life: MINUTE,
                condition: None,
                dead: None,
                spares: false,
            })
            .collect();
        let answers = runtime.block_on(cluster.claim(&claims, Wire::Native));
        for answer in answers {
            assert_eq!(answer.is_ok(), granted, "{answer:?}");
        }
    };
    let done = || calls(&nodes, 0, "evalsha") + calls(&nodes, 1, "evalsha");
    all(true);
    let before = done();
    let way = Move::begin(&nodes, &keys[0]);
    // The values are absent and the leases are here: neither can be had.
    all(false);
    for key in &keys {
        way.key(&format!("{key}#lease"));
    }
    all(false);
    assert_eq!(done(), before, "refused is not carried out");
    way.end();
    all(true);
    // Master 1 had to be told the script, and the refusals of that count as calls.
    assert_eq!(done(), before + 2 * keys.len());
}
