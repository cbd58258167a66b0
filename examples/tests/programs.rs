//! Each program checks itself; this checks that it does, and that it says what it shows.

#![allow(clippy::unwrap_used, reason = "these are tests")]

use std::process::Command;

use jetcache_tests::redis_server::RedisServer;

fn shows(program: &str, arguments: &[&str], what: &[&str]) {
    let output = Command::new(program).args(arguments).output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{text}{errors}");
    for what in what {
        assert!(text.contains(what), "{what}: {text}");
    }
}

#[test]
fn batches_ask_for_what_nobody_has() {
    shows(
        env!("CARGO_BIN_EXE_batches"),
        &[],
        &[
            "one query of one id",
            "no id is queried twice",
            "row 13 is locked",
        ],
    );
}

#[test]
fn a_fleet_loads_once_and_hears_of_changes() {
    let server = RedisServer::start();
    shows(
        env!("CARGO_BIN_EXE_fleet"),
        &["--redis", &server.url()],
        &[
            "in the whole fleet: 1",
            "node 2 reads 120",
            "gone from the L1 of node 0",
        ],
    );
}

#[test]
fn a_fleet_without_redis_says_what_did_not_happen() {
    let mut server = RedisServer::start();
    server.kill();
    let program = Command::new(env!("CARGO_BIN_EXE_fleet"))
        .args(["--redis", &server.url()])
        .output()
        .unwrap();
    assert_eq!(program.status.code(), Some(1), "{program:?}");
    let errors = String::from_utf8_lossy(&program.stderr);
    assert!(errors.contains("one load in the fleet"), "{errors}");
}

#[test]
fn refreshes_are_one_nodes_work_and_end() {
    shows(
        env!("CARGO_BIN_EXE_refresh"),
        &[],
        &["rate 5 or later", "copies by who had not", "left alone now"],
    );
}

#[test]
fn a_fleet_needs_an_address() {
    for arguments in [
        &[][..],
        &["--redis"],
        &["--redis", "redis://x", "y"],
        &["x"],
    ] {
        let program = Command::new(env!("CARGO_BIN_EXE_fleet"))
            .args(arguments)
            .output()
            .unwrap();
        assert_eq!(program.status.code(), Some(2), "{arguments:?}");
    }
}
