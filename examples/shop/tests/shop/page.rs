//! The page, in a browser.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use fantoccini::{Client, Locator};
use jetcache_tests::redis_server::RedisServer;
use serde_json::Value;

use crate::browser::Browser;
use crate::process::{Folder, PATIENCE, Shop, agent, get, put};

/// What the page shows, as somebody reads it.
struct Reader(Client);

impl Reader {
    async fn text(&self, id: &str) -> String {
        let found = self.0.find(Locator::Id(id)).await;
        match found {
            Ok(element) => element.text().await.unwrap_or_default(),
            Err(_) => String::new(),
        }
    }

    /// Looks until this is there to be read.
    async fn until(&self, id: &str, read: impl Fn(&str) -> bool) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let text = self.text(id).await;
            if read(&text) {
                return;
            }
            assert!(Instant::now() < deadline, "#{id} says {text:?}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    async fn keep(&self, name: &str) {
        let picture = self.0.screenshot().await.expect("it has a face");
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
        fs::write(folder.join(name), picture).expect("the target directory is writable");
    }
}

/// The number that a text begins with.
fn count(text: &str) -> f64 {
    let end = text.find(|c: char| !(c.is_ascii_digit() || c == ',' || c == '.'));
    let digits = text[..end.unwrap_or(text.len())].replace(',', "");
    digits.parse().unwrap_or(0.0)
}

/// Somebody who reads and writes until this is dropped.
struct Shopper {
    enough: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Shopper {
    fn come(url: String) -> Self {
        let enough = Arc::new(AtomicBool::new(false));
        let stop = Arc::clone(&enough);
        let thread = thread::spawn(move || {
            let agent = agent();
            for round in (0..50).cycle() {
                for id in 1..=20 {
                    get(&agent, &format!("{url}/{}", id * (round % 7 + 1)));
                }
                get(
                    &agent,
                    &format!("{url}?ids=1,{},900,4000", 100 + round * 17),
                );
                put(&agent, &format!("{url}/{}", round + 1), LAMP);
                if stop.load(Ordering::Relaxed) {
                    return;
                }
            }
        });
        Self {
            enough,
            thread: Some(thread),
        }
    }
}

impl Drop for Shopper {
    fn drop(&mut self) {
        self.enough.store(true, Ordering::Relaxed);
        let shopped = self.thread.take().map(JoinHandle::join);
        assert!(thread::panicking() || matches!(shopped, Some(Ok(()))));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_page_shows_what_the_cache_does() {
    let browser = Browser::start();
    let mut redis = RedisServer::start();
    let folder = Folder::new();
    let start = || Shop::start(&folder.file("db"), Some(&redis.url()));
    let (shop, other) = (start(), start());
    // Nobody else asks for these.
    assert_eq!(shop.get("/products/999").status, 200);
    assert_eq!(shop.get("/products/5000").status, 404);
    let _shoppers = [&shop, &other].map(|shop| Shopper::come(shop.url("/products")));
    for dark in [false, true] {
        let page = Reader(browser.open(dark).await);
        page.0.goto(&shop.url("/cache")).await.unwrap();
        page.until("l1-hits", |text| count(text) >= 100.0).await;
        page.until("l2-hits", |text| count(text) >= 1.0).await;
        page.until("hit-ratio", |text| count(text) > 10.0).await;
        page.until("l1-level", |text| count(text) > 10.0).await;
        page.until("lookup-rate", |text| count(text) > 0.0).await;
        page.until("breaker", |text| text == "closed").await;
        page.until("bus", |text| text == "up").await;
        for row in ["L2 read ok", "load found", "load not found"] {
            page.until("latency", |text| text.contains(row)).await;
        }
        page.until("counters", |text| text.contains("lookups l1 hit"))
            .await;
        page.until("gauges", |text| text.contains("entries")).await;
        let key = page.0.find(Locator::Id("inspect-key")).await.unwrap();
        key.send_keys("999").await.unwrap();
        let go = page.0.find(Locator::Id("inspect-go")).await.unwrap();
        go.click().await.unwrap();
        page.until("inspect-out", |text| text.contains("products:999"))
            .await;

        redis.kill();
        page.until("bus", |text| text == "down").await;
        page.until("breaker", |text| text == "open").await;
        page.until("story", |text| text.contains("L2: open")).await;
        page.keep(if dark {
            "dark-open.png"
        } else {
            "light-open.png"
        })
        .await;
        redis.restart();
        page.until("breaker", |text| text == "closed").await;
        page.until("bus", |text| text == "up").await;
        page.until("story", |text| text.contains("bus: up")).await;
        page.until("hit-ratio", |text| count(text) > 10.0).await;
        page.keep(if dark { "dark.png" } else { "light.png" }).await;
        page.0.close().await.unwrap();
    }
}

const LAMP: &str = r#"{"name": "Lamp", "price": 3}"#;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_page_knows_several_caches() {
    let browser = Browser::start();
    let folder = Folder::new();
    let shop = Shop::start(&folder.file("db"), None);
    let page = Reader(browser.open(false).await);
    page.0.goto(&shop.url("/cache")).await.unwrap();
    let show = r#"
        const scrape = hits => `# TYPE jetcache_lookups_total counter
jetcache_lookups_total{level="l1",outcome="hit",cache="${arguments[0]}"} ${hits}
jetcache_lookups_total{level="l1",outcome="miss",cache="${arguments[0]}"} 25
jetcache_lookups_total{level="l1",outcome="hit",cache="odd \\"name\\""} 1
`;
        take(scrape(0), Date.now() - 1000);
        take(scrape(75), Date.now());
        chosen = arguments[0];
        show();
        return [...document.getElementById("caches").children].map(button => button.textContent);
    "#;
    let caches = page.0.execute(show, vec!["a-cache".into()]).await.unwrap();
    let caches: Vec<&str> = caches
        .as_array()
        .unwrap()
        .iter()
        .filter_map(Value::as_str)
        .collect();
    assert!(caches.contains(&"a-cache"), "{caches:?}");
    assert!(caches.contains(&"odd \"name\""), "{caches:?}");
    assert_eq!(page.text("l1-ratio").await, "100 %");
    assert_eq!(page.text("hit-ratio-ever").await, "75 %");
    page.0.close().await.unwrap();
}
