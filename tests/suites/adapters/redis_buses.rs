//! The buses that Redis is: what they hear, and how they notice that they hear nothing more.

use std::future::Future;
use std::pin::pin;
use std::time::{Duration, Instant};

use futures_util::future::{Either, select};
use jetcache_adapters::redis::RedisSubscription;
use jetcache_adapters::{Redis, contract};
use jetcache_core::ports::bus::{Kind, Message, News, Telling};
use jetcache_core::ports::remote::{Herald, Hold, Settle, Wire};
use jetcache_core::{Bus, Fault, Remote, Subscription, Token};
use jetcache_tests::proxy::Proxy;
use jetcache_tests::redis_cluster::RedisNodes;
use jetcache_tests::redis_server::RedisServer;

use super::ear::Ear;
use super::redis_cluster::open;
use super::verbs::{T, claim, fill, lease, many, single, stored};

/// A test's clock on either runtime.
async fn sleep(span: Duration) {
    if tokio::runtime::Handle::try_current().is_ok() {
        tokio::time::sleep(span).await;
    } else {
        smol::Timer::after(span).await;
    }
}

async fn within<T>(what: &str, work: impl Future<Output = T>) -> T {
    match select(pin!(work), pin!(sleep(PATIENCE))).await {
        Either::Left((done, _)) => done,
        Either::Right(_) => panic!("{what}"),
    }
}

/// On tokio with two threads and with one, and on smol.
fn everywhere<F: Future<Output = ()>>(test: impl Fn() -> F) {
    many().block_on(test());
    single().block_on(test());
    smol::block_on(test());
}

async fn subscribe(bus: &impl Bus<Subscription = RedisSubscription>) -> RedisSubscription {
    let prefixes = ["ns:".into()];
    within("it subscribes", bus.subscribe(&prefixes))
        .await
        .unwrap()
}

async fn next(subscription: &mut RedisSubscription) -> News {
    within("there is news", subscription.next()).await.unwrap()
}

/// It fails, and goes on failing.
async fn is_over(subscription: &mut RedisSubscription) {
    for _ in 0..2 {
        let fault = within("the break is noticed", async {
            loop {
                if let Err(fault) = subscription.next().await {
                    return fault;
                }
            }
        });
        let fault = fault.await;
        assert!(matches!(fault, Fault::Unreachable(_)), "{fault}");
    }
}

async fn remove(redis: &impl Remote, key: &str) {
    redis.remove(&[key]).await.remove(0).unwrap();
}

fn message(kind: Kind, keys: &[&str]) -> Message {
    Message {
        cache: "any".into(),
        source: "12345678".into(),
        kind,
        keys: keys.iter().map(|&key| key.into()).collect(),
    }
}

fn changed(key: &str) -> News {
    News::Changed(vec![key.into()])
}

fn telling<R: Remote>(remote: &R) -> R {
    let herald = Herald {
        channel: "shop".into(),
        cache: "any".into(),
        source: "12345678".into(),
    };
    remote.announcing(herald).unwrap()
}

#[test]
fn pubsub_keeps_the_contract() {
    let server = RedisServer::start();
    everywhere(async || {
        let redis = Redis::open(&server.url()).unwrap();
        let bus = redis.pubsub("shop");
        let announcing = telling(&redis);
        contract::bus::run(&bus, async |key| remove(&announcing, key).await, sleep).await;
        let published = async |key: &str| contract::bus::publish(&bus, key).await;
        contract::bus::run(&bus, published, sleep).await;
        let telling = Telling::WithChange {
            server: redis.server().unwrap(),
            channel: "shop".into(),
        };
        assert_eq!(bus.telling(), telling);
    });
}

#[test]
fn tracking_keeps_the_contract() {
    let server = RedisServer::start();
    everywhere(async || {
        let redis = Redis::open(&server.url()).unwrap();
        let bus = redis.tracking();
        contract::bus::run(&bus, async |key| remove(&redis, key).await, sleep).await;
        let server = redis.server().unwrap();
        assert_eq!(bus.telling(), Telling::Watched { server });
        bus.publish(&[message(Kind::Delete, &["ns:1"])])
            .await
            .unwrap();
    });
}

#[test]
fn pubsub_in_a_cluster_keeps_the_contract() {
    let nodes = RedisNodes::start();
    everywhere(async || {
        let cluster = open(&nodes);
        let bus = cluster.pubsub("shop");
        let announcing = telling(&cluster);
        contract::bus::run(&bus, async |key| remove(&announcing, key).await, sleep).await;
        let published = async |key: &str| contract::bus::publish(&bus, key).await;
        contract::bus::run(&bus, published, sleep).await;
    });
}

/// What jetcache-go sends is understood, and written again as it was.
#[test]
fn the_events_are_those_of_jetcache_go() {
    let server = RedisServer::start();
    let bus = Redis::open(&server.url()).unwrap().pubsub("shop");
    let rows = include_str!("../../data/jetcache-go/events.jsonl");
    let rows = rows.lines().map(|row| serde_json::from_str(row).unwrap());
    let payloads =
        rows.filter_map(|row: serde_json::Value| Some(row["payload"].as_str()?.to_owned()));
    let mut count = 0;
    many().block_on(async {
        let mut subscription = subscribe(&bus).await;
        let mut ear = Ear::at(server.port(), "shop");
        for payload in payloads {
            server.cli(&["PUBLISH", "shop", &payload]);
            ear.hears("jetcache-go's", &[&payload]);
            let news = next(&mut subscription).await;
            let News::Message(message) = news else {
                panic!("{payload}: {news:?}");
            };
            // The ear's mark.
            assert_eq!(next(&mut subscription).await, News::Unreadable);
            bus.publish(&[message]).await.unwrap();
            // Go escapes these for browsers' sake.
            let escapes = [
                ("\\u003c", "<"),
                ("\\u003e", ">"),
                ("\\u0026", "&"),
                ("\\u2028", "\u{2028}"),
            ];
            let payload = escapes
                .iter()
                .fold(payload, |text, (from, to)| text.replace(from, to));
            ear.hears("the same", &[&payload]);
            next(&mut subscription).await;
            next(&mut subscription).await;
            count += 1;
        }
    });
    assert_eq!(count, 17, "the rows that have a payload");
}

#[test]
fn what_cannot_be_understood_is_counted_and_other_channels_are_not_heard() {
    let server = RedisServer::start();
    everywhere(async || {
        let bus = Redis::open(&server.url()).unwrap().pubsub("shop");
        let before = message(Kind::Delete, &["ns:before"]);
        bus.publish(&[before]).await.unwrap();
        let mut subscription = subscribe(&bus).await;
        server.cli(&["PUBLISH", "other", "{}"]);
        for text in [
            "",
            "no JSON",
            "{}",
            r#"{"CacheName":"a","SourceID":"b","EventType":9,"Keys":[]}"#,
        ] {
            server.cli(&["PUBLISH", "shop", text]);
            assert_eq!(next(&mut subscription).await, News::Unreadable, "{text}");
        }
        let go = r#"{"CacheName":"any","SourceID":"12345678","EventType":5,"Keys":null}"#;
        server.cli(&["PUBLISH", "shop", go]);
        let heard = News::Message(message(Kind::Delete, &[]));
        assert_eq!(next(&mut subscription).await, heard);
    });
}

/// A heart that beats when a test is over.
fn without_heartbeat(server: &RedisServer) -> Redis {
    let builder = Redis::builder(server.url()).heartbeat(Duration::from_secs(600));
    builder.open().unwrap()
}

/// A break of which the server or the system tells.
async fn a_cut_is_noticed<B: Bus<Subscription = RedisSubscription>>(bus: impl Fn(&Redis) -> B) {
    let mut server = RedisServer::start();
    let redis = without_heartbeat(&server);
    let bus = bus(&redis);
    let announcing = telling(&redis);
    let hears = async |subscription: &mut RedisSubscription| {
        remove(&announcing, "ns:1").await;
        let news = next(subscription).await;
        let told = News::Message(message(Kind::Delete, &["ns:1"]));
        assert!(news == told || news == changed("ns:1"), "{news:?}");
    };
    let mut subscription = subscribe(&bus).await;
    hears(&mut subscription).await;
    for kind in ["normal", "pubsub"] {
        server.cli(&["CLIENT", "KILL", "TYPE", kind, "SKIPME", "yes"]);
    }
    is_over(&mut subscription).await;
    let mut subscription = subscribe(&bus).await;
    hears(&mut subscription).await;
    server.kill();
    is_over(&mut subscription).await;
    let prefixes = ["ns:".into()];
    let refused = bus.subscribe(&prefixes).await;
    assert!(matches!(refused, Err(Fault::Unreachable(_))));
    server.restart();
    let mut subscription = subscribe(&bus).await;
    hears(&mut subscription).await;
}

#[test]
fn a_cut_is_noticed_by_pubsub() {
    everywhere(|| a_cut_is_noticed(|redis| redis.pubsub("shop")));
}

#[test]
fn a_cut_is_noticed_by_tracking() {
    everywhere(|| a_cut_is_noticed(Redis::tracking));
}

#[test]
fn what_was_heard_before_a_cut_comes_before_it() {
    everywhere(async || {
        let mut server = RedisServer::start();
        let bus = without_heartbeat(&server).pubsub("shop");
        let mut subscription = subscribe(&bus).await;
        let messages = ["ns:1", "ns:2", "ns:3"].map(|key| message(Kind::Delete, &[key]));
        bus.publish(&messages).await.unwrap();
        assert_eq!(
            next(&mut subscription).await,
            News::Message(messages[0].clone())
        );
        server.kill();
        for message in &messages[1..] {
            assert_eq!(
                next(&mut subscription).await,
                News::Message(message.clone())
            );
        }
        is_over(&mut subscription).await;
    });
}

/// A server that hangs breaks no connection, and neither does a network that swallows everything.
#[test]
fn a_silent_break_is_noticed() {
    everywhere(async || {
        let server = RedisServer::start();
        let proxy = Proxy::start(server.port());
        let beat = Duration::from_millis(100);
        let at = |url: String| Redis::builder(url).heartbeat(beat).open().unwrap();
        let direct = at(server.url());
        let mut pubsub = subscribe(&direct.pubsub("shop")).await;
        let mut tracking = subscribe(&direct.tracking()).await;
        let mut far = subscribe(&at(proxy.url()).pubsub("shop")).await;
        proxy.hold_replies();
        is_over(&mut far).await;
        server.pause();
        is_over(&mut pubsub).await;
        is_over(&mut tracking).await;
        server.resume();
    });
}

#[test]
fn a_heartbeat_leaves_a_living_connection_alone() {
    everywhere(async || {
        let server = RedisServer::start();
        let redis = Redis::builder(server.url())
            .heartbeat(Duration::from_millis(400))
            .open()
            .unwrap();
        // Any answer is one, be it that it may not ask.
        assert_eq!(server.cli(&["ACL", "SETUSER", "default", "-ping"]), "OK");
        let mut pubsub = subscribe(&redis.pubsub("shop")).await;
        let mut tracking = subscribe(&redis.tracking()).await;
        let idle = async {
            let (one, two) = (pin!(pubsub.next()), pin!(tracking.next()));
            let (news, _) = select(one, two).await.factor_first();
            panic!("{news:?}");
        };
        let pings = async {
            let refused = || {
                let stats = server.cli(&["INFO", "commandstats"]);
                let ping = stats.lines().find(|line| line.starts_with("cmdstat_ping:"));
                let count =
                    ping.and_then(|ping| ping.split_once("rejected_calls=")?.1.split(',').next());
                count.map_or(0, |count| count.parse::<usize>().unwrap())
            };
            while refused() < 6 {
                sleep(Duration::from_millis(20)).await;
            }
        };
        within("it asks again and again", select(pin!(idle), pin!(pings))).await;
        remove(&telling(&redis), "ns:1").await;
        assert_eq!(
            next(&mut pubsub).await,
            News::Message(message(Kind::Delete, &["ns:1"]))
        );
        assert_eq!(next(&mut tracking).await, changed("ns:1"));
    });
}

#[test]
fn settings_that_cannot_work_are_refused() {
    let builder = Redis::builder("redis://localhost").heartbeat(Duration::ZERO);
    assert!(builder.open().is_err());
}

#[test]
fn more_than_can_be_kept_is_everything_and_said_once() {
    everywhere(async || {
        let server = RedisServer::start();
        let redis = Redis::open(&server.url()).unwrap();
        let bus = redis.pubsub("shop");
        let mut subscription = subscribe(&bus).await;
        let some = vec![message(Kind::Delete, &["ns:1"]); 1000];
        let deadline = Instant::now() + PATIENCE;
        // Nobody asks while they come, but when the last has come cannot be seen.
        loop {
            for _ in 0..5 {
                bus.publish(&some).await.unwrap();
            }
            sleep(Duration::from_millis(300)).await;
            if next(&mut subscription).await == News::Everything {
                break;
            }
            assert!(Instant::now() < deadline, "5000 messages are too many");
        }
        let last = message(Kind::Delete, &["ns:last"]);
        bus.publish(std::slice::from_ref(&last)).await.unwrap();
        assert_eq!(next(&mut subscription).await, News::Message(last));
    });
}

#[test]
fn a_subscription_that_is_dropped_leaves_no_connection() {
    everywhere(async || {
        let server = RedisServer::start();
        let redis = Redis::builder(server.url())
            .client_name("ears")
            .open()
            .unwrap();
        let pubsub = subscribe(&redis.pubsub("shop")).await;
        let tracking = subscribe(&redis.tracking()).await;
        let count = || {
            server
                .cli(&["CLIENT", "LIST"])
                .matches(" name=ears ")
                .count()
        };
        // And one of the calls', by which it found out that it may publish.
        assert_eq!(count(), 3);
        drop((pubsub, tracking));
        within("they are closed", async {
            while count() > 1 {
                sleep(Duration::from_millis(10)).await;
            }
        })
        .await;
    });
}

/// The keys that were heard of until this one was, which is removed to mark the end.
async fn until(subscription: &mut RedisSubscription, redis: &Redis, mark: &str) -> Vec<String> {
    remove(redis, mark).await;
    let mut heard = Vec::new();
    loop {
        match next(subscription).await {
            News::Changed(keys) => heard.extend(keys),
            news => panic!("{news:?}"),
        }
        if heard.last().is_some_and(|last| last == mark) || heard.contains(&mark.to_owned()) {
            heard.retain(|key| key != mark);
            return heard;
        }
    }
}

/// Whatever may remove a key is shown, even if nothing was there.
#[test]
fn tracking_shows_every_change_of_an_absent_key() {
    let server = RedisServer::start();
    everywhere(async || {
        let redis = Redis::open(&server.url()).unwrap();
        let mut subscription = subscribe(&redis.tracking()).await;
        let key = "ns:{1}";
        let settle = async |token: Option<Token>| {
            let value = stored(b"v");
            let settles = [Settle { key, token, value }];
            redis
                .settle(&settles, Wire::Native)
                .await
                .remove(0)
                .unwrap();
        };
        let mut shows = async |what: &str| {
            let heard = until(&mut subscription, &redis, "ns:mark").await;
            assert_eq!(heard, [key], "{what}");
        };
        remove(&redis, key).await;
        shows("a removal").await;
        assert!(claim(&redis, key, T).await.unwrap());
        shows("a claim").await;
        remove(&redis, key).await;
        shows("a removal").await;
        settle(Some(T)).await;
        shows("a settlement that is refused").await;
        settle(None).await;
        shows("a settlement without a token").await;
        lease(&redis, key, T).await.unwrap();
        fill(&redis, key, T, b"v").await.unwrap();
        shows("its own fill").await;
        server.cli(&["SET", key, "foreign"]);
        shows("a stranger's change").await;
        remove(&redis, key).await;
        shows("a removal of what was there").await;
    });
}

#[test]
fn tracking_leaves_leases_and_other_prefixes_out() {
    let server = RedisServer::start();
    everywhere(async || {
        let redis = Redis::open(&server.url()).unwrap();
        let mut subscription = subscribe(&redis.tracking()).await;
        for key in ["ns:{1}", "ns:2", "ns:}"] {
            lease(&redis, key, T).await.unwrap();
            let hold = Hold { key, token: T };
            redis.release(&[hold]).await.remove(0).unwrap();
        }
        remove(&redis, "other:1").await;
        let heard = until(&mut subscription, &redis, "ns:mark").await;
        assert!(heard.is_empty(), "{heard:?}");
    });
}

#[test]
fn no_prefix_or_an_empty_one_stands_for_all_keys() {
    let server = RedisServer::start();
    everywhere(async || {
        let redis = Redis::open(&server.url()).unwrap();
        for prefixes in [vec![], vec!["ns:".into(), String::new()]] {
            let bus = redis.tracking();
            let mut subscription = bus.subscribe(&prefixes).await.unwrap();
            remove(&redis, "other:1").await;
            assert_eq!(next(&mut subscription).await, changed("other:1"));
        }
        let two = ["ns:".into(), "other:".into()];
        let mut subscription = redis.tracking().subscribe(&two).await.unwrap();
        remove(&redis, "third:1").await;
        remove(&redis, "other:1").await;
        assert_eq!(next(&mut subscription).await, changed("other:1"));
        remove(&redis, "ns:1").await;
        assert_eq!(next(&mut subscription).await, changed("ns:1"));
        // One begins the other.
        let twice = ["ns:".into(), "ns:1".into()];
        let refused = redis.tracking().subscribe(&twice).await;
        assert!(matches!(refused, Err(Fault::Refused(_))));
    });
}

#[test]
fn an_emptied_server_is_everything() {
    let server = RedisServer::start();
    everywhere(async || {
        let redis = Redis::open(&server.url()).unwrap();
        let mut subscription = subscribe(&redis.tracking()).await;
        for command in ["FLUSHALL", "FLUSHDB"] {
            server.cli(&[command]);
            assert_eq!(next(&mut subscription).await, News::Everything);
        }
        assert!(until(&mut subscription, &redis, "ns:mark").await.is_empty());
    });
}

#[test]
fn a_key_that_is_no_text_is_left_out() {
    let server = RedisServer::start();
    let redis = Redis::open(&server.url()).unwrap();
    many().block_on(async {
        let mut subscription = subscribe(&redis.tracking()).await;
        server.cli(&["EVAL", r"return redis.call('SET', 'ns:\255', 'v')", "0"]);
        let heard = until(&mut subscription, &redis, "ns:mark").await;
        assert!(heard.is_empty(), "{heard:?}");
    });
}

/// The rights are those that the docs name, and none besides.
#[test]
fn the_documented_rights_are_enough() {
    let server = RedisServer::start();
    let at = |user: &str, rights: &str| {
        let mut command = vec!["ACL", "SETUSER", user, "reset", "on", ">pw"];
        command.extend(rights.split_whitespace());
        assert_eq!(server.cli(&command), "OK");
        let url = server.url().replace("//", &format!("//{user}:pw@"));
        Redis::builder(url)
            .client_name("")
            .heartbeat(Duration::from_millis(50))
            .open()
            .unwrap()
    };
    many().block_on(async {
        let redis = at("hears", "+subscribe +ping +publish &shop");
        let bus = redis.pubsub("shop");
        contract::bus::run(
            &bus,
            async |key| contract::bus::publish(&bus, key).await,
            sleep,
        )
        .await;
        let changing = "+evalsha +script|load +set +del ~contract:* ~{contract:*";
        let redis = at("sees", &format!("+client|tracking +ping {changing}"));
        let bus = redis.tracking();
        contract::bus::run(&bus, async |key| remove(&redis, key).await, sleep).await;
        sleep(Duration::from_millis(200)).await;
        assert_eq!(server.cli(&["ACL", "LOG", "1"]), "", "nothing was denied");

        for rights in ["+ping &shop", "+subscribe +ping", "+subscribe +ping &other"] {
            let refused = at("deaf", rights).pubsub("shop").subscribe(&[]).await;
            assert!(matches!(refused, Err(Fault::Refused(_))), "{rights}");
        }
        let refused = at("blind", "+ping").tracking().subscribe(&[]).await;
        assert!(matches!(refused, Err(Fault::Refused(_))));
        for rights in ["&shop", "+publish"] {
            let messages = [message(Kind::Delete, &["ns:1"])];
            let refused = at("mute", rights).pubsub("shop").publish(&messages).await;
            assert!(matches!(refused, Err(Fault::Refused(_))), "{rights}");
        }
        // Who could hear and not be heard is told so.
        let half = at("half", "+subscribe +ping &shop").pubsub("shop");
        let refused = half.subscribe(&[]).await.map(drop);
        assert!(
            matches!(&refused, Err(Fault::Refused(why)) if why.contains("+publish")),
            "{refused:?}"
        );
    });
}

/// Whichever node it listened at: when that one dies, another one is found.
#[test]
fn a_cluster_is_listened_to_at_another_node_when_one_dies() {
    everywhere(async || {
        let mut nodes = RedisNodes::start();
        let cluster = open(&nodes);
        let bus = cluster.pubsub("shop");
        let mut subscription = subscribe(&bus).await;
        let at = (0..3).find(|at| {
            let list = nodes.node(*at).cli(&["CLIENT", "LIST", "TYPE", "pubsub"]);
            list.contains(" name=jetcache ")
        });
        nodes.node_mut(at.unwrap()).kill();
        is_over(&mut subscription).await;
        // Each attempt begins at another node, and passes by the dead one.
        for _ in 0..4 {
            let mut subscription = subscribe(&bus).await;
            let alive = (at.unwrap() + 1) % 3;
            let event =
                r#"{"CacheName":"any","SourceID":"12345678","EventType":5,"Keys":["ns:1"]}"#;
            nodes.node(alive).cli(&["PUBLISH", "shop", event]);
            assert_eq!(
                next(&mut subscription).await,
                News::Message(message(Kind::Delete, &["ns:1"]))
            );
        }
    });
}

const PATIENCE: Duration = Duration::from_secs(20);
