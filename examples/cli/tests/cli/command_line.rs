//! Command lines that make no sense, and servers that are not there.

use jetcache_tests::redis_server::RedisServer;

use crate::process::jetcache;

#[test]
fn help_says_what_there_is() {
    let ended = jetcache(&["--help"]);
    let all = [
        "inspect KEY",
        "scan PREFIX",
        "watch CHANNEL",
        "invalidate KEY",
        "top URL",
        "--redis",
    ];
    ended.is(0, &all);
    assert!(ended.err.is_empty());
    jetcache(&["inspect", "-h"]).is(0, &["--json"]);
    jetcache(&["--version"]).is(0, &["jetcache "]);
}

#[test]
fn what_is_not_understood_is_named() {
    let cases: &[(&[&str], &str)] = &[
        (&[], "there is no command"),
        (&["inspekt", "users:7"], "there is no command `inspekt`"),
        (&["inspect"], "`inspect` takes a key"),
        (&["inspect", "a", "b"], "and nothing else"),
        (&["scan"], "`scan` takes a prefix"),
        (&["watch"], "`watch` takes a channel"),
        (&["invalidate"], "`invalidate` takes keys"),
        (&["invalidate", "{users:7}#lease"], "is the name of a lease"),
        (&["top"], "`top` takes the URLs"),
        (&["top", "https://node"], "is no URL of metrics"),
        (&["inspect", "a", "--wrong"], "--wrong"),
        (
            &["inspect", "a", "--limit", "3"],
            "--limit is no option of `inspect`",
        ),
        (&["scan", "a", "--limit", "0"], "a number above zero"),
        (&["scan", "a", "--sample", "x"], "a number above zero"),
        (&["scan", "a", "--cluster"], "leave --cluster out"),
        (&["inspect", "a", "--format", "json"], "`native` or `go`"),
        (&["inspect", "a", "--timeout", "-1"], "seconds above zero"),
        (&["inspect", "a", "--redis", "http://host"], "redis://"),
    ];
    for (arguments, part) in cases {
        let ended = jetcache(arguments);
        ended.is(2, &[part, "Try `jetcache --help`."]);
        assert!(ended.out.is_empty(), "{}", ended.out);
    }
}

#[test]
fn a_server_that_is_away_is_named_without_its_password() {
    let mut server = RedisServer::start();
    let url = server.url().replace("redis://", "redis://me:secret@");
    server.kill();
    let commands: &[&[&str]] = &[
        &["inspect", "users:7"],
        &["scan", "users:"],
        &["watch", "jetcache"],
        &["invalidate", "users:7", "--channel", "jetcache"],
    ];
    for command in commands {
        let arguments = [&["--redis", &*url, "--timeout", "2"], *command].concat();
        let ended = jetcache(&arguments);
        assert_eq!(ended.code, 1, "{command:?}: {}{}", ended.out, ended.err);
        assert!(!ended.err.is_empty());
        assert!(!ended.err.contains("secret"), "{}", ended.err);
    }
}

#[test]
fn a_server_that_is_silent_is_not_waited_for_any_longer() {
    let server = RedisServer::start();
    server.pause();
    for command in ["inspect", "scan", "watch", "invalidate"] {
        let arguments = [
            "--redis",
            &*server.url(),
            "--timeout",
            "0.3",
            command,
            "users:7",
        ];
        assert_eq!(jetcache(&arguments).code, 1, "{command}");
    }
    server.resume();
}
