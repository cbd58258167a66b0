//! A shop as a child process, and what one says to it.

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use serde_json::Value;
use ureq::Agent;
use ureq::http::Response;

/// A shop on a port of its own. It ends when this is dropped.
#[derive(Debug)]
pub(crate) struct Shop {
    group: Group,
    log: Option<JoinHandle<String>>,
    address: String,
    agent: Agent,
}

impl Shop {
    /// Starts a shop with a database of this file, and waits until it listens.
    pub(crate) fn start(db: &Path, redis: Option<&str>) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_shop"));
        command.args(["--listen", "127.0.0.1:0", "--db"]).arg(db);
        if let Some(url) = redis {
            command.args(["--redis", url]);
        }
        command.stderr(Stdio::piped());
        let mut group = Group::start(&mut command);
        let log = group.child.stderr.take().expect("it is piped");
        let mut log = BufReader::new(log);
        let mut said = String::new();
        let address = loop {
            let begin = said.len();
            let read = log.read_line(&mut said).expect("a log is text");
            assert!(read > 0, "the shop has ended:\n{said}");
            if let Some((_, rest)) = said[begin..].split_once("listening on http://") {
                break rest.split(',').next().unwrap_or("").to_owned();
            }
        };
        // Who does not read it on makes the shop wait.
        let log = thread::spawn(move || {
            let _ = log.read_to_string(&mut said);
            said
        });
        Self {
            group,
            log: Some(log),
            address,
            agent: agent(),
        }
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    pub(crate) fn get(&self, path: &str) -> Answer {
        get(&self.agent, &self.url(path))
    }

    pub(crate) fn put(&self, path: &str, body: &str) -> Answer {
        put(&self.agent, &self.url(path), body)
    }

    pub(crate) fn delete(&self, path: &str) -> Answer {
        Answer::of(self.agent.delete(self.url(path)).call())
    }

    /// Asks it to end (SIGTERM), at once.
    pub(crate) fn terminate(&self) {
        signal("-TERM", &self.group.child.id().to_string());
    }

    /// Waits for its end. Returns how it ended, and its log.
    pub(crate) fn ended(mut self) -> (ExitStatus, String) {
        let status = within("the shop ends", || {
            self.group.child.try_wait().expect("a child can be asked")
        });
        let log = self.log.take().expect("it is read once");
        (status, log.join().expect("it only reads"))
    }
}

/// A client that takes any status for an answer.
pub(crate) fn agent() -> Agent {
    let config = Agent::config_builder().http_status_as_error(false);
    config.timeout_global(Some(PATIENCE)).build().into()
}

pub(crate) fn get(agent: &Agent, url: &str) -> Answer {
    Answer::of(agent.get(url).call())
}

pub(crate) fn put(agent: &Agent, url: &str, body: &str) -> Answer {
    Answer::of(agent.put(url).send(body))
}

/// What a shop has answered.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) text: String,
    headers: ureq::http::HeaderMap,
}

impl Answer {
    fn of(response: Result<Response<ureq::Body>, ureq::Error>) -> Self {
        let (head, mut body) = response.expect("it answers").into_parts();
        Self {
            status: head.status.as_u16(),
            text: body.read_to_string().expect("it ends what it says"),
            headers: head.headers,
        }
    }

    /// What it says, as JSON.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.text).expect(&self.text)
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        let header = self.headers.get(name);
        header.map_or("", |value| value.to_str().unwrap_or(""))
    }
}

/// A folder that goes when this is dropped.
#[derive(Debug)]
pub(crate) struct Folder(PathBuf);

impl Folder {
    pub(crate) fn new() -> Self {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("jetcache-shop-{}-{number}", std::process::id());
        let folder = std::env::temp_dir().join(name);
        fs::create_dir_all(&folder).expect("the temporary directory is writable");
        Self(folder)
    }

    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// A process and all that it starts, which end when this is dropped, or when this very process ends.
#[derive(Debug)]
pub(crate) struct Group {
    pub(crate) child: Child,
    watchdog: Child,
}

impl Group {
    pub(crate) fn start(command: &mut Command) -> Self {
        let child = command
            .stdin(Stdio::null())
            .process_group(0)
            .spawn()
            .unwrap_or_else(|error| panic!("{command:?}: {error}"));
        // It waits for the end of its input, the other end of which only this process holds.
        let watchdog = Command::new("sh")
            .args(["-c", r#"cat; kill -9 "-$0""#])
            .arg(child.id().to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0)
            .spawn()
            .expect("a shell is installed");
        Self { child, watchdog }
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        if let Ok(Some(_)) = self.child.try_wait() {
            // Its number may be another's by now.
            let _ = self.watchdog.kill();
        }
        // This closes its input.
        let _ = self.watchdog.wait();
        let _ = self.child.wait();
    }
}

/// Looks again and again until there is something to see.
pub(crate) fn within<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(seen) = look() {
            return seen;
        }
        assert!(Instant::now() < deadline, "not within {PATIENCE:?}: {what}");
        thread::sleep(STEP);
    }
}

fn signal(signal: &str, process: &str) {
    let status = Command::new("kill").args([signal, process]).status();
    assert!(status.expect("kill is installed").success());
}

pub(crate) const PATIENCE: Duration = Duration::from_secs(30);
const STEP: Duration = Duration::from_millis(20);
