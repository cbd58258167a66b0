//! `#[derive(Key)]`.

use std::fmt::Debug;
use std::net::Ipv4Addr;

use jetcache_tokio::Key;

fn text<K: Key + PartialEq + Debug>(key: &K) -> String {
    let mut text = String::new();
    key.write(&mut text);
    assert_eq!(K::parse(&text).as_ref(), Some(key), "{text}");
    text
}

#[derive(Debug, Key, PartialEq)]
struct UserId(u64);

#[derive(Debug, Key, PartialEq)]
struct Name {
    name: String,
}

#[derive(Debug, Key, PartialEq)]
struct Pair {
    r#type: String,
    b: String,
}

#[derive(Debug, Key, PartialEq)]
#[key(prefix = "v:2")]
struct Versioned {
    id: UserId,
    #[key(text)]
    host: Ipv4Addr,
    pair: Pair,
}

#[derive(Debug, Key, PartialEq)]
enum Page {
    Start,
    Shop(u32),
    #[key(rename = "i")]
    Item {
        shop: u32,
        name: String,
    },
}

#[derive(Debug, Key, PartialEq)]
struct Of<T>(T, u8);

#[derive(Debug, Key, PartialEq)]
#[key(prefix = "all")]
struct All;

/// On smol, under another name.
#[derive(Debug, PartialEq, jetcache_smol::Key)]
#[key(crate = jetcache_smol)]
struct OnSmol(u8, u8);

#[test]
fn a_key_of_one_field_has_its_text() {
    assert_eq!(text(&UserId(7)), "7");
    let name = "a:b".to_owned();
    assert_eq!(text(&Name { name }), "a:b");
}

#[test]
fn the_parts_are_told_apart() {
    let pair = |r#type: &str, b: &str| Pair {
        r#type: r#type.into(),
        b: b.into(),
    };
    assert_eq!(text(&pair("a", "b")), "a:b");
    assert_eq!(text(&pair("a:b", "c")), r"a\:b:c");
    assert_eq!(text(&pair("a", "b:c")), r"a:b\:c");
    assert_eq!(text(&pair(r"a\", "")), r"a\\:");
    // As a tuple's are.
    let mut tuple = String::new();
    ("a:b".to_string(), "c".to_string()).write(&mut tuple);
    assert_eq!(tuple, text(&pair("a:b", "c")));
    let versioned = Versioned {
        id: UserId(7),
        host: Ipv4Addr::LOCALHOST,
        pair: pair("a:b", "c"),
    };
    assert_eq!(text(&versioned), r"v\:2:7:127.0.0.1:a\\\:b\:c");
    assert_eq!(text(&Of(pair("x", "y"), 1)), r"x\:y:1");
    assert_eq!(text(&OnSmol(1, 2)), "1:2");
}

#[test]
fn a_variant_is_told_by_its_name() {
    assert_eq!(text(&Page::Start), "Start");
    assert_eq!(text(&Page::Shop(7)), "Shop:7");
    let (shop, name) = (7, "Start".to_owned());
    assert_eq!(text(&Page::Item { shop, name }), "i:7:Start");
    assert_eq!(text(&All), "all");
}

#[test]
fn another_text_is_no_key() {
    for wrong in [
        "", "Shop", "Shop:x", "Shop:7:8", "Start:", "Item:7:a", r"Shop\",
    ] {
        assert_eq!(Page::parse(wrong), None, "{wrong}");
    }
    for wrong in ["7:127.0.0.1:a", r"v\:1:7:127.0.0.1:a\:b", r"v\:2:7:x:a\:b"] {
        assert_eq!(Versioned::parse(wrong), None, "{wrong}");
    }
    assert_eq!(All::parse(""), None);
    assert_eq!(UserId::parse("7:8"), None);
}
