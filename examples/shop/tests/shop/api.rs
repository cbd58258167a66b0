//! Products over HTTP, mostly without Redis.

use jetcache_tests::redis_server::RedisServer;
use serde_json::{Value, json};

use crate::process::{Folder, Shop, within};

fn alone(folder: &Folder) -> Shop {
    Shop::start(&folder.file("db"), None)
}

#[test]
fn a_database_is_made_with_a_thousand_products() {
    let folder = Folder::new();
    let shop = alone(&folder);
    for id in [1, 7, 1000] {
        let answer = shop.get(&format!("/products/{id}"));
        assert_eq!(answer.status, 200);
        assert_eq!(answer.json()["id"], id);
        assert!(answer.json()["price"].is_number());
    }
    for id in [0, 1001] {
        assert_eq!(shop.get(&format!("/products/{id}")).status, 404);
    }
}

#[test]
fn a_product_is_put_and_read_and_deleted() {
    let folder = Folder::new();
    let shop = alone(&folder);
    assert_eq!(shop.get("/products/5000").status, 404);
    let lamp = json!({ "id": 5000, "name": "Lamp", "price": 19.99 });
    for _ in 0..2 {
        let put = shop.put("/products/5000", r#"{"name": "Lamp", "price": 19.99}"#);
        assert_eq!((put.status, put.json()), (200, lamp.clone()));
        assert_eq!(shop.get("/products/5000").json(), lamp);
    }
    let cheaper = shop.put("/products/5000", r#"{"name": "Lamp", "price": 5}"#);
    assert_eq!(cheaper.json()["price"], 5);
    assert_eq!(shop.get("/products/5000").json(), cheaper.json());
    assert_eq!(shop.delete("/products/5000").status, 204);
    assert_eq!(shop.get("/products/5000").status, 404);
    assert_eq!(shop.delete("/products/5000").status, 404);
}

#[test]
fn a_key_is_inspected() {
    let folder = Folder::new();
    let redis = RedisServer::start();
    let shop = Shop::start(&folder.file("db"), Some(&redis.url()));
    let seen = || shop.get("/cache/inspect/7").json();
    let nothing = seen();
    assert_eq!(
        (&nothing["key"], &nothing["l1"]),
        (&json!("products:7"), &json!("nothing"))
    );
    // L1 is emptied when the subscription to the bus stands.
    let seen = within("L1 has it", || {
        shop.get("/products/7");
        Some(seen()).filter(|seen| seen["l1"]["entry"]["kind"] == "value")
    });
    assert_eq!(seen["l2"]["answered"]["entry"]["kind"], "value", "{seen}");
    assert_eq!(shop.get("/cache/inspect/lamp").status, 400);
}

#[test]
fn many_products_come_in_the_order_of_the_request() {
    let folder = Folder::new();
    let shop = alone(&folder);
    let ids = |query: &str| -> Vec<u64> {
        let answer = shop.get(&format!("/products?ids={query}"));
        assert_eq!(answer.status, 200, "{answer:?}");
        let products = answer.json();
        let products = products.as_array().unwrap().iter();
        products.map(|p| p["id"].as_u64().unwrap()).collect()
    };
    assert_eq!(ids("3,1,2"), [3, 1, 2]);
    assert_eq!(ids("9,4000,3,9"), [9, 3, 9]);
    assert_eq!(ids(""), [0_u64; 0]);
}

#[test]
fn what_makes_no_sense_is_a_bad_request_and_says_why() {
    let folder = Folder::new();
    let shop = alone(&folder);
    let mut answers = vec![];
    for path in ["/products/x", "/products/-1", "/products/99999999999"] {
        answers.extend([shop.get(path), shop.delete(path)]);
    }
    for path in ["/products", "/products?ids=1,x", "/products?id=1"] {
        answers.push(shop.get(path));
    }
    for body in [
        "",
        "{",
        "[]",
        "{}",
        r#"{"name": "Lamp"}"#,
        r#"{"name": 1, "price": 1}"#,
        r#"{"name": "", "price": 1}"#,
        r#"{"name": "Lamp", "price": -1}"#,
        r#"{"name": "Lamp", "price": "1"}"#,
        r#"{"name": "Lamp", "price": 1, "colour": "red"}"#,
    ] {
        answers.push(shop.put("/products/1", body));
    }
    for answer in answers {
        assert_eq!(answer.status, 400, "{answer:?}");
        assert_ne!(answer.json()["error"].as_str().unwrap(), "");
    }
    assert_eq!(shop.get("/nothing").status, 404);
}

#[test]
fn the_database_outlives_the_shop() {
    let folder = Folder::new();
    let first = alone(&folder);
    first.put("/products/1", r#"{"name": "Kept", "price": 1}"#);
    assert_eq!(first.delete("/products/2").status, 204);
    drop(first);
    let second = alone(&folder);
    assert_eq!(second.get("/products/1").json()["name"], "Kept");
    assert_eq!(second.get("/products/2").status, 404);
}

#[test]
fn without_redis_it_is_healthy() {
    let folder = Folder::new();
    let shop = alone(&folder);
    let health = shop.get("/health");
    assert_eq!(health.status, 200);
    let nothing = Value::Null;
    let wanted = json!({ "status": "ok", "ping": nothing, "breaker": nothing, "bus": nothing });
    assert_eq!(health.json(), wanted);
    assert_eq!(shop.get("/ready").status, 200);
}

#[test]
fn shops_that_make_the_database_at_once_share_it() {
    let folder = Folder::new();
    let shops: Vec<Shop> = std::thread::scope(|scope| {
        let starts: Vec<_> = (0..4).map(|_| scope.spawn(|| alone(&folder))).collect();
        starts
            .into_iter()
            .map(|start| start.join().unwrap())
            .collect()
    });
    for shop in &shops {
        assert_eq!(shop.get("/products/1000").status, 200);
    }
}
