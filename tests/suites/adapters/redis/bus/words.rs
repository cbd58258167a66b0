//! What is said on a bus, what is heard of it, and who may do either.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::thread;
use std::time::{Duration, Instant};

use jetcache_adapters::{Redis, contract};
use jetcache_core::ports::bus::{Kind, News};
use jetcache_core::{Bus, Fault};
use jetcache_tests::redis_cluster::RedisNodes;
use jetcache_tests::redis_server::RedisServer;

use super::{PATIENCE, everywhere, message, next, remove, sleep, subscribe, within};
use crate::adapters::cluster::open;
use crate::adapters::redis::ear::Ear;
use crate::adapters::verbs::many;

/// What jetcache-go sends is understood, and written back byte for byte.
#[test]
fn the_events_are_those_of_jetcache_go() {
    let server = RedisServer::start();
    let bus = Redis::open(&server.url()).unwrap().pubsub("shop");
    let rows = include_str!("../../../../data/jetcache-go/events.jsonl");
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
            // The mark that the ear sends itself.
            assert_eq!(next(&mut subscription).await, News::Unreadable);
            bus.publish(&[message]).await.unwrap();
            // Go escapes these for the sake of browsers.
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

#[test]
fn more_than_can_be_kept_is_everything_and_said_once() {
    everywhere(async || {
        let server = RedisServer::start();
        let redis = Redis::open(&server.url()).unwrap();
        let bus = redis.pubsub("shop");
        let mut subscription = subscribe(&bus).await;
        let some = vec![message(Kind::Delete, &["ns:1"]); 1000];
        let deadline = Instant::now() + PATIENCE;
        // Nobody asks for news while they arrive. When the last has arrived cannot be seen.
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

/// The rights are exactly those that the docs name.
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
        // Whoever may listen but not publish is told so.
        let half = at("half", "+subscribe +ping &shop").pubsub("shop");
        let refused = half.subscribe(&[]).await.map(drop);
        assert!(
            matches!(&refused, Err(Fault::Refused(why)) if why.contains("+publish")),
            "{refused:?}"
        );
    });
}

/// Those who listen to the channel and know nothing of jetcache for Rust hear nothing of it.
#[test]
fn subscribing_says_nothing_on_the_channel() {
    everywhere(async || {
        let server = RedisServer::start();
        let mut ear = Ear::at(server.port(), "shop");
        let bus = Redis::open(&server.url()).unwrap().pubsub("shop");
        drop(subscribe(&bus).await);
        let mut subscription = subscribe(&bus).await;
        ear.hears("nothing", &[]);
        assert_eq!(next(&mut subscription).await, News::Unreadable, "the mark");
        within("the trials have hung up", async {
            // The ear and one subscription, and who asks.
            while server.cli(&["CLIENT", "LIST"]).lines().count() > 3 {
                sleep(Duration::from_millis(10)).await;
            }
        })
        .await;
    });
}

#[test]
fn subscribing_says_nothing_on_the_channel_of_a_cluster() {
    let nodes = RedisNodes::start();
    many().block_on(async {
        let mut ear = Ear::at(nodes.node(0).port(), "shop");
        let bus = open(&nodes).pubsub("shop");
        for _ in 0..4 {
            drop(subscribe(&bus).await);
        }
        for at in 0..3 {
            // What was published there before comes before it.
            nodes.node(at).cli(&["PUBLISH", "shop", "mark"]);
            ear.awaits("the mark alone", &["mark"]);
        }
    });
}

/// A busy channel hides neither that the user may not publish nor that it may.
#[test]
fn the_right_to_publish_is_found_out_on_a_busy_channel() {
    let server = RedisServer::start();
    for (user, rights) in [("half", "-publish"), ("whole", "+publish")] {
        let command = [
            "ACL",
            "SETUSER",
            user,
            "on",
            ">pw",
            "-@all",
            "+subscribe",
            "+ping",
            "&shop",
        ];
        assert_eq!(server.cli(&command), "OK");
        assert_eq!(server.cli(&["ACL", "SETUSER", user, rights]), "OK");
    }
    let port = server.port();
    // It ends with the server.
    thread::spawn(move || {
        let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
        let busy = b"PUBLISH shop busy\r\n".repeat(20);
        while stream.write_all(&busy).is_ok() && matches!(stream.read(&mut [0; 4096]), Ok(1..)) {
            // Leaves some of the machine to the others.
            thread::sleep(Duration::from_micros(200));
        }
    });
    many().block_on(async {
        let at = |user: &str| {
            let url = server.url().replace("//", &format!("//{user}:pw@"));
            Redis::builder(url)
                .client_name("")
                .connect_timeout(Duration::from_secs(20))
                .open()
                .unwrap()
                .pubsub("shop")
        };
        for _ in 0..20 {
            let refused = at("half").subscribe(&[]).await.map(drop);
            assert!(
                matches!(&refused, Err(Fault::Refused(why)) if why.contains("+publish")),
                "{refused:?}"
            );
            at("whole").subscribe(&[]).await.unwrap();
        }
    });
}
