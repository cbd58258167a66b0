//! Configurations that cannot work are refused in words.

use jetcache_tests::redis_server::RedisServer;

use super::process::{Node, RUNTIMES, asked, ended, refused};

#[test]
fn what_cannot_work_is_refused_with_code_2() {
    for (arguments, word) in [
        (&["stray"][..], "stray"),
        (&["--color"], "--color"),
        (&["--runtime", "glommio"], "async-std"),
        (&["--local", "lmdb"], "moka"),
        (&["--ttl-ms"], "ttl-ms"),
        (&["--ttl-ms", "1s"], "--ttl-ms"),
        (&["--ttl-ms", "0"], "ttl is zero"),
        (&["--local-ttl-ms", "0"], "local_ttl is zero"),
        (&["--negative-ttl-ms", "0"], "negative_ttl is zero"),
        (&["--remote-timeout-ms", "0"], "remote_timeout is zero"),
        (&["--load-timeout-ms", "0"], "load_timeout is zero"),
        (&["--lease-ms", "10"], "lease"),
        (&["--jitter", "101"], "jitter"),
        (&["--jitter", "1000"], "--jitter"),
        (&["--capacity", "0"], "capacity is zero"),
        (&["--local", "moka", "--capacity", "0"], "capacity is zero"),
        (&["--max-bytes", "0"], "--max-bytes"),
        (&["--local", "lru", "--max-bytes", "9"], "--max-bytes"),
        (&["--no-local", "--capacity", "9"], "--no-local"),
        (&["--redis", "http://localhost"], "redis://"),
        (&["--redis", "redis://localhost", "--memory"], "--memory"),
        (
            &["--redis-cluster", "redis://localhost", "--memory"],
            "--redis-cluster",
        ),
        (
            &["--redis-cluster", "redis://a", "--redis", "redis://b"],
            "choose one",
        ),
        (&["--redis-sentinel", "host:1"], "NAME@HOST:PORT"),
        (&["--redis-sentinel", "@host:1"], "mymaster"),
        (&["--redis-sentinel", "mymaster@host"], "no port"),
        (
            &["--redis-sentinel", "mymaster@host:1", "--memory"],
            "choose one",
        ),
        (&["--wire", "gob"], "jetcache-go"),
        (&["--codec", "gob"], "postcard"),
        (&["--max-value-bytes", "0"], "max_value_size is zero"),
        (&["--max-value-bytes", "1k"], "--max-value-bytes"),
        (&["--ca", "file"], "--redis"),
        (
            &["--redis", "rediss://localhost", "--ca", "no/such/file"],
            "no/such/file",
        ),
        (
            &["--redis", "rediss://localhost", "--ca", "Cargo.toml"],
            "certificate",
        ),
        (
            &["--redis", "redis://localhost", "--ca", "Cargo.toml"],
            "rediss://",
        ),
    ] {
        let (code, text) = refused(arguments);
        assert_eq!(code, Some(2), "{arguments:?}: {text}");
        assert!(text.contains(word), "{arguments:?}: {text}");
    }
}

#[test]
fn the_password_is_not_shown() {
    let (code, text) = refused(&["--redis", "redis://user:secret@"]);
    assert!(code == Some(2) && !text.contains("secret"), "{text}");
}

#[test]
fn help_lists_the_options() {
    let (code, text, _) = ended(&["--help"]);
    assert_eq!(code, Some(0));
    assert!(text.contains("--lease-wait-ms"), "{text}");
}

#[test]
fn a_node_takes_all_its_options_at_once() {
    let server = RedisServer::start();
    for runtime in RUNTIMES {
        let url = server.url();
        let mut node = Node::start(&[
            "--runtime",
            runtime,
            "--redis",
            &url,
            "--wire",
            "jetcache-go",
            "--codec",
            "json",
            "--max-value-bytes",
            "1000",
            "--local",
            "moka",
            "--capacity",
            "100",
            "--namespace",
            runtime,
            "--ttl-ms",
            "60000",
            "--local-ttl-ms",
            "1000",
            "--negative-ttl-ms",
            "1000",
            "--jitter",
            "0",
            "--remote-timeout-ms",
            "500",
            "--load-timeout-ms",
            "2000",
            "--lease-ms",
            "5000",
            "--lease-wait-ms",
            "0",
        ]);
        node.ask("load k a 1");
        assert_eq!(server.cli(&["EXISTS", &format!("{runtime}:k")]), "1");
    }
}

/// What went wrong, and what to do about it, is in the log; without `--log` there is none.
#[test]
fn the_log_goes_to_stderr() {
    let server = RedisServer::start_with(&["--requirepass", "secret"]);
    let url = server.url().replace("//", "//:wrong@");
    for runtime in RUNTIMES {
        let arguments = ["--runtime", runtime, "--redis", &url, "--bus", "pubsub"];
        // The bus is subscribed to beside the call, and takes its time on a busy machine.
        let lines = "get a\nsleep 1000\n";
        let (code, said, log) = asked(&[&arguments[..], &["--log"]].concat(), lines);
        assert_eq!(code, Some(0));
        assert!(said.contains(r#""outcome":"miss""#), "{said}");
        for words in [
            "L2 of node: refused: wrong user or password",
            "the bus of node: refused: ",
        ] {
            let line = log.lines().find(|line| line.contains(words));
            let line = line.unwrap_or_else(|| panic!("{words}: {log}"));
            assert!(
                line.contains(" WARN jetcache: ") && !line.contains("secret"),
                "{line}"
            );
        }
        for quiet in [&[][..], &["--log", "error"]] {
            let (_, _, log) = asked(&[&arguments[..], quiet].concat(), "get a\n");
            assert_eq!(log, "");
        }
    }
}
