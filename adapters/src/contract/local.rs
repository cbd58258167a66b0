//! What every [`Local`] must do.

use std::thread::sleep;
use std::time::{Duration, Instant};

use jetcache_core::{Entry, Local, Probe, Timestamp};

/// Runs the suite over engines bounded by entries; `make` makes one for about that many.
///
/// # Panics
/// At the first rule that is broken.
pub fn run<L: Local<String, Vec<u8>>>(make: impl Fn(usize) -> L) {
    an_entry_comes_back(&make(100));
    a_placeholder_is_an_entry(&make(100));
    the_last_insert_stands(&make(100));
    what_is_removed_is_gone(&make(100));
    clearing_removes_everything(&make(100));
    an_engine_of_one_entry_keeps_one(&make(1));
    the_bound_is_kept(&make(1024), 1024, 1);
}

/// Runs the suite over engines bounded by weight; `make` makes one for that weight, in which an
/// entry weighs its key's and its value's length together, and a placeholder its key's length.
///
/// # Panics
/// At the first rule that is broken.
pub fn run_weighing<L: Local<String, Vec<u8>>>(make: impl Fn(u64) -> L) {
    an_entry_comes_back(&make(1000));
    a_placeholder_is_an_entry(&make(1000));
    the_last_insert_stands(&make(1000));
    weight_follows_replacement(&make(1000));
    an_entry_too_heavy_leaves_nothing_old(&make(1000));
    an_entry_without_weight_is_bounded_too(&make(1000));
    the_bound_is_kept(&make(64 << 10), 64 << 10, 64);
}

fn an_entry_comes_back(engine: &impl Local<String, Vec<u8>>) {
    assert_eq!(get(engine, "k"), None, "an absent key has no entry");
    assert!(engine.is_empty());
    engine.insert("k".into(), entry(b"v"));
    assert_eq!(
        get(engine, "k"),
        Some(entry(b"v")),
        "an entry comes back as it went in"
    );
    assert_eq!(get(engine, "K"), None);
    assert_eq!(engine.len(), 1);
    assert!(engine.weight() > 0, "an entry weighs something");
}

fn a_placeholder_is_an_entry(engine: &impl Local<String, Vec<u8>>) {
    let placeholder = Entry::new(None, Timestamp::MAX);
    engine.insert("k".into(), placeholder.clone());
    assert_eq!(
        get(engine, "k"),
        Some(placeholder),
        "a placeholder comes back as one"
    );
}

fn the_last_insert_stands(engine: &impl Local<String, Vec<u8>>) {
    for n in 0..10 {
        engine.insert("k".into(), entry(&[n]));
        assert_eq!(
            get(engine, "k"),
            Some(entry(&[n])),
            "an insert replaces what was there"
        );
    }
    assert_eq!(engine.len(), 1);
    assert!(
        engine.evicted().is_none_or(|n| n == 0),
        "a replacement is not an eviction"
    );
}

fn what_is_removed_is_gone(engine: &impl Local<String, Vec<u8>>) {
    engine.insert("k".into(), entry(b"v"));
    engine.insert("l".into(), entry(b"w"));
    remove(engine, "k");
    assert_eq!(get(engine, "k"), None, "what is removed is gone");
    assert_eq!(get(engine, "l"), Some(entry(b"w")), "and nothing else is");
    remove(engine, "k");
    assert_eq!(engine.len(), 1);
    assert!(
        engine.evicted().is_none_or(|n| n == 0),
        "a removal is not an eviction"
    );
}

fn clearing_removes_everything(engine: &impl Local<String, Vec<u8>>) {
    for n in 0..50 {
        engine.insert(n.to_string(), entry(b"v"));
    }
    engine.clear();
    assert!(
        (0..50).all(|n| get(engine, &n.to_string()).is_none()),
        "nothing survives a clear"
    );
    wait_until("a cleared engine is empty", || engine.is_empty());
    engine.insert("k".into(), entry(b"v"));
    assert_eq!(
        get(engine, "k"),
        Some(entry(b"v")),
        "a cleared engine takes entries"
    );
}

fn an_engine_of_one_entry_keeps_one(engine: &impl Local<String, Vec<u8>>) {
    engine.insert("k".into(), entry(b"v"));
    assert_eq!(
        get(engine, "k"),
        Some(entry(b"v")),
        "even the smallest engine keeps an entry"
    );
}

fn weight_follows_replacement(engine: &impl Local<String, Vec<u8>>) {
    engine.insert("k".into(), entry(&[0; 99]));
    assert_eq!(
        engine.weight(),
        100,
        "an entry weighs its key and its value"
    );
    engine.insert("k".into(), entry(&[0; 9]));
    assert_eq!(
        engine.weight(),
        10,
        "a replacement takes the old weight away"
    );
    engine.insert("k".into(), Entry::new(None, Timestamp::MAX));
    assert_eq!(engine.weight(), 1, "a placeholder weighs its key");
    remove(engine, "k");
    wait_until("an empty engine weighs nothing", || engine.weight() == 0);
}

fn an_entry_too_heavy_leaves_nothing_old(engine: &impl Local<String, Vec<u8>>) {
    engine.insert("k".into(), entry(b"old"));
    engine.insert("k".into(), entry(&[0; 5000]));
    let found = get(engine, "k");
    assert_ne!(
        found,
        Some(entry(b"old")),
        "the old entry must be gone, whatever stands there now"
    );
    wait_until("an entry too heavy does not stay", || {
        engine.weight() <= 1000
    });
}

/// Engines that never evict what weighs nothing need its weight corrected.
fn an_entry_without_weight_is_bounded_too(engine: &impl Local<String, Vec<u8>>) {
    engine.insert(String::new(), Entry::new(None, Timestamp::MAX));
    wait_until("what weighs nothing counts as one", || engine.weight() == 1);
}

fn the_bound_is_kept(engine: &impl Local<String, Vec<u8>>, bound: u64, each: usize) {
    for n in 0..bound * 10 / each as u64 {
        let key = n.to_string();
        let value = vec![0; each.saturating_sub(key.len())];
        engine.insert(key, entry(&value));
    }
    // An engine in shards may round up.
    wait_until("the bound is kept", || engine.weight() <= bound + bound / 8);
    assert!(
        engine.weight() > bound / 2,
        "an engine uses the room that it has"
    );
    assert!(
        engine.evicted().is_none_or(|n| n > 0),
        "evictions are counted if any are"
    );
}

fn entry(value: &[u8]) -> Entry<Vec<u8>> {
    Entry::new(Some(value.to_vec()), Timestamp::from_nanos(7))
}

fn get(engine: &impl Local<String, Vec<u8>>, key: &str) -> Option<Entry<Vec<u8>>> {
    engine.get(&key as &dyn Probe<String>)
}

fn remove(engine: &impl Local<String, Vec<u8>>, key: &str) {
    engine.remove(&key as &dyn Probe<String>);
}

/// Engines may need a moment to be exact.
fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(10);
    while !is_so() {
        assert!(Instant::now() < deadline, "{what}");
        sleep(Duration::from_millis(1));
    }
}
