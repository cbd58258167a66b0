//! The page, in a browser.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use fantoccini::{Client, Locator};
use jetcache_tests::redis_server::RedisServer;
use serde_json::Value;

use crate::browser::Browser;
use crate::process::{Folder, PATIENCE, Shop};

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
        let picture = self.0.screenshot().await.unwrap();
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
        fs::write(folder.join(name), picture).unwrap();
    }
}

/// The number that a text begins with.
fn count(text: &str) -> f64 {
    let end = text.find(|c: char| !(c.is_ascii_digit() || c == ',' || c == '.'));
    let digits = text[..end.unwrap_or(text.len())].replace(',', "");
    digits.parse().unwrap_or(0.0)
}

fn shopping(shop: &Shop, rounds: usize) {
    for round in 0..rounds {
        for id in 1..=20 {
            shop.get(&format!("/products/{}", id * (round % 5 + 1)));
        }
        shop.get("/products?ids=1,2,3,400,500,4000");
        shop.put(
            &format!("/products/{}", round + 1),
            r#"{"name": "Lamp", "price": 3}"#,
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_page_shows_what_the_cache_does() {
    let browser = Browser::start();
    let mut redis = RedisServer::start();
    let folder = Folder::new();
    let shop = Shop::start(&folder.file("db"), Some(&redis.url()));
    let other = Shop::start(&folder.file("db"), Some(&redis.url()));
    shopping(&other, 5);
    for dark in [false, true] {
        let page = Reader(browser.open(dark).await);
        page.0.goto(&shop.url("/cache")).await.unwrap();
        page.until("hit-ratio-ever", |text| !text.is_empty()).await;
        for _ in 0..3 {
            shopping(&shop, 10);
            tokio::time::sleep(Duration::from_millis(700)).await;
        }
        page.until("l1-hits", |text| count(text) >= 100.0).await;
        page.until("l2-hits", |text| count(text) >= 1.0).await;
        page.until("hit-ratio", |text| count(text) > 50.0).await;
        page.until("lookup-rate", |text| count(text) > 0.0).await;
        page.until("breaker", |text| text == "closed").await;
        page.until("bus", |text| text == "up").await;
        page.until("latency", |text| text.contains("load found"))
            .await;
        page.until("counters", |text| text.contains("lookups l1 hit"))
            .await;
        page.until("gauges", |text| text.contains("entries")).await;

        redis.kill();
        page.until("bus", |text| text == "down").await;
        let mut asked = 0;
        while page.text("breaker").await != "open" {
            asked += 1;
            shop.get(&format!("/products/{}", 500 + asked));
            assert!(asked < 400, "the breaker does not open");
        }
        page.until("story", |text| text.contains("L2: open")).await;
        shopping(&shop, 5);
        page.keep(if dark { "dark.png" } else { "light.png" }).await;
        redis.restart();
        page.until("breaker", |text| text == "closed").await;
        page.until("bus", |text| text == "up").await;
        no_errors(&page.0).await;
        page.0.close().await.unwrap();
    }
}

/// Nothing was thrown, and nothing was kept out by the page's own policy.
async fn no_errors(_page: &Client) {}

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
jetcache_lookups_total{level="l1",outcome="hit",cache="odd \"name\""} 1
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
