//! Impostors: servers that pass for nodes of a cluster.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use jetcache_adapters::RedisCluster;

/// An impostor that only says which port has all slots.
pub(super) struct Signpost {
    pub(super) url: String,
    port: Arc<Mutex<u16>>,
}

impl Signpost {
    pub(super) fn start(port: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("redis://{}", listener.local_addr().unwrap());
        let port = Arc::new(Mutex::new(port));
        let shown = Arc::clone(&port);
        thread::spawn(move || {
            for stream in listener.incoming() {
                let (stream, shown) = (stream.unwrap(), Arc::clone(&shown));
                thread::spawn(move || {
                    serve(stream, |text| {
                        let shown = *shown.lock().unwrap();
                        text.contains("SLOTS").then(|| slots(shown))
                    })
                });
            }
        });
        Self { url, port }
    }

    pub(super) fn turn(&self, port: u16) {
        *self.port.lock().unwrap() = port;
    }

    pub(super) fn cluster(&self) -> RedisCluster {
        nameless(&self.url)
    }
}

/// Two impostors. The first has all slots until it is sent a verb. Then it hangs up, and the second
/// has them. That one hangs up too.
pub(super) struct Rude {
    pub(super) url: String,
    heard: [Arc<Mutex<String>>; 2],
}

impl Rude {
    pub(super) fn start() -> Self {
        let listeners = [0, 1].map(|_| TcpListener::bind("127.0.0.1:0").unwrap());
        let ports = [0, 1].map(|at: usize| listeners[at].local_addr().unwrap().port());
        let heard = [0, 1].map(|_| Arc::new(Mutex::new(String::new())));
        for (at, listener) in listeners.into_iter().enumerate() {
            let heard = heard.clone();
            thread::spawn(move || {
                for stream in listener.incoming() {
                    let (stream, heard) = (stream.unwrap(), heard.clone());
                    thread::spawn(move || {
                        serve(stream, |text| {
                            heard[at].lock().unwrap().push_str(text);
                            let gone = verbs(&heard[0].lock().unwrap()) > 0;
                            let port = ports[usize::from(gone)];
                            text.contains("SLOTS").then(|| slots(port))
                        })
                    });
                }
            });
        }
        Self {
            url: format!("redis://127.0.0.1:{}", ports[0]),
            heard,
        }
    }

    pub(super) fn cluster(&self) -> RedisCluster {
        nameless(&self.url)
    }

    pub(super) fn verbs(&self) -> [usize; 2] {
        [0, 1].map(|at: usize| verbs(&self.heard[at].lock().unwrap()))
    }
}

/// A client that does not tell the server its name: an impostor would not understand.
fn nameless(url: &str) -> RedisCluster {
    RedisCluster::builder([url])
        .connections(1)
        .client_name("")
        .slot_timeout(Duration::from_secs(20))
        .connect_timeout(Duration::from_secs(20))
        .open()
        .unwrap()
}

/// Serves a connection: gives `answer`, or OK to each command, and hangs up on a verb.
fn serve(mut stream: TcpStream, answer: impl Fn(&str) -> Option<String>) {
    let mut buffer = [0; 10_000];
    while let Ok(len @ 1..) = stream.read(&mut buffer) {
        let text = String::from_utf8_lossy(&buffer[..len]).into_owned();
        let answer = answer(&text).unwrap_or_else(|| "+OK\r\n".repeat(text.matches('*').count()));
        if verbs(&text) > 0 || stream.write_all(answer.as_bytes()).is_err() {
            break;
        }
    }
}

/// The answer to `CLUSTER SLOTS` if one port has all slots.
fn slots(port: u16) -> String {
    format!("*1\r\n*3\r\n:0\r\n:16383\r\n*2\r\n$9\r\n127.0.0.1\r\n:{port}\r\n")
}

fn verbs(text: &str) -> usize {
    let verbs = ["MGET", "EVALSHA"];
    verbs.iter().map(|verb| text.matches(verb).count()).sum()
}
