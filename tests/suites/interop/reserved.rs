//! Keys that look like the names of locks, marks and leases.

use jetcache_adapters::Raw;
use jetcache_core::{Cached, Error, LoadError, Reach};

use super::stage::Stage;

#[tokio::test]
async fn a_key_that_looks_like_a_lock_is_loaded_and_leaves_the_lock_alone() {
    let stage = Stage::new();
    let (cache, go) = (stage.builder(Raw).build().unwrap(), stage.go());
    go.set("shop:x_#RL#", b"whose turn it is");
    for key in ["x_#RL#", "x#lease", "x#fill"] {
        let load = async || Ok::<_, LoadError>("v".to_owned());
        let loaded = cache.get_or_load(key, load).await.unwrap();
        assert_eq!(loaded.as_deref(), Some("v"), "{key}");
        assert_eq!(cache.get(key).await, Cached::Hit("v".into()), "{key}");
        let inserted = cache.insert(key.into(), "w".to_owned()).await;
        assert!(matches!(inserted, Err(Error::Key(_))), "{key}");
        assert_eq!(cache.invalidate(key).await, Reach::Everywhere);
        assert_eq!(cache.get(key).await, Cached::Miss, "{key}");
    }
    assert_eq!(go.get("shop:x_#RL#").unwrap(), b"whose turn it is");
    assert_eq!(go.run::<u64>("DBSIZE", &[]), 1);
    assert_eq!(cache.stats().remote_faults, 0);
}
