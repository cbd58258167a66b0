//! A group of Redis servers of a test's own, which Sentinels watch: a primary, its replicas, and who
//! promotes one of them when the primary fails.

use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::redis_server::{RedisServer, free_port};

/// Some `redis-server`s with Sentinels, which call them [`GROUP`]. They end when this is dropped.
#[derive(Debug)]
pub struct RedisGroup {
    servers: Vec<RedisServer>,
    sentinels: Vec<RedisServer>,
    passwords: Option<Passwords>,
}

/// What the servers and the Sentinels want of whoever connects.
#[derive(Clone, Copy, Debug)]
pub struct Passwords {
    /// The servers.
    pub servers: &'static str,
    /// The Sentinels.
    pub sentinels: &'static str,
}

impl RedisGroup {
    /// Starts a primary, so many replicas and so many Sentinels, a majority of which must agree that
    /// a server is down; and waits until all know each other.
    #[must_use]
    pub fn start(replicas: usize, sentinels: usize) -> Self {
        Self::of(replicas, sentinels, None, &[])
    }

    /// The same, where logins are wanted.
    #[must_use]
    pub fn start_closed(replicas: usize, sentinels: usize, passwords: Passwords) -> Self {
        Self::of(replicas, sentinels, Some(passwords), &[])
    }

    /// Starts a primary and a Sentinel that speaks TLS, too. The directory has `ca.pem`, `cert.pem`
    /// and `key.pem`. Returns the Sentinel's URL for it as well.
    #[must_use]
    pub fn start_tls(certificates: &Path) -> (Self, String) {
        let port = free_port();
        let file = |name: &str| certificates.join(name).display().to_string();
        let more = [
            "--tls-port",
            &port.to_string(),
            "--tls-ca-cert-file",
            &file("ca.pem"),
            "--tls-cert-file",
            &file("cert.pem"),
            "--tls-key-file",
            &file("key.pem"),
            "--tls-auth-clients",
            "no",
        ];
        let group = Self::of(0, 1, None, &more);
        (group, format!("rediss://127.0.0.1:{port}"))
    }

    fn of(replicas: usize, sentinels: usize, passwords: Option<Passwords>, more: &[&str]) -> Self {
        let login = passwords.map_or(vec![], |Passwords { servers, .. }| {
            vec!["--requirepass", servers, "--masterauth", servers]
        });
        // Replicas get their copy at once.
        let login = [&["--repl-diskless-sync-delay", "0"][..], &login].concat();
        let primary = RedisServer::start_with(&login);
        let port = primary.port().to_string();
        let of = ["--replicaof", "127.0.0.1", &port];
        let replica = |_| RedisServer::start_with(&[&login[..], &of].concat());
        let mut group = Self {
            servers: vec![primary],
            sentinels: vec![],
            passwords,
        };
        group.servers.extend((0..replicas).map(replica));
        group.settle("replicas have their copy", |group| {
            let up = |at| group.is_replica(at) && group.asks(at, "master_link_status:up");
            (1..=replicas).all(up)
        });
        // Otherwise they would learn of them at their next question, 10 s later.
        group.settle("the primary knows its replicas", |group| {
            group.asks(0, &format!("connected_slaves:{replicas}"))
                && group.info(0).matches("state=online").count() == replicas
        });
        let mut text = format!(
            "sentinel monitor {GROUP} 127.0.0.1 {port} {}\n",
            sentinels / 2 + 1
        );
        let mut say = |line: String| text.push_str(&format!("{line}\n"));
        say(format!("sentinel down-after-milliseconds {GROUP} 500"));
        say(format!("sentinel failover-timeout {GROUP} 2000"));
        if let Some(Passwords { servers, sentinels }) = passwords {
            say(format!("sentinel auth-pass {GROUP} {servers}"));
            say(format!("requirepass {sentinels}"));
        }
        let sentinel =
            |_| RedisServer::start_configured(Some(&text), &[&["--sentinel"], more].concat());
        group.sentinels.extend((0..sentinels).map(sentinel));
        group.settle("Sentinels know all", |group| {
            (0..sentinels).all(|at| {
                let known = group.ask(at, &["SENTINEL", "MASTER", GROUP]);
                let known: Vec<&str> = known.lines().collect();
                let field = |name| {
                    let mut pairs = known.chunks_exact(2);
                    pairs
                        .find(|pair| pair[0] == name)
                        .map(|pair| pair[1].to_owned())
                };
                field("num-slaves") == Some(replicas.to_string())
                    && field("num-other-sentinels") == Some((sentinels - 1).to_string())
                    && group.promotable(at) == replicas
            })
        });
        group
    }

    /// A server: the first one is the primary at the start.
    #[must_use]
    pub fn server(&self, at: usize) -> &RedisServer {
        &self.servers[at]
    }

    /// A server, to be killed or restarted.
    pub fn server_mut(&mut self, at: usize) -> &mut RedisServer {
        &mut self.servers[at]
    }

    /// A Sentinel.
    #[must_use]
    pub fn sentinel(&self, at: usize) -> &RedisServer {
        &self.sentinels[at]
    }

    /// A Sentinel, to be killed or restarted.
    pub fn sentinel_mut(&mut self, at: usize) -> &mut RedisServer {
        &mut self.sentinels[at]
    }

    /// The Sentinels as `host:port`.
    #[must_use]
    pub fn addresses(&self) -> Vec<String> {
        let address = |sentinel: &RedisServer| format!("127.0.0.1:{}", sentinel.port());
        self.sentinels.iter().map(address).collect()
    }

    /// Has a Sentinel promote a replica though nothing is wrong.
    ///
    /// # Panics
    /// If it does not.
    pub fn fail_over(&self) {
        assert_eq!(self.ask(0, &["SENTINEL", "FAILOVER", GROUP]), "OK");
    }

    /// From now on the first Sentinel tells no server that it is a replica because another one was
    /// promoted; otherwise it does after some eight seconds.
    ///
    /// # Panics
    /// If it does not.
    pub fn tell_nobody(&self) {
        // Four times this it waits for a server that says it leads.
        let period = ["SENTINEL", "DEBUG", "PUBLISH-PERIOD", "600000"];
        assert_eq!(self.ask(0, &period), "OK");
    }

    /// The port that a Sentinel says is the primary's.
    #[must_use]
    pub fn primary(&self, sentinel: usize) -> Option<u16> {
        let question = ["SENTINEL", "GET-MASTER-ADDR-BY-NAME", GROUP];
        let answer = self.ask(sentinel, &question);
        answer.lines().last()?.parse().ok()
    }

    /// Waits until a Sentinel names another primary than this server, and that one knows it.
    ///
    /// # Panics
    /// If that takes too long.
    pub fn wait_for_another(&self, than: usize) -> usize {
        let found = || {
            let port = self.primary(0)?;
            let at = self
                .servers
                .iter()
                .position(|server| server.port() == port)?;
            (at != than && self.asks(at, "role:master")).then_some(at)
        };
        self.settle("another primary", |_| found().is_some());
        found().unwrap_or_default()
    }

    /// Whether this server is a replica.
    #[must_use]
    pub fn is_replica(&self, at: usize) -> bool {
        self.asks(at, "role:slave")
    }

    /// What a server answers.
    #[must_use]
    pub fn cli(&self, at: usize, command: &[&str]) -> String {
        let password = self.passwords.map(|passwords| passwords.servers);
        said(&self.servers[at], password, command)
    }

    fn ask(&self, sentinel: usize, command: &[&str]) -> String {
        let password = self.passwords.map(|passwords| passwords.sentinels);
        said(&self.sentinels[sentinel], password, command)
    }

    /// How many replicas a Sentinel has heard good things of.
    fn promotable(&self, sentinel: usize) -> usize {
        let replicas = self.ask(sentinel, &["SENTINEL", "REPLICAS", GROUP]);
        replicas.matches("master-link-status\nok").count()
    }

    fn info(&self, at: usize) -> String {
        self.cli(at, &["INFO", "replication"])
    }

    fn asks(&self, at: usize, line: &str) -> bool {
        self.info(at).lines().any(|said| said.trim_end() == line)
    }

    /// Waits until this is so.
    ///
    /// # Panics
    /// If that takes too long.
    pub fn settle(&self, what: &str, is_so: impl Fn(&Self) -> bool) {
        let deadline = Instant::now() + PATIENCE;
        while !is_so(self) {
            assert!(Instant::now() < deadline, "{what}: it is never so");
            sleep(STEP);
        }
    }
}

fn said(server: &RedisServer, password: Option<&str>, command: &[&str]) -> String {
    match password {
        None => server.cli(command),
        Some(password) => {
            let login = ["--no-auth-warning", "-a", password];
            server.cli(&[&login, command].concat())
        }
    }
}

/// What the Sentinels call the group.
pub const GROUP: &str = "mymaster";
const PATIENCE: Duration = Duration::from_secs(30);
const STEP: Duration = Duration::from_millis(20);
