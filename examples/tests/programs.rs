//! Each program checks itself; this checks that it does, and that it says what it shows.

#![allow(clippy::unwrap_used, reason = "these are tests")]

use std::io::Write;
use std::process::{Command, Stdio};

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

#[test]
fn functions_with_attributes_load_once_and_fail_with_their_own_error() {
    shows(
        env!("CARGO_BIN_EXE_macros"),
        &[],
        &["100 callers of a cold key: 1 query"],
    );
}

/// What the program says of this file, these variables and these lines: its exit code, output and errors.
fn settings(file: &str, variables: &[(&str, &str)], lines: &str) -> (Option<i32>, String, String) {
    let path = std::env::temp_dir().join(format!(
        "jetcache-settings-{}-{:?}.json",
        std::process::id(),
        std::thread::current().id()
    ));
    std::fs::write(&path, file).unwrap();
    let mut program = Command::new(env!("CARGO_BIN_EXE_settings"))
        .arg(&path)
        .envs(variables.iter().copied())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // It may have ended by now, if it refuses the file.
    let _ = program.stdin.take().unwrap().write_all(lines.as_bytes());
    let output = program.wait_with_output().unwrap();
    std::fs::remove_file(path).unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (
        output.status.code(),
        text(output.stdout),
        text(output.stderr),
    )
}

#[test]
fn settings_come_from_a_file_and_the_environment_and_change_while_it_runs() {
    let file = r#"{ "users": { "ttl": "10m", "capacity": 500 } }"#;
    let lines = "ttl 5m\ncapacity 7\nttl soon\n";
    let (code, said, errors) = settings(file, &[("JETCACHE_USERS_CAPACITY", "900")], lines);
    assert_eq!(code, Some(0), "{said}{errors}");
    let said: Vec<&str> = said.lines().collect();
    let at = |what: &str| {
        said.iter()
            .position(|line| line.contains(what))
            .expect(what)
    };
    assert!(said.iter().any(|line| line.contains("900")), "{said:?}");
    assert!(at("10m") < at("5m"), "{said:?}");
    let refused = said.iter().filter(|line| line.starts_with("refused: "));
    let refused: Vec<_> = refused.collect();
    assert_eq!(refused.len(), 2, "{said:?}");
    assert!(refused[0].contains("capacity"), "{said:?}");
    assert!(refused[1].contains("soon"), "{said:?}");
}

#[test]
fn a_setting_that_there_is_not_is_named() {
    let (code, _, errors) = settings(r#"{ "users": { "tll": "10m" } }"#, &[], "");
    assert_eq!(code, Some(2));
    assert!(errors.contains("`tll`"), "{errors}");
    let (code, _, errors) = settings("{}", &[("JETCACHE_USERS_TLL", "10m")], "");
    assert_eq!(code, Some(2));
    assert!(errors.to_lowercase().contains("tll"), "{errors}");
}
