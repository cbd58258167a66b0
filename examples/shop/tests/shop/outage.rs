//! Redis goes and comes back while people shop: nobody notices, and the metrics tell it.

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};
use std::thread;

use jetcache_tests::redis_server::RedisServer;

use crate::exposition::Exposition;
use crate::process::{Folder, Shop, agent, get, within};

/// Clients that read and write at random until they are told to stop.
struct Crowd<'a> {
    shop: &'a Shop,
    answered: AtomicUsize,
    enough: AtomicBool,
}

impl Crowd<'_> {
    /// One client. Each answer must be a product.
    fn visit(&self, seed: u32) {
        let (agent, mut dice) = (agent(), seed);
        let dice = &mut dice;
        let mut roll = |most: u32| {
            // Numerical Recipes' generator: any will do.
            *dice = dice.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (*dice >> 8) % most + 1
        };
        while !self.enough.load(Ordering::Relaxed) {
            let id = roll(1000);
            let answer = match roll(10) {
                1 => {
                    let body = format!(r#"{{"name": "Product {id}", "price": {}}}"#, roll(99));
                    self.shop.put(&format!("/products/{id}"), &body)
                }
                2 => get(
                    &agent,
                    &self
                        .shop
                        .url(&format!("/products?ids={id},{},7", roll(1000))),
                ),
                _ => get(&agent, &self.shop.url(&format!("/products/{id}"))),
            };
            assert_eq!(answer.status, 200, "{answer:?}");
            self.answered.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Waits until so many more were answered.
    fn more(&self, answers: usize) {
        let most = self.answered.load(Ordering::Relaxed) + answers;
        within("people shop", || {
            (self.answered.load(Ordering::Relaxed) >= most).then_some(())
        });
    }
}

/// Tells the crowd that it is enough, also when the test fails.
struct Stop<'a>(&'a AtomicBool);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[test]
fn redis_goes_and_comes_back_and_no_request_fails() {
    let mut redis = RedisServer::start();
    let folder = Folder::new();
    let shop = Shop::start(&folder.file("db"), Some(&redis.url()));
    let crowd = Crowd {
        shop: &shop,
        answered: AtomicUsize::new(0),
        enough: AtomicBool::new(false),
    };
    let scrape = || Exposition::read(&shop.get("/metrics").text);
    let until = |what: &str, seen: &dyn Fn(&Exposition) -> bool| {
        within(what, || Some(scrape()).filter(|scraped| seen(scraped)))
    };
    let seeds = AtomicU32::new(1);
    thread::scope(|scope| {
        let _stop = Stop(&crowd.enough);
        for _ in 0..4 {
            scope.spawn(|| crowd.visit(seeds.fetch_add(1, Ordering::Relaxed)));
        }
        crowd.more(200);
        let well = until("the bus is up", &|seen| {
            seen.sum("jetcache_bus_state", &[]) == 2.0
        });
        assert_eq!(well.sum("jetcache_breaker_state", &[]), 0.0);
        assert_eq!(well.sum("jetcache_breaker_opened_total", &[]), 0.0);
        assert_eq!(shop.get("/health").json()["status"], "ok");

        redis.kill();
        let broken = until("the breaker opens", &|seen| {
            seen.sum("jetcache_breaker_opened_total", &[]) >= 1.0
                && seen.sum("jetcache_remote_not_asked_total", &[]) > 0.0
        });
        assert!(broken.sum("jetcache_remote_faults_total", &[]) >= 1.0);
        crowd.more(200);
        // Alive, and ready: but not well.
        let health = shop.get("/health");
        assert_eq!(
            (health.status, &health.json()["status"]),
            (200, &"degraded".into())
        );
        assert_eq!(health.json()["ping"]["ok"], false);
        assert_eq!(shop.get("/ready").status, 200);

        redis.restart();
        let loads = scrape();
        until("the breaker closes, and the bus is up again", &|seen| {
            seen.sum("jetcache_breaker_closed_total", &[]) >= 1.0
                && seen.sum("jetcache_breaker_state", &[]) == 0.0
                && seen.sum("jetcache_bus_state", &[]) == 2.0
        });
        let hits = [("level", "l2"), ("outcome", "hit")];
        let before = loads.sum("jetcache_lookups_total", &hits);
        // What one node fills the other finds.
        let other = Shop::start(&folder.file("db"), Some(&redis.url()));
        within("L2 answers again", || {
            for id in 1..=20 {
                shop.get(&format!("/products/{id}"));
                other.get(&format!("/products/{id}"));
            }
            let seen = Exposition::read(&other.get("/metrics").text);
            (seen.sum("jetcache_lookups_total", &hits) > 0.0).then_some(())
        });
        crowd.more(200);
        let end = scrape();
        assert!(end.sum("jetcache_lookups_total", &hits) >= before);
        assert_eq!(
            end.sum("jetcache_loads_total", &[("outcome", "failed")]),
            0.0
        );
        assert_eq!(shop.get("/health").json()["status"], "ok");
    });
}
