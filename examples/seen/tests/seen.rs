//! The service from outside: what it answers, and what can be seen of its cache.

#![allow(clippy::unwrap_used, reason = "these are tests")]

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use jetcache_tests::redis_server::RedisServer;

struct Service {
    process: Child,
    at: String,
}

impl Service {
    fn start(redis: Option<&str>) -> Self {
        let mut process = Command::new(env!("CARGO_BIN_EXE_seen"))
            .arg("127.0.0.1:0")
            .args(redis)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        let stdout = process.stdout.take().unwrap();
        BufReader::new(stdout).read_line(&mut line).unwrap();
        let at = line
            .trim()
            .strip_prefix("listening on ")
            .unwrap()
            .to_owned();
        Self { process, at }
    }

    fn get(&self, path: &str) -> (u16, String) {
        let config = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .timeout_global(Some(Duration::from_secs(30)))
            .build();
        let url = format!("http://{}{path}", self.at);
        let mut answer = ureq::Agent::new_with_config(config)
            .get(url)
            .call()
            .unwrap();
        (
            answer.status().as_u16(),
            answer.body_mut().read_to_string().unwrap(),
        )
    }

    fn until(&self, path: &str, what: &str) {
        let begun = Instant::now();
        loop {
            let text = self.get(path).1;
            if text.contains(what) {
                return;
            }
            assert!(begun.elapsed() < Duration::from_secs(60), "{what}: {text}");
            sleep(Duration::from_millis(50));
        }
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        // Its input ends, and so does it.
        drop(self.process.stdin.take());
        let ended = self.process.wait().unwrap();
        assert!(ended.success() || std::thread::panicking(), "{ended}");
    }
}

#[test]
fn what_it_answers_is_counted() {
    let service = Service::start(None);
    assert_eq!(service.get("/users/7"), (200, "user 7\n".into()));
    assert_eq!(service.get("/users/7").0, 200);
    assert_eq!(service.get("/users/404").0, 404);
    assert_eq!(service.get("/users/13").0, 503);
    assert_eq!(service.get("/nothing").0, 404);
    let (_, figures) = service.get("/metrics");
    for line in [
        "jetcache_loads_total",
        "jetcache_load_duration_seconds_bucket",
    ] {
        assert!(figures.contains(line), "{line}: {figures}");
    }
    let (_, seen) = service.get("/inspect/7");
    assert!(seen.contains("L1") && seen.contains("L2"), "{seen}");
    assert!(service.get("/health").1.contains("\"status\":\"ok\""));
}

#[test]
fn a_redis_that_goes_and_comes_back_is_seen() {
    let mut server = RedisServer::start();
    let service = Service::start(Some(&server.url()));
    assert_eq!(service.get("/users/7").0, 200);
    server.kill();
    service.until("/health", "degraded");
    assert_eq!(service.get("/users/8").0, 200, "nobody's error");
    server.restart();
    service.until("/health", "\"status\":\"ok\"");
}

#[test]
fn what_it_cannot_understand_is_refused() {
    for arguments in [&[][..], &["a", "b", "c"]] {
        let ended = Command::new(env!("CARGO_BIN_EXE_seen"))
            .args(arguments)
            .output()
            .unwrap();
        assert_eq!(ended.status.code(), Some(2), "{arguments:?}");
    }
}
