//! A Redis cluster of a test's own: masters on free ports, among which the slots are divided, and
//! replicas if they are asked for.

use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::redis_server::{RedisServer, free_port};

/// Some `redis-server`s that form a cluster. They end when this is dropped.
#[derive(Debug)]
pub struct RedisNodes {
    nodes: Vec<RedisServer>,
    masters: usize,
}

impl RedisNodes {
    /// Starts three masters and waits until they agree.
    #[must_use]
    pub fn start() -> Self {
        Self::start_with(0)
    }

    /// Starts three masters, and replicas: node 3 is the first master's, node 4 the second's, and
    /// so on. Waits until all agree.
    #[must_use]
    pub fn start_with(replicas: usize) -> Self {
        Self::of(3, replicas, |_| node(&[]))
    }

    /// Starts three masters that speak TLS with the outside and among themselves. The directory has
    /// `ca.pem`, `cert.pem` and `key.pem`. Returns the URLs for it, too.
    #[must_use]
    pub fn start_tls(certificates: &Path) -> (Self, Vec<String>) {
        let ports = [0; 3].map(|_| free_port());
        let file = |name: &str| certificates.join(name).display().to_string();
        let files = ["ca.pem", "cert.pem", "key.pem"].map(file);
        let cluster = Self::of(3, 0, |at| {
            node(&[
                "--tls-port",
                &ports[at].to_string(),
                "--tls-ca-cert-file",
                &files[0],
                "--tls-cert-file",
                &files[1],
                "--tls-key-file",
                &files[2],
                "--tls-auth-clients",
                "no",
                "--tls-cluster",
                "yes",
            ])
        });
        let urls = ports.map(|port| format!("rediss://127.0.0.1:{port}"));
        (cluster, urls.into())
    }

    fn of(masters: usize, replicas: usize, node: impl Fn(usize) -> RedisServer) -> Self {
        let nodes = (0..masters + replicas).map(node).collect();
        let cluster = Self { nodes, masters };
        for (at, node) in cluster.nodes.iter().enumerate() {
            let epoch = (at + 1).to_string();
            cluster.ok(at, &["CLUSTER", "SET-CONFIG-EPOCH", &epoch]);
            if at < masters {
                let (first, last) = (at * SLOTS / masters, (at + 1) * SLOTS / masters - 1);
                let range = [first.to_string(), last.to_string()];
                cluster.ok(at, &["CLUSTER", "ADDSLOTSRANGE", &range[0], &range[1]]);
            }
            if at > 0 {
                let (port, bus) = (node.port().to_string(), bus(node));
                cluster.ok(0, &["CLUSTER", "MEET", "127.0.0.1", &port, &bus]);
            }
        }
        cluster.settle(|cluster, at| cluster.known(at) == cluster.nodes.len());
        for at in masters..masters + replicas {
            let master = cluster.id(at - masters);
            cluster.ok(at, &["CLUSTER", "REPLICATE", &master]);
        }
        cluster.settle(|cluster, at| cluster.is_whole(at) && (at < masters || cluster.follows(at)));
        cluster
    }

    /// The URLs of all nodes.
    #[must_use]
    pub fn urls(&self) -> Vec<String> {
        self.nodes.iter().map(RedisServer::url).collect()
    }

    /// A node: the masters come first.
    #[must_use]
    pub fn node(&self, at: usize) -> &RedisServer {
        &self.nodes[at]
    }

    /// A node, to be killed or restarted.
    pub fn node_mut(&mut self, at: usize) -> &mut RedisServer {
        &mut self.nodes[at]
    }

    /// The id of a node in the cluster.
    #[must_use]
    pub fn id(&self, at: usize) -> String {
        self.nodes[at].cli(&["CLUSTER", "MYID"])
    }

    /// The slot of a key.
    ///
    /// # Panics
    /// If no node answers.
    #[must_use]
    pub fn slot(&self, key: &str) -> usize {
        let slot = self.nodes[0].cli(&["CLUSTER", "KEYSLOT", key]);
        slot.parse().expect("the first node answers")
    }

    /// Which master got a slot at the start.
    #[must_use]
    pub fn first_owner(&self, slot: usize) -> usize {
        (0..self.masters)
            .find(|at| slot < (at + 1) * SLOTS / self.masters)
            .expect("every slot is some master's")
    }

    /// So many keys, `ns:{n}` in their braces or not as `pattern` says (`#` stands for the number),
    /// that lie on a master, as of the start.
    #[must_use]
    pub fn keys_on(&self, at: usize, count: usize, pattern: &str) -> Vec<String> {
        (0..)
            .map(|n: usize| pattern.replace('#', &n.to_string()))
            .filter(|key| self.first_owner(self.slot(key)) == at)
            .take(count)
            .collect()
    }

    /// One command to a node, which must answer OK.
    ///
    /// # Panics
    /// If it does not.
    pub fn ok(&self, at: usize, command: &[&str]) {
        let answer = self.nodes[at].cli(command);
        assert_eq!(answer, "OK", "node {at}: {command:?}");
    }

    /// Waits until all running nodes say that the cluster is well and every slot served.
    pub fn wait(&self) {
        self.settle(Self::is_whole);
    }

    /// Waits until something is so on every node.
    ///
    /// # Panics
    /// If that takes too long.
    pub fn settle(&self, is_so: impl Fn(&Self, usize) -> bool) {
        let deadline = Instant::now() + PATIENCE;
        while !(0..self.nodes.len()).all(|at| is_so(self, at)) {
            assert!(
                Instant::now() < deadline,
                "the cluster does not settle:\n{}",
                self.nodes[0].cli(&["CLUSTER", "NODES"])
            );
            sleep(STEP);
        }
    }

    fn is_whole(&self, at: usize) -> bool {
        let info = self.nodes[at].cli(&["CLUSTER", "INFO"]);
        info.contains("cluster_state:ok") && info.contains("cluster_slots_ok:16384")
    }

    fn known(&self, at: usize) -> usize {
        let nodes = self.nodes[at].cli(&["CLUSTER", "NODES"]);
        nodes
            .lines()
            .filter(|node| !node.contains("handshake"))
            .count()
    }

    fn follows(&self, at: usize) -> bool {
        let info = self.nodes[at].cli(&["INFO", "replication"]);
        info.contains("master_link_status:up")
    }
}

fn node(more: &[&str]) -> RedisServer {
    let arguments = [
        "--cluster-node-timeout",
        "1000",
        // A master that is away leaves the others' slots served.
        "--cluster-require-full-coverage",
        "no",
        "--cluster-migration-barrier",
        "100",
        // Replicas get their copy at once.
        "--repl-diskless-sync-delay",
        "0",
    ];
    RedisServer::start_node_with(&[&arguments, more].concat())
}

fn bus(node: &RedisServer) -> String {
    let answer = node.cli(&["CONFIG", "GET", "cluster-port"]);
    answer.lines().last().unwrap_or_default().to_owned()
}

const SLOTS: usize = 16_384;
const PATIENCE: Duration = Duration::from_secs(30);
const STEP: Duration = Duration::from_millis(20);
