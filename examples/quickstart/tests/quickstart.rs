//! The first program that a reader runs checks itself; this checks that it does.

#![allow(clippy::unwrap_used, reason = "these are tests")]

use std::process::{Command, Output};

use jetcache_tests::redis_server::RedisServer;

fn quickstart(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_quickstart"))
        .args(arguments)
        .output()
        .unwrap()
}

fn succeeds(arguments: &[&str]) {
    let output = quickstart(arguments);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    let text = String::from_utf8_lossy(&output.stdout);
    for shown in [
        "L1 had it",
        "L2 had it",
        "median of",
        "one load",
        "hit_ratio",
    ] {
        assert!(text.contains(shown), "{text}");
    }
}

#[test]
fn it_shows_what_it_says_without_redis() {
    succeeds(&[]);
}

#[test]
fn it_shows_what_it_says_with_redis_and_leaves_no_entry_there() {
    let server = RedisServer::start();
    succeeds(&["--redis", &server.url()]);
    // What stays is the log of raises: its highest number and its list.
    assert_eq!(server.cli(&["DBSIZE"]), "2");
}

#[test]
fn it_fails_when_something_did_not_happen() {
    let mut server = RedisServer::start();
    server.kill();
    let output = quickstart(&["--redis", &server.url()]);
    assert_eq!(output.status.code(), Some(1));
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(errors.contains("did not happen: L2 had it"), "{errors}");
    assert!(
        errors.contains("the last fault of L2: not reachable"),
        "{errors}"
    );
}

#[test]
fn what_it_cannot_understand_is_refused() {
    for arguments in [
        &["--color"][..],
        &["--redis"],
        &["stray"],
        &["--redis", "no url"],
    ] {
        assert_eq!(
            quickstart(arguments).status.code(),
            Some(2),
            "{arguments:?}"
        );
    }
}
