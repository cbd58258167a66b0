//! `inspect` and `invalidate` on a cluster: whatever node is named, the right one is asked.

use jetcache_tests::redis_cluster::RedisNodes;
use jetcache_tokio::{MessagePack, RedisCluster};

use crate::process::{Value, jetcache, value};

#[tokio::test(flavor = "multi_thread")]
async fn a_key_of_any_slot_is_found() {
    let servers = RedisNodes::start();
    let remote = RedisCluster::open(servers.urls()).unwrap();
    let cache = jetcache_tokio::builder::<String, Value>("users");
    let cache = cache.remote(remote, MessagePack).build().unwrap();
    let url = &servers.urls()[0];
    let run = |command: &str, key: &str| jetcache(&[command, key, "--cluster", "--redis", url]);
    for id in ["1", "2", "3", "4", "5", "6"] {
        let key = format!("users:{id}");
        cache.insert(id.into(), value("text")).await.unwrap();
        run("inspect", &key).is(0, &["a value in the native format", "lease  none"]);
        run("invalidate", &key).is(0, &["removed with its lease"]);
        run("inspect", &key).is(3, &["nothing"]);
    }
    // Without --cluster the answer says what to do.
    let failed = ["1", "2", "3", "4", "5", "6"].map(|id| {
        let key = format!("users:{id}");
        jetcache(&["invalidate", &key, "--redis", url])
    });
    let failed = failed.iter().filter(|ended| ended.code == 1);
    assert!(failed.clone().count() > 0, "they lie on several nodes");
    for ended in failed {
        ended.is(1, &["give --cluster"]);
    }
}
