//! What Prometheus is told.

use crate::exposition::Exposition;
use crate::process::{Folder, Shop};

#[test]
fn a_scrape_counts_what_was_asked() {
    let folder = Folder::new();
    let shop = Shop::start(&folder.file("db"), None);
    for _ in 0..5 {
        shop.get("/products/7");
    }
    shop.get("/products/4000");
    let answer = shop.get("/metrics");
    assert_eq!(answer.status, 200);
    assert!(
        answer
            .header("content-type")
            .starts_with("text/plain; version=0.0.4")
    );
    let scrape = Exposition::read(&answer.text);
    let of = |name: &str, labels: &[(&str, &str)]| {
        let mut labels = labels.to_vec();
        labels.push(("cache", "products"));
        scrape.sum(name, &labels)
    };
    let l1 = |outcome| {
        of(
            "jetcache_lookups_total",
            &[("level", "l1"), ("outcome", outcome)],
        )
    };
    assert_eq!((l1("hit"), l1("miss")), (4.0, 2.0));
    assert_eq!(of("jetcache_misses_total", &[]), 2.0);
    assert_eq!(of("jetcache_loads_total", &[("outcome", "ok")]), 2.0);
    assert_eq!(of("jetcache_loads_not_found_total", &[]), 1.0);
    assert_eq!(of("jetcache_entries", &[]), 2.0);
    let took = |outcome| {
        of(
            "jetcache_load_duration_seconds_count",
            &[("outcome", outcome)],
        )
    };
    assert_eq!((took("found"), took("not_found")), (1.0, 1.0));
    // Those that have counted nothing yet are there, too: a rate needs a zero to begin with.
    assert!(scrape.families("counter").len() > 20, "{}", answer.text);
    assert!(scrape.families("gauge").len() > 10, "{}", answer.text);
}

#[test]
fn a_scrape_says_how_long_l2_takes() {
    let redis = jetcache_tests::redis_server::RedisServer::start();
    let folder = Folder::new();
    let shop = Shop::start(&folder.file("db"), Some(&redis.url()));
    shop.get("/products/7");
    shop.put("/products/7", r#"{"name": "Lamp", "price": 3}"#);
    let scrape = Exposition::read(&shop.get("/metrics").text);
    let name = "jetcache_remote_duration_seconds_count";
    assert!(scrape.sum(name, &[("outcome", "ok")]) >= 3.0);
    assert_eq!(scrape.sum(name, &[("outcome", "fault")]), 0.0);
    assert!(scrape.sum("jetcache_remote_duration_seconds_sum", &[]) > 0.0);
}
