//! The log of generations on a server that was meddled with, is full, or tells of it.

use std::collections::BTreeMap;

use jetcache_adapters::Redis;
use jetcache_core::machine::generations::scope::{RaiseEvent, list_key, top_key};
use jetcache_core::ports::bus::{Kind, Message, News};
use jetcache_core::ports::remote::{Ensure, Mark, Raise, Raised, Scope};
use jetcache_core::{Bus, Fault, Remote, Subscription};
use jetcache_tests::redis_cluster::RedisNodes;
use jetcache_tests::redis_server::RedisServer;

use crate::adapters::cluster::open;
use crate::adapters::redis::ear::Ear;
use crate::adapters::verbs::{many, telling};

const TOP: &str = "{ns:}#gen";
const LIST: &str = "{ns:}#raised";
const ONE: Scope = Scope::Tag(0x9FA3);

async fn raise(remote: &impl Remote, namespace: &str, scopes: &[Scope]) -> Result<Raised, Fault> {
    let raise = Raise {
        namespace,
        clock: Mark::NONE,
        scopes,
    };
    remote.raise(&raise).await
}

async fn ensure(remote: &impl Remote, clock: Mark, marks: &[(Scope, Mark)]) -> Mark {
    let ensure = Ensure {
        namespace: "ns:",
        clock,
        marks,
    };
    remote.ensure(&ensure).await.unwrap().top
}

async fn news(remote: &impl Remote) -> Vec<(Scope, Mark)> {
    all_since(remote, Mark::NONE).await
}

/// All pages, in the order of the scopes.
async fn all_since(remote: &impl Remote, since: Mark) -> Vec<(Scope, Mark)> {
    let (mut marks, mut from) = (BTreeMap::new(), Some(since));
    while let Some(since) = from {
        let page = remote.news("ns:", since).await.unwrap();
        marks.extend(page.marks);
        from = page.next;
    }
    marks.into_iter().collect()
}

fn top(server: &RedisServer) -> Mark {
    Mark::parse(&server.cli(&["GET", TOP])).unwrap()
}

#[test]
fn the_log_is_kept_as_the_protocol_says() {
    let server = RedisServer::start();
    let redis = Redis::open(&server.url()).unwrap();
    assert_eq!((top_key("ns:"), list_key("ns:")), (TOP.into(), LIST.into()));
    many().block_on(async {
        let number = raise(&redis, "ns:", &[ONE]).await.unwrap().number;
        assert_eq!(top(&server), number);
        // The second number has as many digits as it needs.
        let time = server.cli(&["TIME"]);
        let time: Vec<u64> = time.lines().map(|line| line.parse().unwrap()).collect();
        let [seconds, micros] = time[..] else {
            panic!("{time:?}")
        };
        let age = (seconds * 1_000_000 + micros).checked_sub(number.number());
        let age = age.expect("a number is not ahead of the server's clock");
        assert!(age < 60_000_000, "it is the server's clock in microseconds");
        for member in ["*", "t9fa3"] {
            assert_eq!(server.cli(&["ZSCORE", LIST, member]), number.to_string());
        }
        assert_eq!(server.cli(&["ZCARD", LIST]), "2");
        for key in [TOP, LIST] {
            assert_eq!(server.cli(&["TTL", key]), "-1", "it lives for ever");
        }
    });
}

#[test]
fn a_log_of_another_type_counts_as_missing() {
    let server = RedisServer::start();
    let redis = Redis::open(&server.url()).unwrap();
    many().block_on(async {
        for (tops, lists) in [(true, false), (false, true), (true, true)] {
            let meddle = || {
                let keys = [tops.then_some(TOP), lists.then_some(LIST)];
                for key in keys.into_iter().flatten() {
                    server.cli(&["DEL", key]);
                    server.cli(&["RPUSH", key, "x"]);
                }
            };
            server.cli(&["FLUSHALL"]);
            let first = raise(&redis, "ns:", &[ONE]).await.unwrap().number;
            meddle();
            assert_eq!(news(&redis).await.len(), if lists { 0 } else { 2 });
            let raised = raise(&redis, "ns:", &[ONE]).await.unwrap();
            assert!(raised.number > first);
            assert_eq!(raised.anew, lists);
            let before = if tops && lists { Mark::NONE } else { first };
            assert_eq!(raised.before, before);
            assert_eq!(top(&server), raised.number);

            meddle();
            let ensured = ensure(&redis, Mark::NONE, &[(ONE, raised.number)]).await;
            assert_eq!(ensured > raised.number, lists);
            assert_eq!(top(&server), ensured);
            let marks = news(&redis).await;
            assert!(marks.contains(&(ONE, ensured)), "{marks:?}");
        }
    });
}

#[test]
fn what_is_no_number_counts_as_missing() {
    let server = RedisServer::start();
    let redis = Redis::open(&server.url()).unwrap();
    many().block_on(async {
        let mut last = raise(&redis, "ns:", &[ONE]).await.unwrap().number;
        for junk in [
            "",
            "x",
            "-5",
            "1e3",
            "0x10",
            "99999999999999999999",
            "inf",
            // The highest integer of a double, and the first that is too high.
            "9007199254740991",
            "9000000000000000",
        ] {
            server.cli(&["SET", TOP, junk]);
            let raised = raise(&redis, "ns:", &[ONE]).await.unwrap();
            assert_eq!(raised.before, last, "{junk}");
            server.cli(&["SET", TOP, junk]);
            last = ensure(&redis, Mark::NONE, &[]).await;
            assert_eq!((last, top(&server)), (raised.number, last), "{junk}");
        }
        for score in ["inf", "-inf", "-5", "9007199254740991", "9000000000000000"] {
            server.cli(&["DEL", LIST]);
            server.cli(&["ZADD", LIST, score, "t0001"]);
            assert_eq!(news(&redis).await, [], "{score}");
            let raised = raise(&redis, "ns:", &[ONE]).await.unwrap();
            assert!(raised.anew, "{score}");
            assert_eq!(raised.before, last, "{score}");
            last = raised.number;
            assert_eq!(news(&redis).await, [(Scope::All, last), (ONE, last)]);
        }
    });
}

#[test]
fn a_number_far_ahead_rises_by_one() {
    let server = RedisServer::start();
    let redis = Redis::open(&server.url()).unwrap();
    many().block_on(async {
        let ahead = Mark::END.number() - 1_000;
        for meddled in [&[TOP][..], &[LIST], &[TOP, LIST]] {
            server.cli(&["FLUSHALL"]);
            raise(&redis, "ns:", &[ONE]).await.unwrap();
            for key in meddled {
                match *key {
                    TOP => server.cli(&["SET", TOP, &ahead.to_string()]),
                    key => server.cli(&["ZADD", key, &ahead.to_string(), "t0001"]),
                };
            }
            for above in 1..5 {
                let raised = raise(&redis, "ns:", &[ONE]).await.unwrap();
                assert_eq!(raised.number.number(), ahead + above, "{meddled:?}");
                assert_eq!(raised.before.number(), ahead + above - 1);
                assert_eq!(top(&server), raised.number);
                let ensured = ensure(&redis, raised.number, &[(ONE, raised.number)]).await;
                assert_eq!(ensured, raised.number);
            }
        }
    });
}

#[test]
fn an_evicted_log_is_made_again() {
    let server = RedisServer::start();
    let redis = Redis::open(&server.url()).unwrap();
    many().block_on(async {
        for gone in [&[TOP][..], &[LIST], &[TOP, LIST]] {
            server.cli(&["FLUSHALL"]);
            raise(&redis, "ns:", &[Scope::Key(1)]).await.unwrap();
            let last = raise(&redis, "ns:", &[ONE]).await.unwrap().number;
            let whole = news(&redis).await;
            server.cli(&[&["DEL"], gone].concat());
            let ensured = ensure(&redis, last, &[(ONE, last)]).await;
            assert_eq!(top(&server), ensured, "{gone:?}");
            if gone == [TOP] {
                assert_eq!(ensured, last, "the list knows it");
                assert_eq!(news(&redis).await, whole);
            } else {
                assert!(ensured > last, "{gone:?}");
                let marks = news(&redis).await;
                assert_eq!(marks, [(Scope::All, ensured), (ONE, ensured)], "{gone:?}");
            }
            let again = ensure(&redis, ensured, &[(ONE, last)]).await;
            assert_eq!(again, ensured, "{gone:?}");
        }
        // A top that is behind the list, as none of ours leaves it.
        let last = raise(&redis, "ns:", &[ONE]).await.unwrap().number;
        server.cli(&["SET", TOP, "5"]);
        assert_eq!(ensure(&redis, Mark::NONE, &[]).await, last);
        assert_eq!(top(&server), last);
    });
}

#[test]
fn strangers_members_are_skipped() {
    let server = RedisServer::start();
    let redis = Redis::open(&server.url()).unwrap();
    many().block_on(async {
        // More than a page of one score, and one that some servers write as `1e+15`.
        let many = "for n = 1, 2500 do redis.call('ZADD', KEYS[1], 7, 'x' .. n) end";
        server.cli(&["EVAL", many, "1", LIST]);
        server.cli(&["ZADD", LIST, "7", "t0001", "1000000000000000", "k0002"]);
        let seven = (Scope::Tag(1), Mark::new(7));
        let round = (Scope::Key(2), Mark::new(1_000_000_000_000_000));
        assert_eq!(news(&redis).await, [seven, round]);
        let marks = all_since(&redis, Mark::new(7)).await;
        assert_eq!(marks, [seven, round]);
        let marks = all_since(&redis, Mark::new(8)).await;
        assert_eq!(marks, [round]);
        let before = raise(&redis, "ns:", &[Scope::Key(2)]).await.unwrap();
        assert_eq!(
            (before.before, &before.marks[..]),
            (round.1, &[round.1][..])
        );
    });
}

#[test]
fn a_server_without_memory_raises_and_ensures() {
    let server = RedisServer::start_with(&["--maxmemory-policy", "noeviction"]);
    let redis = telling(&Redis::open(&server.url()).unwrap());
    let mut ear = Ear::at(server.port(), "shop");
    many().block_on(async {
        // The scripts are loaded while there is room.
        raise(&redis, "other:", &[ONE]).await.unwrap();
        for meddled in [false, true] {
            server.cli(&["DEL", TOP, LIST]);
            if meddled {
                server.cli(&["RPUSH", TOP, "x"]);
                server.cli(&["RPUSH", LIST, "x"]);
            }
            server.cli(&["CONFIG", "SET", "maxmemory", "1"]);
            assert!(server.cli(&["SET", "more", "x"]).starts_with("OOM"));
            let raised = raise(&redis, "ns:", &[ONE]).await.unwrap();
            assert_eq!(top(&server), raised.number);
            server.cli(&["DEL", LIST]);
            let ensured = ensure(&redis, raised.number, &[(ONE, raised.number)]).await;
            assert_eq!(top(&server), ensured);
            server.cli(&["DEL", TOP]);
            assert_eq!(ensure(&redis, ensured, &[]).await, ensured);
            let marks = news(&redis).await;
            assert_eq!(marks, [(Scope::All, ensured), (ONE, ensured)]);
            assert_eq!(server.cli(&["CONFIG", "SET", "maxmemory", "0"]), "OK");
        }
    });
    let _other = ear.awaits_any();
    for _ in 0..2 {
        assert!(ear.awaits_any().contains(">"), "a raise is told");
        assert!(ear.awaits_any().contains(">"), "an ensure that raised, too");
    }
    ear.hears("nothing more", &[]);
}

/// The event of a raise, as any other with these keys.
fn event(namespace: &str, numbers: (Mark, Mark), scopes: &[Scope]) -> String {
    let event = RaiseEvent {
        numbers: Some(numbers),
        scopes: scopes.to_vec(),
    };
    let keys = serde_json::to_string(&event.texts(namespace)).unwrap();
    format!(r#"{{"CacheName":"any","SourceID":"12345678","EventType":7,"Keys":{keys}}}"#)
}

const ODD: [&str; 6] = [
    "ns:",
    "100%1%%:",
    "\"\\:",
    "ключ\u{2028}<&>\n:",
    "{tag}:",
    "}\0\u{1}:",
];

/// Only messages from one node of a cluster come in order, and those of a namespace are from one.
async fn every_raise_is_told(remote: &impl Remote, ears: &mut [Ear]) {
    let mut hear = |what: &str, message: &str| {
        for ear in &mut *ears {
            ear.awaits(what, &[message]);
        }
    };
    for space in ODD {
        let first = raise(remote, space, &[ONE, Scope::Key(1)]).await.unwrap();
        let numbers = (Mark::NONE, first.number);
        let scopes = [ONE, Scope::Key(1), Scope::All];
        hear("a new list", &event(space, numbers, &scopes));
        let all = raise(remote, space, &[Scope::All]).await.unwrap();
        let numbers = (first.number, all.number);
        hear("a raise", &event(space, numbers, &[Scope::All]));
        let ensure = async |clock, marks: &[(Scope, Mark)]| {
            let ensure = Ensure {
                namespace: space,
                clock,
                marks,
            };
            remote.ensure(&ensure).await.unwrap().top
        };
        ensure(all.number, &[(ONE, first.number)]).await;
        let lacking = [(ONE, all.number), (Scope::Key(2), first.number)];
        let second = ensure(all.number, &lacking).await;
        let told = event(space, (all.number, second), &[ONE, Scope::Key(2)]);
        hear("an ensure that raised, and none that did not", &told);
        let ahead = Mark::new(second.number() + 7_000_000);
        let third = ensure(ahead, &[(Scope::All, ahead)]).await;
        let told = event(space, (second, third), &[Scope::All]);
        hear("a log that was behind", &told);
    }
}

#[test]
fn a_raise_is_told_whatever_the_namespace_is_called() {
    let server = RedisServer::start();
    let redis = telling(&Redis::open(&server.url()).unwrap());
    let mut ears = [Ear::at(server.port(), "shop")];
    many().block_on(every_raise_is_told(&redis, &mut ears));
    ears[0].hears("nothing more", &[]);
    let silent = Redis::open(&server.url()).unwrap();
    many().block_on(async { raise(&silent, "ns:", &[ONE]).await.unwrap() });
    ears[0].hears("who does not announce says nothing", &[]);
}

#[test]
fn a_cluster_tells_of_a_raise_at_every_node() {
    let nodes = RedisNodes::start();
    let cluster = telling(&open(&nodes));
    let mut ears = [0, 1, 2].map(|at| Ear::at(nodes.node(at).port(), "shop"));
    many().block_on(every_raise_is_told(&cluster, &mut ears));
}

/// What the server says is what a node publishes by itself, and both are heard as a raise.
#[test]
fn a_raise_is_heard_on_the_bus() {
    let server = RedisServer::start();
    let redis = Redis::open(&server.url()).unwrap();
    many().block_on(async {
        let bus = redis.pubsub("shop");
        let mut subscription = bus.subscribe(&[]).await.unwrap();
        for space in ODD {
            let raised = raise(&telling(&redis), space, &[ONE]).await.unwrap();
            let event = RaiseEvent {
                numbers: Some((Mark::NONE, raised.number)),
                scopes: vec![ONE, Scope::All],
            };
            let message = Message {
                cache: "any".into(),
                source: "12345678".into(),
                kind: Kind::Raise,
                keys: event.texts(space),
                fenced: false,
            };
            let heard = subscription.next().await.unwrap();
            assert_eq!(heard, News::Message(message.clone()));
            bus.publish(std::slice::from_ref(&message)).await.unwrap();
            assert_eq!(subscription.next().await.unwrap(), heard);
            let keys = message.keys.iter().map(|key| &key[space.len()..]);
            assert_eq!(RaiseEvent::parse(keys), Some(event));
        }
    });
}

#[test]
fn the_rights_of_a_cache_are_enough_and_a_raise_that_cannot_be_told_stands() {
    let server = RedisServer::start();
    let rights = "on >pw resetkeys ~ns:* ~{ns:* resetchannels -@all \
                  +mget +get +set +del +time +evalsha +script|load +zadd +zrange +zrem +zscore";
    let mut command = vec!["ACL", "SETUSER", "app"];
    command.extend(rights.split_whitespace());
    assert_eq!(server.cli(&command), "OK");
    let url = server.url().replace("//", "//app:pw@");
    let redis = telling(&Redis::open(&url).unwrap());
    many().block_on(async {
        let raised = raise(&redis, "ns:", &[ONE]).await.unwrap();
        assert_eq!(top(&server), raised.number);
        let ensured = ensure(&redis, raised.number, &[(Scope::Key(1), raised.number)]).await;
        assert!(ensured > raised.number);
        assert_eq!(news(&redis).await.len(), 3);
        let refused = raise(&redis, "other:", &[ONE]).await;
        assert!(matches!(refused, Err(Fault::Refused(_))), "{refused:?}");
        // What a script may not do it has not half done.
        assert_eq!(server.cli(&["ACL", "SETUSER", "app", "-zadd"]), "OK");
        let refused = raise(&redis, "ns:", &[ONE]).await;
        assert!(matches!(refused, Err(Fault::Refused(_))), "{refused:?}");
        assert_eq!(top(&server), ensured);
    });
}
