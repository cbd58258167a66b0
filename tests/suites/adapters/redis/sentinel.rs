//! Redis through Sentinel: who leads is asked for, and a failover needs no restart.

use std::fs;
use std::future::Future;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};
use std::thread;
use std::time::Duration;

use jetcache_adapters::redis::{RedisSentinelBuilder, RedisSubscription};
use jetcache_adapters::{Raw, Redis};
use jetcache_core::{Bus, BusState, Fault, Reach, Subscription, Token};
use jetcache_tests::redis_sentinels::{GROUP, Passwords, RedisGroup};
use jetcache_tests::redis_server::RedisServer;
use jetcache_tokio::{Cache, Cached, Node};

use super::access::Pki;
use super::bus::{sleep, within};
use super::silence::briefly;
use crate::adapters::verbs::{T, claim, contract_on_tokio, many, read};

fn through(group: &RedisGroup) -> RedisSentinelBuilder {
    Redis::sentinel(GROUP, group.addresses())
}

/// How a node is made on the runtime at hand.
type Make = fn() -> Node;

/// Runs a test on tokio and on smol.
fn on_both<F: Future<Output = ()>>(test: impl Fn(Make) -> F) {
    many().block_on(test(jetcache_tokio::node));
    smol::block_on(test(jetcache_smol::node));
}

/// A cache, over L2 and a bus that are this value's, which makes the changes of this window again after
/// a failover.
async fn cached(node: Node, redis: &Redis, tracking: bool, window: Duration) -> Cache<u64, String> {
    let node = node.remote(redis.clone());
    let node = if tracking {
        node.bus(redis.tracking())
    } else {
        node.bus(redis.pubsub("shop"))
    };
    let cache = node.cache::<u64, String>("ns", Raw);
    let cache = cache.failover_window(window).build().unwrap();
    assert_eq!(cache.listen().await, BusState::Up);
    cache
}

/// Waits until a cache's changes reach L2 and its bus is a new one.
async fn is_whole_again(cache: &Cache<u64, String>, epoch: u64) {
    within("the bus is back, and changes reach everywhere", async {
        for round in 1000.. {
            // Each round calls: nobody else notices anything.
            let reach = cache.insert(round, "v".into()).await.unwrap();
            if reach == Reach::Everywhere && cache.bus() == BusState::Up && cache.epoch() > epoch {
                return;
            }
            sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
    within("removals are made up for", async {
        while cache.activity().unconfirmed > 0 {
            sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
}

/// Waits until a claim succeeds.
async fn claimed(redis: &Redis, key: &str) {
    within("changes succeed again", async {
        while !matches!(briefly(claim(redis, key, T)).await, Some(Ok(true))) {
            sleep(Duration::from_millis(10)).await;
        }
    })
    .await;
}

async fn subscribe(bus: &impl Bus<Subscription = RedisSubscription>) -> RedisSubscription {
    let prefixes = ["ns:".into()];
    within("it subscribes", bus.subscribe(&prefixes))
        .await
        .unwrap()
}

/// The whole of it: L2 and bus through a failover, and a cache that gets over it.
async fn a_failover(make: Make, tracking: bool, fail: impl Fn(&mut RedisGroup)) {
    let mut group = RedisGroup::start(2, 1);
    let redis = through(&group)
        .answer_timeout(Duration::from_millis(500))
        .heartbeat(Duration::from_secs(600))
        .open()
        .unwrap();
    let cache = cached(make(), &redis, tracking, Duration::ZERO).await;
    for key in 0..10 {
        let reach = cache.insert(key, format!("v{key}")).await.unwrap();
        assert_eq!(reach, Reach::Everywhere);
    }
    group.settle("replicas have it", |group| {
        let has = |at| group.cli(at, &["EXISTS", "ns:9"]) == "1";
        has(1) && has(2)
    });
    let epoch = cache.epoch();

    fail(&mut group);
    is_whole_again(&cache, epoch).await;
    let primary = group.wait_for_another(0);
    for key in 0..10 {
        cache.invalidate_local(&key);
        let value = cache.get(&key).await;
        assert_eq!(value, Cached::Hit(format!("v{key}")), "it was replicated");
    }
    cache.insert(7, "new".into()).await.unwrap();
    assert_eq!(group.cli(primary, &["EXISTS", "ns:7"]), "1");
    claimed(&redis, "ns:k").await;
    assert_eq!(group.cli(primary, &["EXISTS", "{ns:k}#lease"]), "1");

    // Another node's change, by way of the new primary.
    let other = through(&group).open().unwrap();
    let other = cached(make(), &other, tracking, Duration::ZERO).await;
    cache.get(&7).await;
    other.insert(7, "newer".into()).await.unwrap();
    within("L1 forgets what another changed", async {
        while matches!(cache.peek(&7), Cached::Hit(value) if value == "new") {
            sleep(Duration::from_millis(10)).await;
        }
    })
    .await;
    assert_eq!(cache.get(&7).await, Cached::Hit("newer".into()));
}

#[test]
fn a_primary_that_dies_is_followed_by_another() {
    on_both(|make| a_failover(make, false, |group| group.server_mut(0).kill()));
}

#[test]
fn tracking_follows_the_primary() {
    on_both(|make| a_failover(make, true, |group| group.server_mut(0).kill()));
}

#[test]
fn a_primary_that_hangs_is_followed_by_another() {
    on_both(|make| a_failover(make, false, |group| group.server(0).pause()));
}

/// It lives on as a replica of the one that was promoted.
#[test]
fn a_primary_that_hands_over_is_left() {
    on_both(|make| a_failover(make, false, |group| group.fail_over()));
}

/// The last hundred changes never reached the replica that is promoted: their old values are there, and
/// nobody reads them, neither who made the changes nor who heard of them.
#[test]
fn changes_that_the_new_primary_lacks_are_made_again() {
    on_both(async |make| {
        let mut group = RedisGroup::start(1, 1);
        let redis = || through(&group).open().unwrap();
        let [one, two] = [redis(), redis()];
        let one = cached(make(), &one, false, WINDOW).await;
        let two = cached(make(), &two, false, WINDOW).await;
        for key in 0..100 {
            one.insert(key, "old".into()).await.unwrap();
        }
        group.settle("the replica has it", |group| {
            group.cli(1, &["EXISTS", "ns:99"]) == "1"
        });
        // What the replica has not taken when its primary is gone never comes.
        group.server(1).pause();
        let _ = group.cli(0, &["CLIENT", "KILL", "TYPE", "replica"]);
        for key in 0..100 {
            let reach = match key % 2 {
                0 => one.invalidate(&key).await,
                _ => one.insert(key, "new".into()).await.unwrap(),
            };
            assert_eq!(reach, Reach::Everywhere);
        }
        within("the other has heard of it", async {
            while two.stats().heard < 200 {
                sleep(Duration::from_millis(5)).await;
            }
        })
        .await;
        let epochs = [one.epoch(), two.epoch()];
        group.server_mut(0).kill();
        group.server(1).resume();
        group.wait_for_another(0);

        for (cache, epoch) in [(&two, epochs[1]), (&one, epochs[0])] {
            for key in 0..100 {
                let found = cache.get(&key).await;
                assert_ne!(found, Cached::Hit("old".into()), "{key} came back");
            }
            is_whole_again(cache, epoch).await;
            assert!(cache.stats().failovers > 0);
        }
        assert_eq!(group.cli(1, &["EXISTS", "ns:0", "ns:99"]), "0");
    });
}

/// It comes back before the Sentinels have told it that it leads no more, and takes changes: nobody
/// who found the new one speaks or listens to it.
#[test]
fn a_primary_that_hung_and_comes_back_is_not_believed() {
    on_both(async |_| {
        let group = RedisGroup::start(1, 1);
        group.tell_nobody();
        let redis = through(&group)
            .heartbeat(Duration::from_secs(600))
            .open()
            .unwrap();
        let mut pubsub = subscribe(&redis.pubsub("shop")).await;
        let mut tracking = subscribe(&redis.tracking()).await;
        // Both connections lead to the first one, and stay as they are.
        for n in 0..4 {
            claim(&redis, "ns:k", Token::from_bits(n)).await.unwrap();
        }
        group.server(0).pause();
        group.wait_for_another(0);
        // A new runtime has connections of its own, and learns of the new one; these two do not.
        let told = redis.clone();
        thread::spawn(move || many().block_on(read(&told, "ns:k")).unwrap())
            .join()
            .unwrap();
        group.server(0).resume();
        for n in 0..8 {
            let key = format!("ns:{n}");
            assert!(claim(&redis, &key, T).await.unwrap(), "{key}");
            let lease = format!("{{{key}}}#lease");
            assert_eq!(group.cli(0, &["EXISTS", &lease]), "0");
        }
        for subscription in [&mut pubsub, &mut tracking] {
            within("it is over", async {
                while subscription.next().await.is_ok() {}
            })
            .await;
        }
    });
}

/// The one that hands over takes changes for some seconds more, which are lost then: nobody who
/// makes calls, or listens, stays with it for so long.
#[test]
fn a_new_primary_is_looked_for_while_nothing_is_wrong() {
    on_both(async |_| {
        let group = RedisGroup::start(1, 1);
        group.tell_nobody();
        let calls = through(&group).open().unwrap();
        claimed(&calls, "ns:before").await;
        let ears = through(&group).heartbeat(Duration::from_millis(500));
        let ears = ears.open().unwrap();
        let mut pubsub = subscribe(&ears.pubsub("shop")).await;
        group.fail_over();
        let next = group.wait_for_another(0);
        within("calls go to the next one", async {
            let mut key = 0;
            while group.cli(next, &["EXISTS", &format!("{{ns:{key}}}#lease")]) != "1" {
                key += 1;
                claimed(&calls, &format!("ns:{key}")).await;
            }
        })
        .await;
        within("it is over", async { while pubsub.next().await.is_ok() {} }).await;
        assert!(!group.is_replica(0), "it was not told");
    });
}

/// The Sentinel that is asked first does not answer.
#[test]
fn dead_and_hung_sentinels_are_passed_over() {
    on_both(async |_| {
        let mut group = RedisGroup::start(1, 3);
        let connected = async |group: &RedisGroup, timeout| {
            let redis = through(group)
                .connect_timeout(Duration::from_millis(timeout))
                .open();
            let redis = redis.unwrap();
            let found = within("it connects", read(&redis, "ns:k")).await;
            assert!(found.unwrap().is_none());
        };
        connected(&group, 1000).await;
        group.sentinel(0).pause();
        connected(&group, 4000).await;
        group.sentinel_mut(0).kill();
        connected(&group, 1000).await;
        group.sentinel_mut(1).kill();
        connected(&group, 1000).await;
        group.sentinel_mut(2).kill();
        let refused = through(&group).open().unwrap();
        let fault = read(&refused, "ns:k").await.unwrap_err();
        let said = fault.to_string();
        assert!(matches!(fault, Fault::Unreachable(_)), "{said}");
        for words in [
            &group.addresses()[..],
            &["no Sentinel of `mymaster` answered".into()],
        ] {
            assert!(words.iter().all(|word| said.contains(word)), "{said}");
        }
    });
}

/// So that a call seldom waits for one that hangs.
#[test]
fn the_sentinel_that_answered_last_is_asked_first() {
    let group = RedisGroup::start(0, 1);
    on_both(async |_| {
        let hung = TcpListener::bind("127.0.0.1:0").unwrap();
        hung.set_nonblocking(true).unwrap();
        let address = hung.local_addr().unwrap().to_string();
        let sentinels = [vec![address], group.addresses()].concat();
        let redis = Redis::sentinel(GROUP, sentinels).open().unwrap();
        for _ in 0..4 {
            within("it connects", read(&redis, "ns:k")).await.unwrap();
            let _ = group.cli(0, &["CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"]);
        }
        assert!(hung.accept().is_ok());
        assert!(hung.accept().is_err(), "it was asked once");
    });
}

#[test]
fn who_names_no_primary_is_refused_in_words() {
    let mut group = RedisGroup::start(0, 1);
    on_both(async |_| {
        let said = async |redis: RedisSentinelBuilder| {
            let redis = redis.open().unwrap();
            match read(&redis, "ns:k").await {
                Err(Fault::Refused(why)) => {
                    // It is not asked a thousand times a second.
                    let again = read(&redis, "ns:k").await.unwrap_err();
                    assert!(matches!(again, Fault::Refused(again) if again == why));
                    why.to_string()
                }
                other => panic!("{other:?}"),
            }
        };
        let unknown = said(Redis::sentinel("shop", group.addresses())).await;
        assert!(
            unknown.contains("no Sentinel knows a group `shop`") && unknown.contains("127.0.0.1"),
            "{unknown}"
        );
        let server = format!("127.0.0.1:{}", group.server(0).port());
        let no_sentinel = said(Redis::sentinel(GROUP, [server])).await;
        assert!(
            no_sentinel.contains("no Sentinel, which has"),
            "{no_sentinel}"
        );
    });
    group.server_mut(0).kill();
}

#[test]
fn logins_and_a_database_are_taken() {
    let passwords = Passwords {
        servers: "data",
        sentinels: "watch",
    };
    let group = RedisGroup::start_closed(0, 1, passwords);
    let open = |data: &str, watch: &str| {
        let builder = through(&group).database(5);
        let builder = builder.password(data).sentinel_password(watch);
        builder.username("default").open().unwrap()
    };
    on_both(async |_| {
        let redis = open("data", "watch");
        assert!(claim(&redis, "ns:k", Token::from_bits(7)).await.unwrap());
        assert_eq!(group.cli(0, &["-n", "5", "DBSIZE"]), "1");
        let address = &group.addresses()[0];
        let by_url = Redis::sentinel(GROUP, [format!("redis://:watch@{address}")]);
        let by_url = by_url.password("data").open().unwrap();
        assert!(read(&by_url, "ns:k").await.is_ok());
        for (redis, words) in [
            (open("wrong", "watch"), "look at `username` and `password`"),
            (open("data", "wrong"), "look at `sentinel_password`"),
            (
                through(&group).sentinel_password("watch").open().unwrap(),
                "none was given with `password`",
            ),
            (
                through(&group).password("data").open().unwrap(),
                "look at `sentinel_password`",
            ),
        ] {
            let fault = read(&redis, "ns:k").await.unwrap_err();
            assert!(matches!(fault, Fault::Refused(_)), "{fault}");
            assert!(fault.to_string().contains(words), "{fault}");
        }
    });
}

#[test]
fn a_right_that_is_missing_at_a_sentinel_is_named() {
    let group = RedisGroup::start(0, 1);
    let user = ["ACL", "SETUSER", "app", "on", ">pw", "-@all"];
    let right = ["+sentinel|get-master-addr-by-name"];
    let open = || {
        through(&group)
            .sentinel_username("app")
            .sentinel_password("pw")
    };
    on_both(async |_| {
        group.sentinel(0).cli(&user);
        let fault = read(&open().open().unwrap(), "ns:k").await.unwrap_err();
        let said = fault.to_string();
        assert!(
            matches!(fault, Fault::Refused(_)) && said.contains(right[0]),
            "{said}"
        );
        group.sentinel(0).cli(&[&user[..3], &right].concat());
        assert!(read(&open().open().unwrap(), "ns:k").await.is_ok());
    });
}

/// What passes for a Sentinel: it says that this port is the primary's.
struct Liar {
    port: u16,
    names: Arc<AtomicU16>,
}

impl Liar {
    fn start(names: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let names = Arc::new(AtomicU16::new(names));
        let told = Arc::clone(&names);
        thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                let told = Arc::clone(&told);
                thread::spawn(move || {
                    let lines = BufReader::new(stream.try_clone().unwrap()).lines();
                    for _ in lines.map_while(Result::ok).filter(|line| line == GROUP) {
                        let port = told.load(Ordering::Relaxed).to_string();
                        let len = port.len();
                        let answer = format!("*2\r\n$9\r\nlocalhost\r\n${len}\r\n{port}\r\n");
                        let _ = stream.write_all(answer.as_bytes());
                    }
                });
            }
        });
        Self { port, names }
    }

    fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }
}

/// A Sentinel that is behind names one that was demoted, or one that is gone.
#[test]
fn a_replica_is_refused_and_another_sentinel_asked() {
    let group = RedisGroup::start(1, 1);
    on_both(async |_| {
        let liar = Liar::start(group.server(1).port());
        let alone = Redis::sentinel(GROUP, [liar.address()]).open().unwrap();
        let fault = read(&alone, "ns:k").await.unwrap_err();
        let port = group.server(1).port();
        assert!(
            matches!(&fault, Fault::Refused(why) if why.contains(&format!("localhost:{port}, which is a replica by now"))),
            "{fault}"
        );
        for named in [port, 1] {
            liar.names.store(named, Ordering::Relaxed);
            let sentinels = [vec![liar.address()], group.addresses()].concat();
            let redis = Redis::sentinel(GROUP, sentinels).open().unwrap();
            assert!(read(&redis, "ns:k").await.is_err());
            claimed(&redis, "ns:k").await;
        }
        // Once it knows, it is believed.
        liar.names.store(group.server(0).port(), Ordering::Relaxed);
        claimed(&alone, "ns:k").await;
    });
}

/// Certificates for a server in its directory.
fn certified(folder: &Path) -> Pki {
    let pki = Pki::new();
    fs::write(folder.join("ca.pem"), &pki.authority).unwrap();
    fs::write(folder.join("cert.pem"), &pki.server.0).unwrap();
    fs::write(folder.join("key.pem"), &pki.server.1).unwrap();
    pki
}

#[test]
fn the_sentinels_speak_tls() {
    let somewhere = RedisServer::start();
    let pki = certified(somewhere.folder());
    let (_group, url) = RedisGroup::start_tls(somewhere.folder());
    on_both(async |_| {
        let group = || Redis::sentinel(GROUP, [url.as_str()]);
        let known = group().authorities(pki.authority.clone()).open().unwrap();
        assert!(read(&known, "ns:k").await.is_ok());
        let fault = read(&group().open().unwrap(), "ns:k").await.unwrap_err();
        assert!(matches!(fault, Fault::Unreachable(_)), "{fault}");
    });
}

#[test]
fn the_data_servers_speak_tls() {
    let server = RedisServer::start();
    let pki = certified(server.folder());
    let port = RedisServer::start().port();
    for setting in [
        &["tls-ca-cert-file", "ca.pem"][..],
        &["tls-cert-file", "cert.pem", "tls-key-file", "key.pem"],
        &["tls-auth-clients", "no"],
        &["tls-port", &port.to_string()],
    ] {
        assert_eq!(server.cli(&[&["CONFIG", "SET"], setting].concat()), "OK");
    }
    let liar = Liar::start(port);
    on_both(async |_| {
        let group = || Redis::sentinel(GROUP, [liar.address()]);
        let redis = group().tls().authorities(pki.authority.clone());
        let redis = redis.open().unwrap();
        assert!(read(&redis, "ns:k").await.is_ok());
        assert!(read(&group().open().unwrap(), "ns:k").await.is_err());
    });
}

#[test]
fn it_keeps_the_contract() {
    let group = RedisGroup::start(1, 1);
    contract_on_tokio(&through(&group).open().unwrap());
}

const WINDOW: Duration = Duration::from_secs(10);
