//! Two shops on one Redis and one database, and how one ends.

use std::io::{Read, Write};
use std::net::TcpStream;

use jetcache_tests::redis_server::RedisServer;

use crate::process::{Folder, Shop, within};

#[test]
fn what_one_node_changes_the_other_reads() {
    let redis = RedisServer::start();
    let folder = Folder::new();
    let start = || Shop::start(&folder.file("db"), Some(&redis.url()));
    let (here, there) = (start(), start());
    // Both have it in L1, and hear each other.
    for shop in [&here, &there] {
        assert_eq!(shop.get("/products/7").json()["name"], "Product 7");
        within("the bus is up", || {
            let bus = &shop.get("/health").json()["bus"]["state"];
            (bus == "up").then_some(())
        });
    }
    here.get("/products/7");
    there.get("/products/7");
    here.put("/products/7", r#"{"name": "Lamp", "price": 3}"#);
    within("the other node reads what was put", || {
        let name = &there.get("/products/7").json()["name"];
        (name == "Lamp").then_some(())
    });
    there.delete("/products/7");
    within("the other node does not find what was deleted", || {
        (here.get("/products/7").status == 404).then_some(())
    });
}

#[test]
fn a_shop_that_is_told_to_end_answers_first() {
    let redis = RedisServer::start();
    let folder = Folder::new();
    let shop = Shop::start(&folder.file("db"), Some(&redis.url()));
    shop.get("/products/1");
    // A request that is under way: its body is still to come.
    let body = r#"{"name": "Last", "price": 1}"#;
    let mut stream = TcpStream::connect(shop.url("").trim_start_matches("http://")).unwrap();
    let head = format!(
        "PUT /products/1 HTTP/1.1\r\nHost: shop\r\nExpect: 100-continue\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).unwrap();
    // It asks for the body: so it is in the handler.
    let mut asked = [0; 25];
    stream.read_exact(&mut asked).unwrap();
    assert_eq!(&asked, b"HTTP/1.1 100 Continue\r\n\r\n");
    shop.terminate();
    within("it takes no more connections", || {
        TcpStream::connect(shop.url("").trim_start_matches("http://"))
            .is_err()
            .then_some(())
    });
    stream.write_all(body.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 OK"), "{answer}");
    let (status, log) = shop.ended();
    assert!(status.success(), "{status}:\n{log}");
    assert!(log.contains("closed"), "{log}");
    // What it wrote last is there for the next one.
    let next = Shop::start(&folder.file("db"), Some(&redis.url()));
    assert_eq!(next.get("/products/1").json()["name"], "Last");
}
