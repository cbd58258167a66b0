//! A node as a child process, asked line by line.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

use jetcache_tests::redis_server::RedisServer;
use serde_json::Value;

/// What `--runtime` takes.
pub(crate) const RUNTIMES: [&str; 3] = ["tokio", "smol", "async-std"];

/// A running node. It is killed with this value.
#[derive(Debug)]
pub(crate) struct Node {
    child: Child,
    stdin: Option<ChildStdin>,
    said: Receiver<Value>,
    /// Replies that came before they were asked for.
    early: HashMap<u64, Value>,
    sent: u64,
}

impl Node {
    /// Starts a node and waits until it is ready.
    pub(crate) fn start(arguments: &[&str]) -> Self {
        let mut child = command(arguments).stdin(Stdio::piped()).spawn().unwrap();
        let stdout = child.stdout.take().unwrap();
        let (told, said) = channel();
        thread::spawn(move || {
            for line in BufReader::new(stdout).lines() {
                let line = line.unwrap();
                let value = serde_json::from_str(&line).unwrap_or(Value::String(line));
                if told.send(value).is_err() {
                    return;
                }
            }
        });
        let node = Self {
            stdin: child.stdin.take(),
            child,
            said,
            early: HashMap::new(),
            sent: 0,
        };
        let ready = node.said.recv_timeout(PATIENCE).unwrap();
        assert_eq!(ready, serde_json::json!({"ready": true}));
        node
    }

    /// Sends a line, and answers its number.
    pub(crate) fn send(&mut self, line: impl AsRef<[u8]>) -> u64 {
        let stdin = self.stdin.as_mut().unwrap();
        stdin.write_all(line.as_ref()).unwrap();
        stdin.write_all(b"\n").unwrap();
        stdin.flush().unwrap();
        self.sent += 1;
        self.sent
    }

    /// Sends a line that loads in the background, and waits until its loader runs.
    pub(crate) fn begin(&mut self, line: &str) -> u64 {
        let misses = self.count("misses");
        let id = self.send(line);
        self.until_count("misses", misses + 1);
        id
    }

    /// The reply to a line, without its number and time.
    pub(crate) fn reply(&mut self, id: u64) -> Value {
        let deadline = Instant::now() + PATIENCE;
        while !self.early.contains_key(&id) {
            let left = deadline.saturating_duration_since(Instant::now());
            let reply = self.said.recv_timeout(left);
            let reply = reply.unwrap_or_else(|error| panic!("line {id} has no reply: {error}"));
            let number = reply["id"].as_u64();
            let number = number.unwrap_or_else(|| panic!("no reply: {reply}"));
            assert_eq!(self.early.insert(number, reply), None, "two replies");
        }
        let mut reply = self.early.remove(&id).unwrap();
        let fields = reply.as_object_mut().unwrap();
        fields.remove("id");
        let took = fields.remove("us");
        assert!(took.is_some_and(|us| us.is_u64()), "no time in {reply}");
        reply
    }

    /// Whether a reply to this line has come.
    pub(crate) fn has_replied(&mut self, id: u64) -> bool {
        while let Ok(reply) = self.said.try_recv() {
            self.early.insert(reply["id"].as_u64().unwrap(), reply);
        }
        self.early.contains_key(&id)
    }

    pub(crate) fn ask(&mut self, line: impl AsRef<[u8]>) -> Value {
        let id = self.send(line);
        self.reply(id)
    }

    /// One number of `stats`.
    pub(crate) fn count(&mut self, name: &str) -> u64 {
        let stats = self.ask("stats");
        stats[name]
            .as_u64()
            .unwrap_or_else(|| panic!("no {name} in {stats}"))
    }

    /// Asks again and again until the reply is this one.
    pub(crate) fn until(&mut self, line: &str, wanted: &Value) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let reply = self.ask(line);
            if reply == *wanted {
                return;
            }
            assert!(Instant::now() < deadline, "{line}: {reply}, not {wanted}");
            thread::sleep(STEP);
        }
    }

    /// Asks again and again until a number of `stats` is this one.
    pub(crate) fn until_count(&mut self, name: &str, wanted: u64) {
        let deadline = Instant::now() + PATIENCE;
        while self.count(name) != wanted {
            let stats = self.ask("stats");
            assert!(Instant::now() < deadline, "{name} is not {wanted}: {stats}");
            thread::sleep(STEP);
        }
    }

    /// Waits until a statistic has this text.
    pub(crate) fn until_text(&mut self, name: &str, wanted: &str) {
        let deadline = Instant::now() + PATIENCE;
        while self.ask("stats")[name] != wanted {
            let stats = self.ask("stats");
            assert!(Instant::now() < deadline, "{name} is not {wanted}: {stats}");
            thread::sleep(STEP);
        }
    }

    /// Waits until nothing is under way.
    pub(crate) fn until_idle(&mut self) {
        for name in ["flights", "waiters", "changes", "writes", "tasks", "keys"] {
            self.until_count(name, 0);
        }
    }

    /// Ends the input, waits for the program's end, and answers what it said until then.
    pub(crate) fn end(mut self) -> (ExitStatus, Vec<Value>) {
        drop(self.stdin.take());
        let status = wait(&mut self.child);
        (status, self.said.iter().collect())
    }

    /// Sends what is not a line of its own.
    pub(crate) fn send_raw(&mut self, bytes: &[u8]) {
        self.stdin.as_mut().unwrap().write_all(bytes).unwrap();
    }

    /// The node stands still, as on a machine that was suspended.
    pub(crate) fn stop(&self) {
        self.signal("-STOP");
    }

    /// It goes on.
    pub(crate) fn go_on(&self) {
        self.signal("-CONT");
    }

    fn signal(&self, signal: &str) {
        let id = self.child.id().to_string();
        assert!(
            Command::new("kill")
                .args([signal, &id])
                .status()
                .unwrap()
                .success()
        );
    }

    /// Kills the node at once.
    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        // It fails only for a child that has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Runs a node that must not start: its exit code, and what it says about that.
pub(crate) fn refused(arguments: &[&str]) -> (Option<i32>, String) {
    let (code, _, text) = ended(arguments);
    (code, text)
}

/// Starts a node that ends by itself: its exit code, and what it wrote on stdout and stderr.
pub(crate) fn ended(arguments: &[&str]) -> (Option<i32>, String, String) {
    asked(arguments, "")
}

/// Starts a node and sends it these lines and no more: its exit code, and what it wrote on stdout
/// and stderr.
pub(crate) fn asked(arguments: &[&str], lines: &str) -> (Option<i32>, String, String) {
    let mut command = command(arguments);
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // One that does not start does not read.
    let _ = child.stdin.take().unwrap().write_all(lines.as_bytes());
    let status = wait(&mut child);
    let (mut out, mut err) = (String::new(), String::new());
    let stdout = child.stdout.take().unwrap().read_to_string(&mut out);
    let stderr = child.stderr.take().unwrap().read_to_string(&mut err);
    stdout.and(stderr).unwrap();
    (status.code(), out, err)
}

/// What a node is to be tried on.
pub(crate) struct Place<'a> {
    runtime: &'static str,
    redis: Option<&'a RedisServer>,
}

impl Place<'_> {
    /// A node of this place.
    pub(crate) fn node(&self, more: &[&str]) -> Node {
        let url = self.redis.map(RedisServer::url);
        let mut arguments = vec!["--runtime", self.runtime];
        match &url {
            Some(url) => arguments.extend(["--redis", url]),
            None => arguments.push("--memory"),
        }
        arguments.extend(more);
        Node::start(&arguments)
    }
}

/// Tries this on every runtime, with each kind of L2. What is printed says where it failed.
pub(crate) fn everywhere(test: impl Fn(&Place<'_>)) {
    for runtime in RUNTIMES {
        println!("on {runtime} with memory");
        test(&Place {
            runtime,
            redis: None,
        });
        println!("on {runtime} with Redis");
        let server = RedisServer::start();
        test(&Place {
            runtime,
            redis: Some(&server),
        });
    }
}

/// Tries this on every runtime with a Redis server of its own.
pub(crate) fn with_redis(test: impl Fn(&'static str, RedisServer)) {
    for runtime in RUNTIMES {
        println!("on {runtime}");
        test(runtime, RedisServer::start());
    }
}

fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_node"));
    command.args(arguments).stdout(Stdio::piped());
    command
}

fn wait(child: &mut Child) -> ExitStatus {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(status) = child.try_wait().unwrap() {
            return status;
        }
        if Instant::now() > deadline {
            child.kill().unwrap();
            panic!("the node does not end");
        }
        thread::sleep(STEP);
    }
}

/// How long anything may take before a test gives up.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);
/// How long to wait before looking again.
pub(crate) const STEP: Duration = Duration::from_millis(10);
