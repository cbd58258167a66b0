//! Redis publishes each change that it makes for a cache, and a removal works whatever the server
//! is short of.

use std::time::Duration;

use jetcache_adapters::{Redis, RedisCluster};
use jetcache_core::ports::bus::Kind;
use jetcache_core::ports::remote::{
    Claim, Claimed, Fill, Filled, Hold, LeaseAsk, Placed, Put, Settle, Stored, Wire,
};
use jetcache_core::{Condition, Remote, Token};
use jetcache_tests::redis_cluster::RedisNodes;
use jetcache_tests::redis_server::RedisServer;

use crate::adapters::cluster::open;
use crate::adapters::redis::ear::Ear;
use crate::adapters::verbs::{T, claim, claim_if, fill, lease, many, read, stored, telling};

const OTHER: Token = Token::from_bits(2);

/// The message for a key that needs no escapes, shaped as in data/jetcache-go/events.jsonl. A removal
/// says that the lease went as well.
fn event(kind: u8, key: &str) -> String {
    let fenced = if kind == 5 { r#","Fenced":true"# } else { "" };
    format!(
        r#"{{"CacheName":"any","SourceID":"12345678","EventType":{kind},"Keys":["{key}"]{fenced}}}"#
    )
}

async fn settle(remote: &impl Remote, key: &str, token: Option<Token>, wire: Wire) -> Filled {
    let value = stored(b"v");
    let settles = [Settle { key, token, value }];
    remote.settle(&settles, wire).await.remove(0).unwrap()
}

async fn remove(remote: &impl Remote, key: &str) {
    remote.remove(&[key]).await.remove(0).unwrap();
}

/// Sends every verb in one format, and checks what is heard of each.
async fn every_verb(remote: &impl Remote, ear: &mut Ear, wire: Wire) {
    let key = "any:1";
    let claim_as = async |condition, spares| {
        let claim = Claim {
            key,
            token: T,
            life: Duration::from_secs(60),
            condition,
            dead: None,
            spares,
        };
        let claimed = remote.claim(&[claim], wire).await.remove(0).unwrap();
        matches!(claimed, Claimed::Granted(..))
    };
    let claim_with = async |condition| claim_as(condition, false).await;
    let put = async |condition, spared| {
        let put = Put {
            key,
            token: T,
            value: stored(b"v"),
            condition,
            dead: None,
            spared,
        };
        remote.put(&[put], wire).await.remove(0).unwrap()
    };
    let fill_as = async |token, replaces, kind| {
        let value = Stored {
            replaces,
            ..stored(b"v")
        };
        let fills = [Fill {
            key,
            token,
            value,
            kind,
        }];
        remote.fill(&fills, wire).await.remove(0).unwrap()
    };
    let fill_with = async |token, replaces| fill_as(token, replaces, Kind::Set).await;

    remove(remote, key).await;
    ear.hears("a removal", &[&event(5, key)]);
    assert!(claim_with(None).await);
    ear.hears("a claim", &[]);
    assert_eq!(fill_with(T, None).await, Filled::Stored);
    ear.hears("a fill", &[&event(1, key)]);
    assert_eq!(fill_with(T, None).await, Filled::Refused);
    ear.hears("a refused fill", &[]);
    assert!(!claim_with(Some(Condition::Absent)).await || wire == Wire::Native);
    // In the native format the stored bytes are no envelope, so the key counts as absent.
    ear.hears("a claim with a condition", &[]);
    remove(remote, key).await;
    ear.hears("a removal", &[&event(5, key)]);
    assert!(!claim_with(Some(Condition::Present)).await);
    ear.hears("a refused claim", &[]);

    remote.lease(&[ask(key)], wire).await.remove(0).unwrap();
    remote.read(&[key], wire).await.remove(0).unwrap();
    let hold = Hold::of(key, T);
    remote.release(&[hold]).await.remove(0).unwrap();
    ear.hears("lease, read, release", &[]);
    remote.lease(&[ask(key)], wire).await.remove(0).unwrap();
    if wire == Wire::JetcacheGo {
        assert_eq!(fill_with(T, Some(b"gone")).await, Filled::Refused);
        ear.hears("a fill over what is not there any more", &[]);
    }

    remove(remote, key).await;
    ear.hears("a removal", &[&event(5, key)]);
    assert!(claim_as(None, true).await);
    assert_eq!(put(None, None).await, Placed::Stored);
    assert_eq!(put(None, None).await, Placed::Overtaken);
    let present = Some(Condition::Present);
    assert_eq!(put(present, None).await, Placed::Overtaken);
    ear.hears(
        "a claim, a put, one that was overtaken, one with a condition",
        &[&event(1, key), &event(5, key)],
    );
    remove(remote, key).await;
    ear.hears("a removal", &[&event(5, key)]);
    for kind in [Kind::SetByOnce, Kind::SetByRefresh, Kind::SetByMGet] {
        remove(remote, key).await;
        remote.lease(&[ask(key)], wire).await.remove(0).unwrap();
        assert_eq!(fill_as(OTHER, None, kind).await, Filled::Refused);
        assert_eq!(fill_as(T, None, kind).await, Filled::Stored);
        let number = u8::try_from(kind.number()).unwrap();
        ear.hears("a load", &[&event(5, key), &event(number, key)]);
    }
    remote.unload(&[key]).await.remove(0).unwrap();
    ear.hears("what is removed since others deleted it", &[]);

    assert!(claim_with(None).await);
    assert_eq!(settle(remote, key, Some(T), wire).await, Filled::Stored);
    ear.hears("a settlement", &[&event(1, key)]);
    assert_eq!(settle(remote, key, Some(T), wire).await, Filled::Refused);
    ear.hears("a settlement without the lease", &[&event(5, key)]);
    assert!(claim_with(None).await);
    assert_eq!(
        settle(remote, key, Some(OTHER), wire).await,
        Filled::Refused
    );
    ear.hears("a settlement over another's claim", &[&event(5, key)]);
    assert_eq!(settle(remote, key, None, wire).await, Filled::Refused);
    ear.hears("a settlement without a token", &[&event(5, key)]);
}

fn ask(key: &str) -> LeaseAsk<'_> {
    LeaseAsk {
        key,
        token: T,
        life: Duration::from_secs(60),
    }
}

async fn every_verb_tells_what_it_changed() {
    let server = RedisServer::start();
    let redis = telling(&Redis::open(&server.url()).unwrap());
    let mut ear = Ear::at(server.port(), "shop");
    for wire in [Wire::Native, Wire::JetcacheGo] {
        every_verb(&redis, &mut ear, wire).await;
    }
}

#[test]
fn every_verb_tells_what_it_changed_on_tokio() {
    many().block_on(every_verb_tells_what_it_changed());
}

#[test]
fn every_verb_tells_what_it_changed_on_smol() {
    smol::block_on(every_verb_tells_what_it_changed());
}

#[test]
fn who_does_not_announce_says_nothing() {
    let server = RedisServer::start();
    let redis = Redis::open(&server.url()).unwrap();
    let announcing = telling(&redis);
    assert_eq!(redis.server(), announcing.server());
    assert_eq!(redis.server(), redis.clone().server());
    assert_ne!(redis.server(), Redis::open(&server.url()).unwrap().server());
    let mut ear = Ear::at(server.port(), "shop");
    many().block_on(async {
        remove(&redis, "any:1").await;
        assert!(claim(&redis, "any:1", T).await.unwrap());
        fill(&redis, "any:1", T, b"v").await.unwrap();
        settle(&redis, "any:1", None, Wire::Native).await;
        ear.hears("nothing", &[]);
        remove(&announcing, "any:1").await;
    });
    ear.hears("the other handle", &[&event(5, "any:1")]);
}

#[test]
fn a_batch_tells_a_key_at_a_time_and_any_key_is_written_as_json() {
    let server = RedisServer::start();
    let redis = telling(&Redis::open(&server.url()).unwrap());
    let mut ear = Ear::at(server.port(), "shop");
    let keys = ["any:1", "any:ключ", "any:\"\\\n", "any:{a}{b}", "any:}"];
    let written = ["any:1", "any:ключ", r#"any:\"\\\n"#, "any:{a}{b}", "any:}"];
    many().block_on(async {
        for removed in redis.remove(&keys).await {
            removed.unwrap();
        }
    });
    let events = written.map(|key| event(5, key));
    ear.hears("all of them", &events.each_ref().map(String::as_str));
}

/// Without the right to publish, the change is made and its answer is the same.
#[test]
fn a_missing_right_to_publish_loses_no_change() {
    let server = RedisServer::start();
    let redis = |user: &str, rights: &[&str]| {
        let mut command = vec!["ACL", "SETUSER", user, "on", ">pw", "~*"];
        command.extend(rights);
        assert_eq!(server.cli(&command), "OK");
        let url = server.url().replace("//", &format!("//{user}:pw@"));
        telling(&Redis::open(&url).unwrap())
    };
    let mut ear = Ear::at(server.port(), "shop");
    let silent = [
        redis("mute", &["+@all", "-publish", "allchannels"]),
        redis("elsewhere", &["+@all", "resetchannels", "&other"]),
    ];
    many().block_on(async {
        for redis in &silent {
            assert!(claim(redis, "any:1", T).await.unwrap());
            assert_eq!(fill(redis, "any:1", T, b"v").await.unwrap(), Filled::Stored);
            assert_eq!(read(redis, "any:1").await.unwrap().unwrap().bytes, b"v");
            remove(redis, "any:1").await;
            assert_eq!(read(redis, "any:1").await.unwrap(), None);
            assert!(claim(redis, "any:1", T).await.unwrap());
            let settled = settle(redis, "any:1", Some(T), Wire::Native).await;
            assert_eq!(settled, Filled::Stored);
            let settled = settle(redis, "any:1", Some(T), Wire::Native).await;
            assert_eq!(settled, Filled::Refused);
            assert_eq!(read(redis, "any:1").await.unwrap(), None);
        }
        ear.hears("nobody who may not", &[]);
        let may = [
            "-@all",
            "+evalsha",
            "+script|load",
            "+del",
            "+set",
            "+publish",
        ];
        let redis = redis("herald", &[&may[..], &["resetchannels", "&shop"]].concat());
        remove(&redis, "any:1").await;
    });
    ear.hears("who may", &[&event(5, "any:1")]);
}

#[test]
fn a_server_that_forgot_the_scripts_tells_once() {
    let server = RedisServer::start();
    let redis = telling(&Redis::open(&server.url()).unwrap());
    let mut ear = Ear::at(server.port(), "shop");
    many().block_on(async {
        for n in 0..20 {
            server.cli(&["SCRIPT", "FLUSH"]);
            let key = format!("any:{n}");
            remove(&redis, &key).await;
            ear.hears("a removal", &[&event(5, &key)]);
            server.cli(&["SCRIPT", "FLUSH"]);
            assert!(claim(&redis, &key, T).await.unwrap());
            server.cli(&["SCRIPT", "FLUSH"]);
            fill(&redis, &key, T, b"v").await.unwrap();
            ear.hears("a fill", &[&event(1, &key)]);
        }
    });
}

async fn a_cluster_tells(open: impl FnOnce(&RedisNodes) -> RedisCluster) {
    let nodes = RedisNodes::start();
    let cluster = telling(&open(&nodes));
    let mut ears = [0, 1, 2].map(|at| Ear::at(nodes.node(at).port(), "shop"));
    for key in [
        "any:1",
        "any:{1}:a",
        "any:}",
        "any:{}x",
        "any:{",
        "any:}{",
        "any:{a{b}}",
        "any:2",
        "any:3",
    ] {
        remove(&cluster, key).await;
        assert!(claim(&cluster, key, T).await.unwrap());
        let settled = settle(&cluster, key, Some(T), Wire::Native).await;
        assert_eq!(settled, Filled::Stored);
        // Only messages from one node come in order.
        for ear in &mut ears {
            ear.awaits(key, &[&event(5, key), &event(1, key)]);
        }
    }
}

#[test]
fn a_cluster_tells_of_every_key_at_every_node_on_tokio() {
    many().block_on(a_cluster_tells(open));
}

#[test]
fn a_cluster_tells_of_every_key_at_every_node_on_smol() {
    smol::block_on(a_cluster_tells(open));
}

/// Makes a change while the server is out of memory.
async fn without_memory(server: &RedisServer, change: impl AsyncFn()) {
    server.cli(&["CONFIG", "SET", "maxmemory", "1"]);
    assert!(server.cli(&["SET", "more", "x"]).starts_with("OOM"));
    change().await;
    assert_eq!(server.cli(&["CONFIG", "SET", "maxmemory", "0"]), "OK");
}

#[test]
fn a_server_without_memory_removes_and_tells() {
    let server = RedisServer::start_with(&["--maxmemory-policy", "noeviction"]);
    let redis = telling(&Redis::open(&server.url()).unwrap());
    let mut ear = Ear::at(server.port(), "shop");
    let filled = async || {
        assert!(lease(&redis, "any:1", OTHER).await.unwrap().is_granted());
        fill(&redis, "any:1", OTHER, b"v").await.unwrap();
        assert!(lease(&redis, "any:1", OTHER).await.unwrap().is_granted());
        is_gone(&redis, "any:1", false).await;
    };
    many().block_on(async {
        // The scripts are loaded while there is room.
        remove(&redis, "any:1").await;
        ear.hears("a removal", &[&event(5, "any:1")]);
        filled().await;
        ear.hears("a fill", &[&event(1, "any:1")]);
        without_memory(&server, async || remove(&redis, "any:1").await).await;
        is_gone(&redis, "any:1", true).await;
        ear.hears("a removal", &[&event(5, "any:1")]);

        filled().await;
        without_memory(&server, async || {
            assert!(claim(&redis, "any:1", T).await.unwrap());
        })
        .await;
        is_gone(&redis, "any:1", true).await;
        assert_eq!(server.cli(&["GET", "{any:1}#lease"]), T.to_string());
        ear.hears("a fill", &[&event(1, "any:1")]);

        without_memory(&server, async || {
            settle(&redis, "any:1", Some(OTHER), Wire::Native).await;
        })
        .await;
        ear.hears("a settlement", &[&event(5, "any:1")]);
        assert_eq!(server.cli(&["DBSIZE"]), "0");
        assert!(
            claim_if(&redis, "any:1", T, Some(Condition::Absent))
                .await
                .unwrap()
        );
    });
}

async fn is_gone(redis: &Redis, key: &str, is_so: bool) {
    assert_eq!(read(redis, key).await.unwrap().is_none(), is_so);
}
