//! Nodes of a Redis cluster hang, die, come back and are replaced.

use std::future::Future;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use jetcache_adapters::RedisCluster;
use jetcache_core::ports::remote::{Filled, Hold, LeaseAsk, Settle, Wire};
use jetcache_core::{Fault, Remote, Token};
use jetcache_tests::redis_cluster::RedisNodes;
use jetcache_tests::redis_server::RedisServer;

use super::redis_cluster::{as_str, open, some};
use super::verbs::{MINUTE, T, claim, fill, lease, many, read, single, stored};

/// Gives up on a slot within a test's patience, and far later than a living node answers.
fn impatient(urls: impl IntoIterator<Item = String>) -> RedisCluster {
    RedisCluster::builder(urls)
        .slot_timeout(Duration::from_secs(4))
        .connect_timeout(Duration::from_secs(20))
        .open()
        .unwrap()
}

async fn until<F: Future<Output = bool>>(what: &str, mut is_so: impl FnMut() -> F) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while !is_so().await {
        assert!(Instant::now() < deadline, "{what}");
        thread::sleep(Duration::from_millis(20));
    }
}

/// Which of a batch's keys are whose, and how they fare.
async fn fare(nodes: &RedisNodes, cluster: &RedisCluster, keys: &[&str], away: usize) {
    for (key, found) in keys.iter().zip(cluster.read(keys, Wire::Native).await) {
        if nodes.first_owner(slot(key)) == away {
            assert!(matches!(found, Err(Fault::Timeout)), "{key}: {found:?}");
        } else {
            assert!(found.is_ok(), "{key}: {found:?}");
        }
    }
}

/// The slot of a key without braces: a node that is paused cannot be asked.
fn slot(key: &str) -> usize {
    let crc = key.bytes().fold(0_u16, |sum, byte| {
        (0..8).fold(sum ^ (u16::from(byte) << 8), |sum, _| {
            let carry = if sum & 0x8000 == 0 { 0 } else { 0x1021 };
            (sum << 1) ^ carry
        })
    });
    usize::from(crc) % 16_384
}

/// Far more slots of the paused master than a call asks at once: they must not keep others out.
async fn a_paused_master_costs_its_own_keys_only() {
    let nodes = RedisNodes::start();
    let cluster = impatient(nodes.urls());
    let keys = some(1000);
    let keys = as_str(&keys);
    for found in cluster.read(&keys, Wire::Native).await {
        found.unwrap();
    }
    nodes.node(1).pause();
    fare(&nodes, &cluster, &keys, 1).await;
    fare(&nodes, &cluster, &keys, 1).await;
    // A client that knows nothing yet is not kept by it either, though it asks it first.
    fare(
        &nodes,
        &impatient(nodes.urls().into_iter().skip(1)),
        &keys,
        1,
    )
    .await;
    nodes.node(1).resume();
    for found in cluster.read(&keys, Wire::Native).await {
        found.unwrap();
    }
}

#[test]
fn a_paused_master_costs_its_own_keys_only_on_tokio() {
    many().block_on(a_paused_master_costs_its_own_keys_only());
}

#[test]
fn a_paused_master_costs_its_own_keys_only_on_smol() {
    smol::block_on(a_paused_master_costs_its_own_keys_only());
}

#[test]
fn a_lease_that_is_granted_too_late_is_given_back() {
    let nodes = RedisNodes::start();
    let cluster = RedisCluster::builder(nodes.urls())
        .slot_timeout(Duration::from_millis(300))
        .open()
        .unwrap();
    let keys = nodes.keys_on(2, 3, "ns:#");
    let keys = as_str(&keys);
    many().block_on(async {
        until("the cluster answers", async || {
            let removed = cluster.remove(&keys).await;
            removed.iter().all(Result::is_ok)
        })
        .await;
        // A removal sets the key, too.
        nodes.ok(2, &["CONFIG", "RESETSTAT"]);
        nodes.node(2).pause();
        let asks: Vec<_> = keys
            .iter()
            .map(|key| LeaseAsk {
                key,
                token: T,
                life: MINUTE,
            })
            .collect();
        for leased in cluster.lease(&asks, Wire::Native).await {
            assert!(matches!(leased, Err(Fault::Timeout)), "{leased:?}");
        }
        nodes.node(2).resume();
        let told = || {
            let stats = nodes.node(2).cli(&["INFO", "commandstats"]);
            let granted = stats.contains("cmdstat_set:calls=3");
            let released = nodes.node(2).cli(&["DBSIZE"]) == "0";
            async move { granted && released }
        };
        until("the leases are given back", told).await;
    });
}

/// One master dies and comes back while the others' keys are asked for all the time.
async fn a_killed_master_costs_its_own_keys_only() {
    let mut nodes = RedisNodes::start();
    let cluster = open(&nodes);
    let keys = some(100);
    let keys = as_str(&keys);
    let healthy = async |may_fail: bool| {
        let mut failed = 0;
        for (key, removed) in keys.iter().zip(cluster.remove(&keys).await) {
            if let Err(fault) = removed {
                assert_eq!(slot(key) * 3 / 16_384, 0, "{key}: {fault}");
                assert!(!matches!(fault, Fault::Timeout));
                failed += 1;
            }
        }
        assert!(may_fail || failed == 0);
        failed
    };
    assert_eq!(healthy(false).await, 0);
    nodes.node_mut(0).kill();
    for _ in 0..20 {
        assert!(healthy(true).await > 10);
    }
    nodes.node_mut(0).restart();
    until("the master is back", async || healthy(true).await == 0).await;
    assert!(claim(&cluster, keys[0], T).await.unwrap());
}

#[test]
fn a_killed_master_costs_its_own_keys_only_on_tokio() {
    many().block_on(a_killed_master_costs_its_own_keys_only());
}

#[test]
fn a_killed_master_costs_its_own_keys_only_on_smol() {
    smol::block_on(a_killed_master_costs_its_own_keys_only());
}

#[test]
fn a_connection_that_is_closed_costs_nothing() {
    let nodes = RedisNodes::start();
    let cluster = open(&nodes);
    let key = nodes.keys_on(1, 1, "ns:#").remove(0);
    single().block_on(async {
        for n in 2..10_u128 {
            assert!(claim(&cluster, &key, Token::from_bits(n)).await.unwrap());
            let kill = ["CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"];
            nodes.node(1).cli(&kill);
        }
    });
}

#[test]
fn a_cluster_that_is_not_there_yet_is_found_when_it_is() {
    let mut nodes = RedisNodes::start();
    let cluster = open(&nodes);
    for at in 0..3 {
        nodes.node_mut(at).kill();
    }
    many().block_on(async {
        for _ in 0..3 {
            let fault = claim(&cluster, "ns:k", T).await.unwrap_err();
            assert!(matches!(fault, Fault::Unreachable(_)), "{fault}");
        }
        for at in 0..3 {
            nodes.node_mut(at).restart();
        }
        nodes.wait();
        assert!(claim(&cluster, "ns:k", T).await.unwrap());
    });
}

/// All that the client knows has gone, as when every node got a new address; the name that it was
/// given leads to the new ones. The first call finds them, and be it one that is never sent twice.
#[test]
fn the_given_nodes_are_asked_when_all_others_are_gone() {
    let mut old = RedisNodes::start();
    let new = RedisNodes::start();
    let signpost = Signpost::start(old.node(0).port());
    let cluster = signpost.cluster();
    let keys = (old.keys_on(0, 2, "ns:#"), old.keys_on(1, 1, "ns:#"));
    many().block_on(async {
        assert!(claim(&cluster, &keys.0[0], T).await.unwrap());
        assert!(claim(&cluster, &keys.1[0], T).await.unwrap());
        for at in 0..3 {
            old.node_mut(at).kill();
        }
        signpost.turn(new.node(0).port());
        tokio::time::sleep(STALE).await;
        assert!(claim(&cluster, &keys.0[1], T).await.unwrap());
    });
    assert_eq!(new.node(0).cli(&["DBSIZE"]), "1");
}

/// As one does that was cut off from the others, who have replaced it.
#[test]
fn a_node_that_says_that_the_cluster_is_down_is_left() {
    let lost = RedisServer::start_with(&["--cluster-enabled", "yes"]);
    let nodes = RedisNodes::start();
    let signpost = Signpost::start(lost.port());
    let cluster = signpost.cluster();
    let key = nodes.keys_on(0, 1, "ns:#").remove(0);
    many().block_on(async {
        let fault = claim(&cluster, &key, T).await.unwrap_err();
        assert!(matches!(fault, Fault::Refused(_)), "{fault}");
        signpost.turn(nodes.node(0).port());
        let found = async || claim(&cluster, &key, T).await.is_ok();
        until("the cluster is found", found).await;
    });
}

/// A node of which nothing is known but that it says who has all slots.
struct Signpost {
    url: String,
    port: Arc<Mutex<u16>>,
}

impl Signpost {
    fn start(port: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("redis://{}", listener.local_addr().unwrap());
        let port = Arc::new(Mutex::new(port));
        let shown = Arc::clone(&port);
        thread::spawn(move || {
            for stream in listener.incoming() {
                let (stream, shown) = (stream.unwrap(), Arc::clone(&shown));
                thread::spawn(move || {
                    serve(stream, |text| {
                        let shown = *shown.lock().unwrap();
                        text.contains("SLOTS").then(|| slots(shown))
                    })
                });
            }
        });
        Self { url, port }
    }

    fn turn(&self, port: u16) {
        *self.port.lock().unwrap() = port;
    }

    fn cluster(&self) -> RedisCluster {
        nameless(&self.url)
    }
}

/// Servers of make-believe know too little of Redis to be told a name.
fn nameless(url: &str) -> RedisCluster {
    RedisCluster::builder([url])
        .connections(1)
        .client_name("")
        .slot_timeout(Duration::from_secs(20))
        .connect_timeout(Duration::from_secs(20))
        .open()
        .unwrap()
}

#[test]
fn a_replica_that_took_over_in_order_is_followed() {
    let nodes = RedisNodes::start_with(1);
    let cluster = open(&nodes);
    let keys = nodes.keys_on(0, 20, "ns:#");
    many().block_on(async {
        for key in &keys {
            assert!(lease(&cluster, key, T).await.unwrap().granted);
            fill(&cluster, key, T, b"v").await.unwrap();
        }
        nodes.ok(3, &["CLUSTER", "FAILOVER"]);
        nodes.settle(|nodes, at| at != 3 || nodes.node(3).cli(&["ROLE"]).starts_with("master"));
        nodes.settle(|nodes, at| at != 0 || nodes.node(0).cli(&["ROLE"]).starts_with("slave"));
        // The new one knows no script, and the first to come is never sent twice.
        assert!(claim(&cluster, &keys[0], T).await.unwrap());
        for found in cluster.read(&as_str(&keys[1..]), Wire::Native).await {
            assert_eq!(found.unwrap().unwrap().bytes, b"v");
        }
    });
}

#[test]
fn a_master_that_died_is_replaced_by_its_replica() {
    let mut nodes = RedisNodes::start_with(1);
    let cluster = open(&nodes);
    let key = nodes.keys_on(0, 1, "ns:#").remove(0);
    many().block_on(async {
        assert!(claim(&cluster, &key, T).await.unwrap());
        nodes.node_mut(0).kill();
        let mut token = 1;
        until("the replica takes over", || {
            token += 1;
            let claimed = claim(&cluster, &key, Token::from_bits(token));
            async { claimed.await.is_ok() }
        })
        .await;
        assert_eq!(nodes.node(3).cli(&["DBSIZE"]), "1");
        // The old one comes back, and is nobody.
        nodes.node_mut(0).restart();
        nodes.wait();
        assert_eq!(
            fill(&cluster, &key, Token::from_bits(token), b"v")
                .await
                .unwrap(),
            Filled::Stored
        );
        assert!(read(&cluster, &key).await.unwrap().is_some());
    });
}

#[test]
fn a_master_that_hangs_is_replaced_by_its_replica() {
    let nodes = RedisNodes::start_with(1);
    let cluster = RedisCluster::builder(nodes.urls())
        .slot_timeout(Duration::from_millis(300))
        .open()
        .unwrap();
    let key = nodes.keys_on(0, 1, "ns:#").remove(0);
    many().block_on(async {
        until("the cluster answers", async || {
            claim(&cluster, &key, T).await.is_ok()
        })
        .await;
        nodes.node(0).pause();
        let replaced = async || read(&cluster, &key).await.is_ok();
        until("the replica takes over", replaced).await;
        nodes.node(0).resume();
    });
}

/// Two nodes of a make-believe cluster. The first has all slots until it is sent a verb, upon which
/// it hangs up, and the second has them. That one hangs up too.
struct Rude {
    url: String,
    heard: [Arc<Mutex<String>>; 2],
}

impl Rude {
    fn start() -> Self {
        let listeners = [0, 1].map(|_| TcpListener::bind("127.0.0.1:0").unwrap());
        let ports = [0, 1].map(|at: usize| listeners[at].local_addr().unwrap().port());
        let heard = [0, 1].map(|_| Arc::new(Mutex::new(String::new())));
        for (at, listener) in listeners.into_iter().enumerate() {
            let heard = heard.clone();
            thread::spawn(move || {
                for stream in listener.incoming() {
                    let (stream, heard) = (stream.unwrap(), heard.clone());
                    thread::spawn(move || {
                        serve(stream, |text| {
                            heard[at].lock().unwrap().push_str(text);
                            let gone = verbs(&heard[0].lock().unwrap()) > 0;
                            let port = ports[usize::from(gone)];
                            text.contains("SLOTS").then(|| slots(port))
                        })
                    });
                }
            });
        }
        Self {
            url: format!("redis://127.0.0.1:{}", ports[0]),
            heard,
        }
    }

    fn cluster(&self) -> RedisCluster {
        nameless(&self.url)
    }

    fn verbs(&self) -> [usize; 2] {
        [0, 1].map(|at: usize| verbs(&self.heard[at].lock().unwrap()))
    }
}

/// Answers what a connection is sent: as told, or OK to each command. Hangs up on a verb.
fn serve(mut stream: TcpStream, answer: impl Fn(&str) -> Option<String>) {
    let mut buffer = [0; 10_000];
    while let Ok(len @ 1..) = stream.read(&mut buffer) {
        let text = String::from_utf8_lossy(&buffer[..len]).into_owned();
        let answer = answer(&text).unwrap_or_else(|| "+OK\r\n".repeat(text.matches('*').count()));
        if verbs(&text) > 0 || stream.write_all(answer.as_bytes()).is_err() {
            break;
        }
    }
}

/// What a node says to `CLUSTER SLOTS` if all of them are at one port.
fn slots(port: u16) -> String {
    format!("*1\r\n*3\r\n:0\r\n:16383\r\n*2\r\n$9\r\n127.0.0.1\r\n:{port}\r\n")
}

fn verbs(text: &str) -> usize {
    let verbs = ["MGET", "EVALSHA"];
    verbs.iter().map(|verb| text.matches(verb).count()).sum()
}

/// The time for which the map counts as fresh goes by; then the new master would be found.
async fn ready(cluster: &RedisCluster) {
    assert!(cluster.read(&[], Wire::Native).await.is_empty());
    tokio::time::sleep(STALE).await;
}

#[test]
fn only_what_may_be_sent_twice_is() {
    let settle = Settle {
        key: "ns:k",
        token: Some(T),
        value: stored(b"v"),
    };
    let hold = Hold {
        key: "ns:k",
        token: T,
    };
    many().block_on(async {
        for verb in [
            "lease", "claim", "fill", "settle", "read", "release", "remove",
        ] {
            let rude = Rude::start();
            let cluster = rude.cluster();
            // Asks where the slots are, and finds no key.
            ready(&cluster).await;
            let failed = match verb {
                "lease" => lease(&cluster, "ns:k", T).await.is_err(),
                "claim" => claim(&cluster, "ns:k", T).await.is_err(),
                "fill" => fill(&cluster, "ns:k", T, b"v").await.is_err(),
                "settle" => cluster.settle(&[settle], Wire::Native).await[0].is_err(),
                "read" => read(&cluster, "ns:k").await.is_err(),
                "release" => cluster.release(&[hold]).await[0].is_err(),
                _ => cluster.remove(&["ns:k"]).await[0].is_err(),
            };
            assert!(failed, "{verb}");
            let sent = rude.verbs();
            if ["lease", "claim", "fill", "settle"].contains(&verb) {
                assert_eq!(sent, [1, 0], "{verb}");
                // What is asked next goes to the new one, once.
                until("the new master is found", || {
                    let claimed = claim(&cluster, "ns:k", T);
                    let rude = &rude;
                    async move {
                        let before: usize = rude.verbs().iter().sum();
                        assert!(claimed.await.is_err());
                        assert_eq!(rude.verbs().iter().sum::<usize>(), before + 1);
                        rude.verbs()[1] > 0
                    }
                })
                .await;
            } else {
                assert_eq!(sent[0], 2, "{verb}");
            }
        }
    });
}

/// A map of this age is not taken for fresh.
const STALE: Duration = Duration::from_millis(150);
