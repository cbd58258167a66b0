//! Reads of many callers go out together, and each gets what it would get alone.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker};
use std::thread;
use std::time::Duration;

use futures_util::future::join_all;
use jetcache_adapters::Redis;
use jetcache_core::ports::remote::{Found, Wire};
use jetcache_core::{Fault, Remote};
use jetcache_tests::proxy::Proxy;
use jetcache_tests::redis_server::RedisServer;
use tokio::task::coop;

use super::super::bus::{everywhere, sleep, within};
use super::super::silence::{briefly, recovered};
use crate::adapters::verbs::{many, read, single};

type Reading<'a> = Pin<Box<dyn Future<Output = Result<Option<Found>, Fault>> + 'a>>;

/// A server with `ns:0` to `ns:299`, each of which is its own value.
pub(super) fn filled() -> RedisServer {
    let server = RedisServer::start();
    let keys: Vec<String> = (0..300).map(key).collect();
    let pairs = keys.iter().flat_map(|key| [key.as_str(), key.as_str()]);
    let command: Vec<&str> = ["MSET", "{ns:}#gen", "7"]
        .into_iter()
        .chain(pairs)
        .collect();
    assert_eq!(server.cli(&command), "OK");
    server
}

pub(super) fn key(n: usize) -> String {
    format!("ns:{n}")
}

/// A client with one connection, which stands, through a proxy.
pub(super) async fn warm(server: &RedisServer) -> (Proxy, Redis) {
    let proxy = Proxy::start(server.port());
    let redis = Redis::builder(proxy.url()).connections(1).open().unwrap();
    read(&redis, "ns:0").await.unwrap();
    (proxy, redis)
}

/// How many `MGET`s the server has carried out.
fn reads(server: &RedisServer) -> u64 {
    let stats = server.cli(&["INFO", "commandstats"]);
    let mut lines = stats.lines();
    let line = lines.find_map(|line| line.strip_prefix("cmdstat_mget:calls="));
    let calls = line.map_or("0", |line| line.split(',').next().unwrap());
    calls.parse().unwrap()
}

fn begin<'a>(redis: &'a Redis, key: &'a str) -> Reading<'a> {
    let mut reading: Reading<'a> = Box::pin(read(redis, key));
    assert!(poll(&mut reading).is_pending());
    reading
}

pub(super) fn poll<F: Future + Unpin>(reading: &mut F) -> Poll<F::Output> {
    let mut context = Context::from_waker(Waker::noop());
    Pin::new(reading).poll(&mut context)
}

/// Waits until the server has carried out so many `MGET`s.
async fn until_read(server: &RedisServer, count: u64) {
    let carried_out = async {
        while reads(server) < count {
            sleep(Duration::from_millis(1)).await;
        }
    };
    within("they are carried out", carried_out).await;
}

fn text(found: Result<Option<Found>, Fault>) -> Option<String> {
    let found = found.unwrap();
    found.map(|found| String::from_utf8(found.bytes).unwrap())
}

#[test]
fn what_gathers_goes_out_together_and_each_gets_its_own() {
    let server = filled();
    everywhere(async || {
        let (proxy, redis) = warm(&server).await;
        let before = reads(&server);
        proxy.hold_replies();
        let calls: Vec<_> = (0..300).map(|n| [key(n), format!("no:{n}")]).collect();
        let call = async |[own, none]: &[String; 2]| {
            let keys = [own.as_str(), none, "{ns:}#gen"];
            redis.read(&keys, Wire::Native).await
        };
        let mut calls: Vec<_> = calls.iter().map(|keys| Box::pin(call(keys))).collect();
        assert!(calls.iter_mut().all(|call| poll(call).is_pending()));
        proxy.release();
        let answers = within("all are answered", join_all(calls)).await;
        for (n, answer) in answers.into_iter().enumerate() {
            let answer: Vec<_> = answer.into_iter().map(text).collect();
            assert_eq!(answer, [Some(key(n)), None, Some("7".into())]);
        }
        // The first one, a full part, and the rest.
        assert_eq!(reads(&server) - before, 3);
    });
}

#[test]
fn a_caller_that_gives_up_leaves_the_others_answered() {
    let server = filled();
    everywhere(async || {
        let (proxy, redis) = warm(&server).await;
        let before = reads(&server);
        proxy.hold_replies();
        let first = begin(&redis, "ns:1");
        let second = begin(&redis, "ns:2");
        let third = begin(&redis, "ns:3");
        until_read(&server, before + 1).await;
        drop(first);
        until_read(&server, before + 2).await;
        drop(second);
        proxy.release();
        let third = within("the third is answered", third).await;
        assert_eq!(text(third).as_deref(), Some("ns:3"));
    });
}

#[test]
fn a_caller_that_is_not_polled_any_more_holds_up_nobody() {
    let server = filled();
    everywhere(async || {
        let (proxy, redis) = warm(&server).await;
        proxy.hold_replies();
        let first = begin(&redis, "ns:1");
        let second = begin(&redis, "ns:2");
        proxy.release();
        let second = within("the second is answered", second).await;
        assert_eq!(text(second).as_deref(), Some("ns:2"));
        let third = within("and the third", read(&redis, "ns:3")).await;
        assert_eq!(text(third).as_deref(), Some("ns:3"));
        let first = within("and the first", first).await;
        assert_eq!(text(first).as_deref(), Some("ns:1"));
    });
}

#[test]
fn what_all_gave_up_is_not_sent_and_holds_up_nobody() {
    let server = filled();
    everywhere(async || {
        let (proxy, redis) = warm(&server).await;
        let before = reads(&server);
        proxy.hold_replies();
        let first = begin(&redis, "ns:1");
        until_read(&server, before + 1).await;
        drop([begin(&redis, "ns:2"), begin(&redis, "ns:3")]);
        drop(first);
        // Time for what must not happen; nothing else waits for it.
        sleep(Duration::from_millis(20)).await;
        proxy.release();
        let next = within("the next one is answered", read(&redis, "ns:4")).await;
        assert_eq!(text(next).as_deref(), Some("ns:4"));
        assert_eq!(reads(&server) - before, 2);
    });
}

#[test]
fn what_all_gave_up_on_its_way_is_owed_once() {
    let server = filled();
    everywhere(async || {
        let (proxy, redis) = warm(&server).await;
        let before = reads(&server);
        proxy.hold_replies();
        let first = begin(&redis, "ns:1");
        let others = [begin(&redis, "ns:2"), begin(&redis, "ns:3")];
        until_read(&server, before + 1).await;
        drop(first);
        until_read(&server, before + 2).await;
        drop(others);
        within("they are given up", async {
            while redis.connectivity().unanswered < 2 {
                sleep(Duration::from_millis(1)).await;
            }
        })
        .await;
        proxy.release();
        within("nothing is owed", async {
            while redis.connectivity().unanswered > 0 {
                read(&redis, "ns:4").await.unwrap();
            }
        })
        .await;
    });
}

/// As a future that is dropped with what holds it, on a thread of the user's own.
#[test]
fn a_caller_that_is_dropped_outside_its_runtime_leaves_the_others_answered() {
    let server = filled();
    for runtime in [many(), single()] {
        let (proxy, redis) = runtime.block_on(warm(&server));
        proxy.hold_replies();
        let (first, second) = {
            let _inside = runtime.enter();
            (begin(&redis, "ns:1"), begin(&redis, "ns:2"))
        };
        drop(first);
        proxy.release();
        let second = runtime.block_on(within("it is answered", second));
        assert_eq!(text(second).as_deref(), Some("ns:2"));
        // Its place is free again.
        let third = runtime.block_on(within("so is the next", read(&redis, "ns:3")));
        assert_eq!(text(third).as_deref(), Some("ns:3"));
    }
}

#[test]
fn a_key_of_another_type_is_an_absent_one_for_its_asker() {
    let server = filled();
    server.cli(&["RPUSH", "ns:list", "a"]);
    everywhere(async || {
        let (proxy, redis) = warm(&server).await;
        for wire in [Wire::Native, Wire::JetcacheGo] {
            proxy.hold_replies();
            let read = async |key| redis.read(&[key], wire).await.remove(0);
            let calls = join_all(["ns:1", "ns:list", "ns:2"].map(read));
            let release = async { proxy.release() };
            let all = futures_util::future::join(calls, release);
            let (answers, ()) = within("all are answered", all).await;
            let answers: Vec<_> = answers.into_iter().map(text).collect();
            assert_eq!(answers, [Some("ns:1".into()), None, Some("ns:2".into())]);
        }
    });
}

#[test]
fn who_may_not_read_its_key_fails_alone() {
    let server = filled();
    server.cli(&["SET", "other:1", "v"]);
    let rights = ["+@all", "-@dangerous", "+info", "~ns:*"];
    let user = ["ACL", "SETUSER", "shop", "on", ">secret"];
    server.cli(&[&user[..], &rights].concat());
    everywhere(async || {
        let proxy = Proxy::start(server.port());
        let url = proxy.url().replace("redis://", "redis://shop:secret@");
        let redis = Redis::builder(url).connections(1).open().unwrap();
        read(&redis, "ns:0").await.unwrap();
        proxy.hold_replies();
        let first = begin(&redis, "ns:1");
        let others = ["ns:2", "other:1", "ns:3"].map(|key| begin(&redis, key));
        proxy.release();
        let all = futures_util::future::join(first, join_all(others));
        let (first, others) = within("all are answered", all).await;
        assert_eq!(text(first).as_deref(), Some("ns:1"));
        let [second, refused, third] = <[_; 3]>::try_from(others).unwrap();
        assert_eq!(text(second).as_deref(), Some("ns:2"));
        assert!(matches!(refused, Err(Fault::Refused(_))), "{refused:?}");
        assert_eq!(text(third).as_deref(), Some("ns:3"));
    });
}

#[test]
fn callers_of_a_server_that_hangs_give_up_each_by_itself() {
    let server = filled();
    everywhere(async || {
        let redis = Redis::builder(server.url())
            .answer_timeout(Duration::from_secs(600))
            .open()
            .unwrap();
        for _ in 0..2 {
            read(&redis, "ns:0").await.unwrap();
        }
        server.pause();
        let mut patient = begin(&redis, "ns:1");
        let mut behind: Vec<_> = (0..3).map(|_| begin(&redis, "ns:2")).collect();
        let keys: Vec<String> = (0..50).map(key).collect();
        let brief = join_all(keys.iter().map(|key| briefly(read(&redis, key))));
        let brief = within("they give up", brief).await;
        assert!(brief.iter().all(Option::is_none));
        assert!(poll(&mut patient).is_pending());
        assert!(behind.iter_mut().all(|call| poll(call).is_pending()));
        server.resume();
        let patient = within("the patient one is answered", patient).await;
        assert_eq!(text(patient).as_deref(), Some("ns:1"));
        for call in behind {
            let call = within("so are those behind it", call).await;
            assert_eq!(text(call).as_deref(), Some("ns:2"));
        }
        recovered(&redis).await;
        assert_eq!(redis.connectivity().buried, 0);
    });
}

#[test]
fn after_a_restart_reads_go_together_again() {
    everywhere(async || {
        let mut server = filled();
        let redis = Redis::open(&server.url()).unwrap();
        let keys: Vec<String> = (0..50).map(key).collect();
        let ask = || join_all(keys.iter().map(|key| read(&redis, key)));
        assert!(ask().await.iter().all(Result::is_ok));
        server.kill();
        let lost = within("they fail", ask()).await;
        for outcome in lost {
            assert!(matches!(outcome, Err(Fault::Unreachable(_))), "{outcome:?}");
        }
        server.restart();
        let found = within("they are answered", ask()).await;
        assert!(found.iter().all(Result::is_ok), "{found:?}");
    });
}

#[test]
fn a_big_value_goes_beside_small_ones() {
    let server = filled();
    server.cli(&["SETRANGE", "ns:big", "9999999", "x"]);
    everywhere(async || {
        let redis = Redis::open(&server.url()).unwrap();
        let keys: Vec<String> = (0..300).map(key).collect();
        let small = keys.iter().map(String::as_str);
        let keys: Vec<&str> = small.clone().chain(["ns:big"]).chain(small).collect();
        for _ in 0..3 {
            let found = join_all(keys.iter().map(|key| read(&redis, key)));
            let found = within("all are answered", found).await;
            for (key, found) in keys.iter().zip(found) {
                let bytes = found.unwrap().unwrap().bytes;
                if *key == "ns:big" {
                    assert_eq!(bytes.len(), 10_000_000);
                } else {
                    assert_eq!(bytes, key.as_bytes());
                }
            }
        }
    });
}

#[test]
fn big_values_go_in_small_parts() {
    let server = RedisServer::start();
    for n in 0..21 {
        server.cli(&["SETRANGE", &key(n), "99999", "x"]);
    }
    everywhere(async || {
        let (proxy, redis) = warm(&server).await;
        let keys: Vec<String> = (0..21).map(key).collect();
        for parts in [1, 4] {
            let before = reads(&server);
            proxy.hold_replies();
            let calls: Vec<_> = keys.iter().map(|key| begin(&redis, key)).collect();
            proxy.release();
            let found = within("all are answered", join_all(calls)).await;
            let size = |found: Result<Option<Found>, _>| found.unwrap().unwrap().bytes.len();
            assert!(found.into_iter().map(size).all(|size| size == 100_000));
            assert_eq!(reads(&server) - before, 1 + parts);
        }
    });
}

/// tokio lets a task do only so much before it yields, and wakes it at once for what it asks after that.
#[test]
fn a_task_that_is_out_of_time_asks_together_as_well() {
    let server = filled();
    for runtime in [many(), single()] {
        runtime.block_on(async {
            let (proxy, redis) = warm(&server).await;
            let before = reads(&server);
            let keys: Vec<String> = (0..300).map(key).collect();
            proxy.hold_replies();
            let calls = poll_fn(|context| {
                while coop::has_budget_remaining() {
                    let _ = pin!(coop::consume_budget()).poll(context);
                }
                let calls = keys.iter().map(|key| begin(&redis, key));
                Poll::Ready(calls.collect::<Vec<_>>())
            });
            let calls = calls.await;
            proxy.release();
            let found = within("all are answered", join_all(calls)).await;
            assert!(found.iter().all(Result::is_ok), "{found:?}");
            let sent = reads(&server) - before;
            assert!(sent < 10, "{sent}");
        });
    }
}

#[test]
fn two_runtimes_read_through_one_handle_at_once() {
    let server = filled();
    let redis = Redis::open(&server.url()).unwrap();
    let ask = async || {
        let keys: Vec<String> = (0..300).map(key).collect();
        for _ in 0..10 {
            let found = join_all(keys.iter().map(|key| read(&redis, key))).await;
            for (key, found) in keys.iter().zip(found) {
                assert_eq!(text(found).as_ref(), Some(key));
            }
        }
    };
    thread::scope(|scope| {
        scope.spawn(|| many().block_on(within("tokio is answered", ask())));
        scope.spawn(|| single().block_on(within("one thread is answered", ask())));
        scope.spawn(|| smol::block_on(within("smol is answered", ask())));
    });
}

#[test]
fn who_loses_the_runtime_that_carried_a_read_asks_again() {
    let server = filled();
    let redis = Redis::builder(server.url()).connections(1).open().unwrap();
    for runtime in [many(), single()] {
        runtime.block_on(read(&redis, "ns:0")).unwrap();
        server.pause();
        let (first, others) = {
            let _inside = runtime.enter();
            let others = ["ns:2", "ns:3"];
            (begin(&redis, "ns:1"), others.map(|key| begin(&redis, key)))
        };
        runtime.block_on(async { drop(first) });
        drop(runtime);
        server.resume();
        let found = single().block_on(within("they are answered", join_all(others)));
        let found: Vec<_> = found.into_iter().map(text).collect();
        assert_eq!(found, [Some("ns:2".into()), Some("ns:3".into())]);
    }
}
