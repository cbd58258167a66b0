//! Servers that answer and refuse: they are asked again after pauses, and not by every call.

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use jetcache_adapters::Redis;
use jetcache_core::ports::remote::{LeaseAsk, Wire};
use jetcache_core::{Fault, Remote, Token};
use jetcache_tests::redis_server::RedisServer;

use super::bus::{everywhere, sleep, within};
use crate::adapters::verbs::{MINUTE, T, claim, lease, read};

/// How many connections the server has taken so far.
fn taken(server: &RedisServer, password: &[&str]) -> u64 {
    let stats = server.cli(&[password, &["INFO", "stats"]].concat());
    let line = stats
        .lines()
        .find_map(|line| line.strip_prefix("total_connections_received:"));
    line.unwrap().trim().parse().unwrap()
}

/// Eight callers ask for two seconds; each is refused, with these words, and the server is left in
/// peace: it has dozens of connections, not thousands.
async fn refused(redis: &Redis, words: &str, taken: impl Fn() -> u64) {
    let before = taken();
    let begun = Instant::now();
    let caller = async |_| {
        let mut calls = 0;
        while begun.elapsed() < Duration::from_secs(2) {
            match read(redis, "ns:k").await {
                Err(Fault::Refused(why)) => assert!(why.contains(words), "{why}"),
                other => panic!("{other:?}"),
            }
            calls += 1;
            sleep(Duration::from_millis(1)).await;
        }
        calls
    };
    let calls: usize = join_all((0..8).map(caller)).await.into_iter().sum();
    let connections = taken() - before;
    assert!(calls > 500, "{calls} calls");
    assert!(
        connections < 15,
        "{connections} connections of {calls} calls"
    );
}

/// The server has been put right: within a pause or two calls succeed.
async fn recovers(redis: &Redis) {
    within("it recovers", async {
        while read(redis, "ns:k").await.is_err() {
            sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
}

#[test]
fn a_wrong_password_is_not_tried_by_every_call() {
    everywhere(async || {
        let server = RedisServer::start_with(&["--requirepass", "right"]);
        let url = |login: &str| server.url().replace("//", &format!("//{login}"));
        let redis = Redis::builder(url(":wrong@"))
            .connections(16)
            .open()
            .unwrap();
        let right = ["-a", "right", "--no-auth-warning"];
        refused(&redis, "wrong user or password", || taken(&server, &right)).await;
        server.cli(&[&right[..], &["CONFIG", "SET", "requirepass", "wrong"]].concat());
        recovers(&redis).await;
    });
}

#[test]
fn a_server_that_is_full_is_not_asked_by_every_call() {
    everywhere(async || {
        let server = RedisServer::start();
        let admin = Redis::builder(server.url()).connections(1).open().unwrap();
        read(&admin, "ns:k").await.unwrap();
        // The client of this test's own questions is let in: it goes when it has its answer.
        server.cli(&["CONFIG", "SET", "maxclients", "1"]);
        let redis = Redis::builder(server.url()).connections(8).open().unwrap();
        let begun = Instant::now();
        let (mut calls, mut said) = (0, false);
        while begun.elapsed() < Duration::from_secs(1) {
            match read(&redis, "ns:k").await {
                Err(Fault::Refused(why)) => said |= why.contains("maxclients"),
                Err(_) => {}
                Ok(found) => panic!("{found:?}"),
            }
            calls += 1;
            sleep(Duration::from_millis(1)).await;
        }
        assert!(said && calls > 100, "{calls}, {said}");
        drop(admin);
        recovers(&redis).await;
    });
}

#[test]
fn a_replica_is_read_and_not_dialled_by_every_change() {
    everywhere(async || {
        let server = RedisServer::start();
        let redis = Redis::open(&server.url()).unwrap();
        read(&redis, "ns:k").await.unwrap();
        assert_eq!(server.cli(&["REPLICAOF", "127.0.0.1", "1"]), "OK");
        server.cli(&["CONFIG", "SET", "replica-serve-stale-data", "yes"]);
        let before = taken(&server, &[]);
        let begun = Instant::now();
        let mut calls = 0;
        while begun.elapsed() < Duration::from_secs(2) {
            match claim(&redis, "ns:k", T).await {
                Err(Fault::Refused(why)) => assert!(why.contains("replica"), "{why}"),
                other => panic!("{other:?}"),
            }
            assert!(
                read(&redis, "ns:k").await.is_ok(),
                "a replica answers reads"
            );
            calls += 1;
            sleep(Duration::from_millis(1)).await;
        }
        let connections = taken(&server, &[]) - before;
        assert!(calls > 100 && connections < 15, "{connections} of {calls}");
        assert_eq!(server.cli(&["REPLICAOF", "NO", "ONE"]), "OK");
        assert!(claim(&redis, "ns:k", T).await.unwrap());
    });
}

/// A lease that cannot be followed by a fill would keep every other node waiting.
#[test]
fn who_may_run_no_scripts_gets_no_leases() {
    everywhere(async || {
        let server = RedisServer::start();
        let grant = |rights: &[&str]| {
            let user = ["ACL", "SETUSER", "app", "on", ">pw", "~*", "+@all"];
            assert_eq!(server.cli(&[&user[..], rights].concat()), "OK");
        };
        grant(&["-eval", "-evalsha", "-script"]);
        let url = server.url().replace("//", "//app:pw@");
        let redis = Redis::open(&url).unwrap();
        // The first one is granted, since nobody knows; its release is what tells.
        assert!(lease(&redis, "ns:k", T).await.unwrap().is_granted());
        assert!(claim(&redis, "ns:other", T).await.is_err());
        server.cli(&["DEL", "ns:k#lease", "{ns:k}#lease"]);
        for n in 0..100 {
            let ask = LeaseAsk {
                key: "ns:k",
                token: Token::from_bits(n + 1),
                life: MINUTE,
            };
            let leased = redis.lease(&[ask], Wire::Native).await.pop().unwrap();
            match leased {
                Err(Fault::Refused(why)) => assert!(why.contains("evalsha"), "{why}"),
                other => panic!("{other:?}"),
            }
            assert!(read(&redis, "ns:k").await.is_ok(), "it is read");
            sleep(Duration::from_millis(5)).await;
        }
        assert_eq!(server.cli(&["DBSIZE"]), "0", "no lease was taken");
        grant(&["+eval", "+evalsha", "+script"]);
        within("it is mended", async {
            while lease(&redis, "ns:k", T).await.is_err() {
                sleep(Duration::from_millis(20)).await;
            }
        })
        .await;
        assert!(claim(&redis, "ns:other", T).await.unwrap());
    });
}

/// A node of a cluster, and what is to be used instead.
#[test]
fn a_node_of_a_cluster_is_named_as_one() {
    everywhere(async || {
        let server = RedisServer::start_node();
        let redis = Redis::open(&server.url()).unwrap();
        // It has no slot, so it knows of nobody who has.
        let why = read(&redis, "ns:k").await.unwrap_err().to_string();
        assert!(why.contains("RedisCluster"), "{why}");
    });
}
