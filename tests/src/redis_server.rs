//! A Redis server of a test's own: a child process on a free port, which the test may kill, restart
//! and pause.

use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU16, AtomicUsize, Ordering};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// A `redis-server` on a loopback port, without persistence, in a directory of its own. It ends
/// when this is dropped.
///
/// The program is found on the `PATH`; the variable `REDIS_SERVER` names another one, such as
/// `valkey-server`.
#[derive(Debug)]
pub struct RedisServer {
    port: u16,
    folder: PathBuf,
    /// A file in its directory that it reads, and writes if it is a Sentinel.
    configuration: Option<PathBuf>,
    arguments: Vec<String>,
    running: Option<Running>,
}

/// The server's process, and one that ends it when the test's process is gone: a static is never
/// dropped, and a test may be killed.
#[derive(Debug)]
struct Running {
    server: Child,
    watchdog: Child,
}

impl RedisServer {
    /// Starts a server and waits until it answers.
    #[must_use]
    pub fn start() -> Self {
        Self::start_with(&[])
    }

    /// Starts a server with more arguments, such as `["--requirepass", "secret"]`. `{dir}` in them
    /// stands for the server's directory.
    #[must_use]
    pub fn start_with(arguments: &[&str]) -> Self {
        Self::start_configured(None, arguments)
    }

    /// Starts a node of a cluster that knows no other and has no slot.
    #[must_use]
    pub fn start_node() -> Self {
        Self::start_node_with(&[])
    }

    /// The same with more arguments.
    ///
    /// Nodes speak with each other on a port that is 10,000 higher unless they are told another,
    /// and there the system may have given it to any connection.
    pub(crate) fn start_node_with(arguments: &[&str]) -> Self {
        let bus = free_port().to_string();
        let node = ["--cluster-enabled", "yes", "--cluster-port", &bus];
        Self::start_with(&[&node, arguments].concat())
    }

    /// The same as [`start_with`](Self::start_with) with a configuration file of this text.
    pub(crate) fn start_configured(text: Option<&str>, arguments: &[&str]) -> Self {
        let folder = folder();
        let configuration = text.map(|text| {
            let file = folder.join("conf");
            fs::write(&file, text).expect("the directory is writable");
            file
        });
        let dir = folder
            .to_str()
            .expect("the temporary directory's name is text");
        let mut server = Self {
            port: free_port(),
            arguments: arguments
                .iter()
                .map(|text| text.replace("{dir}", dir))
                .collect(),
            folder,
            configuration,
            running: None,
        };
        // Another process of tests may have found the same free port.
        let deadline = Instant::now() + PATIENCE;
        while !server.launch(deadline) {
            assert!(
                Instant::now() < deadline,
                "no redis-server starts:\n{}",
                server.log()
            );
            server.port = free_port();
        }
        server
    }

    /// Its port on 127.0.0.1.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Its address as a URL.
    #[must_use]
    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// Its directory, for sockets and certificates.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Kills the server at once; whatever it held is lost.
    pub fn kill(&mut self) {
        if let Some(running) = self.running.take() {
            // The watchdog first: it knows the server's process only by its number.
            end(running.watchdog);
            end(running.server);
        }
    }

    /// Starts the server again on the same port, killed first if it runs, and waits until it
    /// answers.
    pub fn restart(&mut self) {
        self.kill();
        let deadline = Instant::now() + PATIENCE;
        // Another test may hold the port for a moment.
        while !self.launch(deadline) {
            assert!(
                Instant::now() < deadline,
                "redis-server does not start on port {}:\n{}",
                self.port,
                self.log()
            );
            sleep(STEP);
        }
    }

    /// Stops the server's process (SIGSTOP): it takes connections and answers nothing.
    pub fn pause(&self) {
        self.signal("-STOP");
    }

    /// Lets a paused server go on (SIGCONT).
    pub fn resume(&self) {
        self.signal("-CONT");
    }

    /// Sends one command and answers what `redis-cli` prints for it, without the line's end.
    pub fn cli(&self, command: &[&str]) -> String {
        let output = Command::new("redis-cli")
            .args(["-h", "127.0.0.1", "-p", &self.port.to_string()])
            .args(command)
            .output()
            .expect("redis-cli is installed");
        String::from_utf8_lossy(&output.stdout)
            .trim_end()
            .to_owned()
    }

    fn launch(&mut self, deadline: Instant) -> bool {
        let program = std::env::var("REDIS_SERVER").unwrap_or_else(|_| "redis-server".into());
        let log = fs::File::create(self.folder.join("log")).expect("the directory is writable");
        let mut child = Command::new(program)
            .args(&self.configuration)
            .args(["--port", &self.port.to_string(), "--bind", "127.0.0.1"])
            .args(["--save", "", "--appendonly", "no", "--daemonize", "no"])
            .arg("--dir")
            .arg(&self.folder)
            .args(&self.arguments)
            .stdin(Stdio::null())
            .stdout(log)
            .stderr(Stdio::null())
            .spawn()
            .expect("redis-server is installed");
        let watchdog = watchdog(&child, &self.folder);
        while Instant::now() < deadline {
            if child.try_wait().expect("a child can be asked").is_some() {
                end(watchdog);
                return false;
            }
            if answers(self.port) {
                self.running = Some(Running {
                    watchdog,
                    server: child,
                });
                return true;
            }
            sleep(STEP);
        }
        end(watchdog);
        end(child);
        panic!(
            "redis-server does not answer on port {}:\n{}",
            self.port,
            self.log()
        );
    }

    fn log(&self) -> String {
        fs::read_to_string(self.folder.join("log")).unwrap_or_default()
    }

    fn signal(&self, signal: &str) {
        let running = self.running.as_ref().expect("the server runs");
        let status = Command::new("kill")
            .args([signal, &running.server.id().to_string()])
            .status()
            .expect("kill is installed");
        assert!(status.success(), "kill {signal}");
    }
}

impl Drop for RedisServer {
    fn drop(&mut self) {
        self.kill();
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// It waits for the end of its input, the other end of which only this process holds.
fn watchdog(server: &Child, folder: &Path) -> Child {
    Command::new("sh")
        .args(["-c", r#"cat; kill -9 "$0"; rm -rf -- "$1""#])
        .arg(server.id().to_string())
        .arg(folder)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("a shell is installed")
}

fn end(mut child: Child) {
    // This fails only for a child that has ended already.
    let _ = child.kill();
    // Waiting closes a watchdog's input, which also ends what its shell has started.
    let _ = child.wait();
}

/// Whether a server on this port answers PING, be it with `-NOAUTH`.
fn answers(port: u16) -> bool {
    let Ok(mut stream) = TcpStream::connect(("127.0.0.1", port)) else {
        return false;
    };
    let mut answer = [0; 1];
    stream
        .set_read_timeout(Some(Duration::from_secs(1)))
        .is_ok()
        && stream.write_all(b"PING\r\n").is_ok()
        && stream.read_exact(&mut answer).is_ok()
}

/// A port that nobody listens on, and that no connection gets for its own end: a server may be
/// killed and come back at it as often as a test wants.
pub(crate) fn free_port() -> u16 {
    /// Where the next search begins; another process of tests begins elsewhere.
    static NEXT: LazyLock<AtomicU16> = LazyLock::new(|| AtomicU16::new(fastrand::u16(..PORTS)));
    (0..PORTS)
        .map(|_| FIRST_PORT + NEXT.fetch_add(1, Ordering::Relaxed) % PORTS)
        .find(|&port| TcpListener::bind(("127.0.0.1", port)).is_ok())
        .expect("a port is free")
}

fn folder() -> PathBuf {
    static COUNT: AtomicUsize = AtomicUsize::new(0);
    let name = format!(
        "jetcache-redis-{}-{}",
        std::process::id(),
        COUNT.fetch_add(1, Ordering::Relaxed)
    );
    let folder = std::env::temp_dir().join(name);
    fs::create_dir_all(&folder).expect("the temporary directory is writable");
    folder
}

/// Below those that the system gives to whoever connects or asks for any port (from 32,768 on
/// Linux).
const FIRST_PORT: u16 = 12_000;
const PORTS: u16 = 20_000;
const PATIENCE: Duration = Duration::from_secs(20);
const STEP: Duration = Duration::from_millis(5);
