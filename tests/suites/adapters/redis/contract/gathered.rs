//! Leases, fills and changes of many callers go out together, and each gets what it would get alone.

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use futures_util::future::join_all;
use jetcache_adapters::Redis;
use jetcache_core::ports::remote::Filled;
use jetcache_core::{Fault, Remote};
use jetcache_tests::proxy::Proxy;
use jetcache_tests::redis_server::RedisServer;

use super::super::bus::{everywhere, sleep, within};
use super::super::ear::Ear;
use super::super::silence::briefly;
use super::together::{filled, key, poll, warm};
use crate::adapters::verbs::{T, claim, fill, lease, many, read, single, telling};

type Calling<'a, T> = Pin<Box<dyn Future<Output = Result<T, Fault>> + 'a>>;

/// How often the server has carried out a command.
fn calls(server: &RedisServer, command: &str) -> u64 {
    let stats = server.cli(&["INFO", "commandstats"]);
    let prefix = format!("cmdstat_{command}:calls=");
    let mut lines = stats.lines();
    let line = lines.find_map(|line| line.strip_prefix(&prefix));
    let calls = line.map_or("0", |line| line.split(',').next().unwrap());
    calls.parse().unwrap()
}

/// Polls a call until the server has carried out so many commands.
async fn until_called<T>(server: &RedisServer, count: u64, call: &mut Calling<'_, T>) {
    let carried_out = async {
        while calls(server, "evalsha") < count {
            assert!(poll(call).is_pending());
            sleep(Duration::from_millis(1)).await;
        }
    };
    within("it is carried out", carried_out).await;
}

fn begin<'a, T>(call: impl Future<Output = Result<T, Fault>> + 'a) -> Calling<'a, T> {
    let mut call: Calling<'a, T> = Box::pin(call);
    assert!(poll(&mut call).is_pending());
    call
}

/// Keys of which each has a lease of `T`.
async fn leased(redis: &Redis, count: usize) -> Vec<String> {
    // So that the server knows the script.
    fill(redis, "ns:999", T, b"v").await.unwrap();
    let keys: Vec<String> = (1000..1000 + count).map(key).collect();
    for key in &keys {
        redis.remove(&[key]).await.remove(0).unwrap();
    }
    let leases = join_all(keys.iter().map(|key| lease(redis, key, T))).await;
    assert!(
        leases
            .into_iter()
            .all(|leased| leased.unwrap().is_granted())
    );
    keys
}

#[test]
fn what_many_fill_at_once_is_a_few_scripts() {
    let server = filled();
    everywhere(async || {
        let (proxy, redis) = warm(&server).await;
        let keys = leased(&redis, 300).await;
        let before = calls(&server, "evalsha");
        proxy.hold_replies();
        let fills: Vec<_> = keys
            .iter()
            .map(|key| begin(fill(&redis, key, T, key.as_bytes())))
            .collect();
        proxy.release();
        for filled in within("all are answered", join_all(fills)).await {
            assert_eq!(filled.unwrap(), Filled::Stored);
        }
        // The first one, two full parts, and the rest, in one or a few.
        let sent = calls(&server, "evalsha") - before;
        assert!(sent < 10, "{sent}");
        for key in &keys {
            let found = read(&redis, key).await.unwrap().unwrap();
            assert_eq!(found.bytes, key.as_bytes());
        }
    });
}

#[test]
fn what_many_remove_at_once_is_a_few_scripts_and_each_is_told_or_not() {
    let server = filled();
    everywhere(async || {
        let (proxy, redis) = warm(&server).await;
        let told = telling(&redis);
        let mut ear = Ear::at(server.port(), "shop");
        let keys = leased(&redis, 300).await;
        let size = |server: &RedisServer| server.cli(&["DBSIZE"]).trim().parse::<usize>().unwrap();
        let leases = size(&server);
        for key in &keys {
            server.cli(&["SET", key, "v"]);
        }
        let before = calls(&server, "evalsha");
        proxy.hold_replies();
        let removals = keys.iter().enumerate().map(|(at, key)| {
            let remote = if at % 100 == 7 { &told } else { &redis };
            begin(async move { remote.remove(&[key]).await.remove(0) })
        });
        let removals: Vec<_> = removals.collect();
        proxy.release();
        let removed = within("all are answered", join_all(removals)).await;
        assert!(removed.iter().all(Result::is_ok), "{removed:?}");
        let sent = calls(&server, "evalsha") - before;
        assert!(sent < 10, "{sent}");
        assert_eq!(size(&server), leases - keys.len(), "neither is left");
        let mut heard: Vec<String> = (0..3).map(|_| ear.awaits_any()).collect();
        // Parts go side by side.
        heard.sort();
        assert_eq!(heard, [7, 107, 207].map(|at| removal(&keys[at])));
        ear.hears("and no others", &[]);
    });
}

/// What is told of a removal.
fn removal(key: &str) -> String {
    format!(
        r#"{{"CacheName":"any","SourceID":"12345678","EventType":5,"Keys":["{key}"],"Fenced":true}}"#
    )
}

#[test]
fn what_many_lease_at_once_is_looked_at_together() {
    let server = filled();
    everywhere(async || {
        let (proxy, redis) = warm(&server).await;
        let before = calls(&server, "mget");
        proxy.hold_replies();
        let keys: Vec<String> = (0..300).map(key).collect();
        let leases: Vec<_> = keys
            .iter()
            .map(|key| begin(lease(&redis, key, T)))
            .collect();
        proxy.release();
        let leases = within("all are answered", join_all(leases)).await;
        for (key, leased) in keys.iter().zip(leases) {
            let leased = leased.unwrap();
            assert!(leased.is_granted());
            assert_eq!(leased.found.unwrap().bytes, key.as_bytes());
        }
        let sent = calls(&server, "mget") - before;
        assert!(sent < 10, "{sent}");
    });
}

#[test]
fn a_caller_that_gives_up_takes_nothing_along() {
    let server = filled();
    everywhere(async || {
        let (proxy, redis) = warm(&server).await;
        let keys = leased(&redis, 50).await;
        proxy.hold_replies();
        let mut fills: Vec<_> = keys
            .iter()
            .map(|key| begin(fill(&redis, key, T, b"v")))
            .collect();
        drop(fills.remove(0));
        drop(fills.remove(20));
        proxy.release();
        for filled in within("the others are answered", join_all(fills)).await {
            assert_eq!(filled.unwrap(), Filled::Stored);
        }
    });
}

#[test]
fn scripts_that_are_forgotten_while_fills_gather_are_loaded_again() {
    let server = filled();
    everywhere(async || {
        let (proxy, redis) = warm(&server).await;
        let keys = leased(&redis, 50).await;
        proxy.hold_replies();
        let before = calls(&server, "evalsha");
        let mut fills = keys.iter().map(|key| begin(fill(&redis, key, T, b"v")));
        let mut first = fills.next().unwrap();
        let others: Vec<_> = fills.collect();
        until_called(&server, before + 1, &mut first).await;
        server.cli(&["SCRIPT", "FLUSH"]);
        proxy.release();
        let all = futures_util::future::join(first, join_all(others));
        let (first, others) = within("all are answered", all).await;
        assert_eq!(first.unwrap(), Filled::Stored);
        assert!(
            others
                .into_iter()
                .all(|filled| filled.unwrap() == Filled::Stored)
        );
    });
}

#[test]
fn a_lease_of_another_type_is_a_fault_of_its_asker() {
    let server = filled();
    server.cli(&["RPUSH", "{ns:7}#lease", "a"]);
    everywhere(async || {
        let (proxy, redis) = warm(&server).await;
        proxy.hold_replies();
        let keys = ["ns:6", "ns:7", "ns:8"];
        let first = begin(lease(&redis, "ns:5", T));
        let others = keys.map(|key| begin(lease(&redis, key, T)));
        proxy.release();
        let all = futures_util::future::join(first, join_all(others));
        let (first, others) = within("all are answered", all).await;
        assert!(first.unwrap().is_granted());
        let [one, wrong, two] = <[_; 3]>::try_from(others).unwrap();
        assert!(one.unwrap().is_granted() && two.unwrap().is_granted());
        assert!(matches!(wrong, Err(Fault::Refused(_))), "{wrong:?}");
        let fills = join_all(keys.map(|key| fill(&redis, key, T, b"v")));
        let fills = within("all are answered", fills).await;
        let fills: Vec<_> = fills.into_iter().map(Result::unwrap).collect();
        assert_eq!(fills, [Filled::Stored, Filled::Refused, Filled::Stored]);
    });
}

#[test]
fn who_may_not_change_its_key_fails_alone() {
    let server = filled();
    let rights = [
        "+@all",
        "-@dangerous",
        "+info",
        "~ns:*",
        "~{ns:*",
        "~{other:*",
    ];
    let user = ["ACL", "SETUSER", "shop", "on", ">secret"];
    server.cli(&[&user[..], &rights].concat());
    everywhere(async || {
        let proxy = Proxy::start(server.port());
        let url = proxy.url().replace("redis://", "redis://shop:secret@");
        let redis = Redis::builder(url).connections(1).open().unwrap();
        let keys = leased(&redis, 3).await;
        // The lease stands, though the value's key may not be looked at.
        proxy.hold_replies();
        let first = begin(lease(&redis, "ns:5", T));
        let others = ["ns:6", "other:1", "ns:8"].map(|key| begin(lease(&redis, key, T)));
        proxy.release();
        let both = futures_util::future::join(first, join_all(others));
        let (first, others) = within("all are answered", both).await;
        assert!(first.unwrap().is_granted());
        let [one, wrong, two] = <[_; 3]>::try_from(others).unwrap();
        assert!(one.unwrap().is_granted());
        assert_eq!(two.unwrap().found.unwrap().bytes, b"ns:8");
        assert!(matches!(wrong, Err(Fault::Refused(_))), "{wrong:?}");

        proxy.hold_replies();
        let first = begin(fill(&redis, &keys[0], T, b"v"));
        let others = [&keys[1], "other:1", &keys[2]].map(|key| begin(fill(&redis, key, T, b"v")));
        proxy.release();
        let both = futures_util::future::join(first, join_all(others));
        let (first, others) = within("all are answered", both).await;
        assert_eq!(first.unwrap(), Filled::Stored);
        let [one, wrong, two] = <[_; 3]>::try_from(others).unwrap();
        assert_eq!(one.unwrap(), Filled::Stored);
        assert_eq!(two.unwrap(), Filled::Stored);
        assert!(matches!(wrong, Err(Fault::Refused(_))), "{wrong:?}");
    });
}

#[test]
fn a_server_without_memory_refuses_each_and_leaves_the_leases() {
    let server = filled();
    everywhere(async || {
        let redis = Redis::open(&server.url()).unwrap();
        let keys = leased(&redis, 50).await;
        server.cli(&["CONFIG", "SET", "maxmemory", "1"]);
        let refused = within(
            "they are refused",
            join_all(keys.iter().map(|key| fill(&redis, key, T, b"v"))),
        )
        .await;
        for outcome in refused {
            let Err(Fault::Refused(why)) = outcome else {
                panic!("{outcome:?}");
            };
            assert!(why.contains("out of memory"), "{why}");
        }
        server.cli(&["CONFIG", "SET", "maxmemory", "0"]);
        let stored = within(
            "they are stored",
            join_all(keys.iter().map(|key| fill(&redis, key, T, b"v"))),
        )
        .await;
        assert!(
            stored
                .into_iter()
                .all(|filled| filled.unwrap() == Filled::Stored)
        );
    });
}

#[test]
fn changes_whose_connection_breaks_are_not_sent_again() {
    let server = filled();
    everywhere(async || {
        let (proxy, redis) = warm(&server).await;
        let keys = leased(&redis, 50).await;
        let names: Vec<&str> = keys[1..].iter().map(String::as_str).collect();
        let before = calls(&server, "evalsha");
        proxy.hold_replies();
        let mut fills = keys.iter().map(|key| begin(fill(&redis, key, T, b"v")));
        let mut first = fills.next().unwrap();
        let mut others: Vec<_> = fills.collect();
        until_called(&server, before + 1, &mut first).await;
        drop(first);
        let stored = || server.cli(&[&["EXISTS"], &names[..]].concat());
        within("others are carried out", async {
            while stored() == "0" {
                assert!(poll(&mut others[0]).is_pending());
                sleep(Duration::from_millis(1)).await;
            }
        })
        .await;
        let sent = calls(&server, "evalsha");
        proxy.cut();
        for outcome in within("they are told", join_all(others)).await {
            assert!(matches!(outcome, Err(Fault::Unreachable(_))), "{outcome:?}");
        }
        proxy.mend();
        proxy.release();
        read(&redis, "ns:1").await.unwrap();
        assert_eq!(calls(&server, "evalsha"), sent);
    });
}

#[test]
fn who_loses_the_runtime_that_carried_a_change_is_told_or_sends_it_once() {
    let server = filled();
    let redis = Redis::builder(server.url()).connections(1).open().unwrap();
    for runtime in [many(), single()] {
        assert!(runtime.block_on(claim(&redis, "ns:0", T)).unwrap());
        let before = calls(&server, "evalsha");
        server.pause();
        let (first, others) = {
            let _inside = runtime.enter();
            let others = ["ns:2", "ns:3"];
            let first = begin(claim(&redis, "ns:1", T));
            (first, others.map(|key| begin(claim(&redis, key, T))))
        };
        runtime.block_on(async { drop(first) });
        drop(runtime);
        server.resume();
        let claims = single().block_on(within("they are answered", join_all(others)));
        for claimed in claims {
            let is_told = matches!(claimed, Ok(true) | Err(Fault::Unreachable(_)));
            assert!(is_told, "{claimed:?}");
        }
        assert!(calls(&server, "evalsha") - before <= 3);
    }
}

#[test]
fn changers_at_a_server_that_hangs_give_up_each_by_itself() {
    let server = filled();
    everywhere(async || {
        let redis = Redis::builder(server.url())
            .answer_timeout(Duration::from_secs(600))
            .open()
            .unwrap();
        let keys = leased(&redis, 50).await;
        server.pause();
        let mut patient = begin(fill(&redis, &keys[0], T, b"v"));
        let mut behind: Vec<_> = keys[1..4]
            .iter()
            .map(|key| begin(fill(&redis, key, T, b"v")))
            .collect();
        let brief = join_all(
            keys[4..]
                .iter()
                .map(|key| briefly(fill(&redis, key, T, b"v"))),
        );
        assert!(
            within("they give up", brief)
                .await
                .iter()
                .all(Option::is_none)
        );
        assert!(poll(&mut patient).is_pending());
        assert!(behind.iter_mut().all(|call| poll(call).is_pending()));
        server.resume();
        let patient = within("it is answered", patient).await;
        assert_eq!(patient.unwrap(), Filled::Stored);
        for filled in within("so are they", join_all(behind)).await {
            assert_eq!(filled.unwrap(), Filled::Stored);
        }
    });
}

#[test]
fn a_replica_that_refuses_to_store_is_left() {
    let server = filled();
    everywhere(async || {
        let redis = Redis::builder(server.url()).connections(1).open().unwrap();
        leased(&redis, 1).await;
        assert!(lease(&redis, "ns:1", T).await.unwrap().is_granted());
        server.cli(&["REPLICAOF", "127.0.0.1", "1"]);
        let refused = fill(&redis, "ns:1", T, b"v").await;
        assert!(matches!(refused, Err(Fault::Refused(_))), "{refused:?}");
        let before = connection(&server);
        server.cli(&["REPLICAOF", "NO", "ONE"]);
        let stored = fill(&redis, "ns:1", T, b"v").await;
        assert_eq!(stored.unwrap(), Filled::Stored);
        assert_ne!(before, connection(&server));
    });
}

/// Which connections a client has.
fn connection(server: &RedisServer) -> Vec<String> {
    let list = server.cli(&["CLIENT", "LIST"]);
    let own = list.lines().filter(|line| line.contains("name=jetcache"));
    own.filter_map(|line| Some(line.split_once(' ')?.0.to_owned()))
        .collect()
}
