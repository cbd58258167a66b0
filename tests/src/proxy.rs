//! A proxy in front of a server, on which a test can hold commands and replies up.

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, mpsc};
use std::thread;

/// A loopback port that leads to another one.
///
/// Whatever is held up is kept, and goes on in order when it is released, even if its sender has
/// hung up in the meantime: that is how a command comes late.
#[derive(Debug)]
pub struct Proxy {
    port: u16,
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    /// The port to which new connections lead.
    target: u16,
    commands: Gate,
    replies: Gate,
    is_cut: bool,
    is_over: bool,
    /// How often all connections were closed.
    cuts: u64,
    /// How many connections there were.
    connections: u64,
    /// How many of them, the first ones, lead nowhere any more.
    swallowed: u64,
    streams: Vec<TcpStream>,
}

/// What holds one direction up.
#[derive(Debug, Default)]
struct Gate {
    is_shut: bool,
    /// How many bytes have come this far and no further.
    waiting: usize,
}

/// One direction of one connection.
#[derive(Clone, Copy)]
struct Lane {
    gate: Way,
    /// How often all connections had been closed when it began.
    cuts: u64,
    /// The connection's number, from 1 on.
    number: u64,
}

/// A direction: picks its gate out of the state.
type Way = fn(&mut State) -> &mut Gate;

impl Proxy {
    /// Listens, and leads to this port on 127.0.0.1.
    ///
    /// # Panics
    /// If no port is free.
    #[must_use]
    pub fn start(target: u16) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a port is free");
        let port = listener.local_addr().expect("it has an address").port();
        let shared = Arc::new(Shared::default());
        shared.state().target = target;
        let proxy = Self {
            port,
            shared: Arc::clone(&shared),
        };
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                if shared.state().is_over {
                    return;
                }
                // The server cannot be reached, so the client is hung up on.
                let _ = shared.lead(client);
            }
        });
        proxy
    }

    /// Its port on 127.0.0.1.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The URL of a Redis behind it.
    #[must_use]
    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// From here on, keeps back what clients send. Replies pass.
    pub fn hold(&self) {
        self.shared.change(|state| state.commands.is_shut = true);
    }

    /// From here on, keeps back what the server replies. Commands pass.
    pub fn hold_replies(&self) {
        self.shared.change(|state| state.replies.is_shut = true);
    }

    /// Lets go, in order, whatever was kept back, and keeps back nothing more.
    pub fn release(&self) {
        self.shared.change(|state| {
            state.commands.is_shut = false;
            state.replies.is_shut = false;
        });
    }

    /// How many bytes of commands are held up.
    #[must_use]
    pub fn held(&self) -> usize {
        self.shared.state().commands.waiting
    }

    /// How many bytes of replies are held up.
    #[must_use]
    pub fn held_replies(&self) -> usize {
        self.shared.state().replies.waiting
    }

    /// From here on, takes what comes on the connections that stand, from either side, and passes
    /// nothing on; new ones work.
    pub fn swallow(&self) {
        self.shared
            .change(|state| state.swallowed = state.connections);
    }

    /// How many connections there were.
    #[must_use]
    pub fn connections(&self) -> u64 {
        self.shared.state().connections
    }

    /// Closes all connections, forgets what was kept back, and hangs up on new ones.
    pub fn cut(&self) {
        self.shared.cut();
    }

    /// New connections lead to this port. Those that stand go on where they lead: so does an address
    /// that moves.
    pub fn lead_to(&self, target: u16) {
        self.shared.change(|state| state.target = target);
    }

    /// Takes new connections again.
    pub fn mend(&self) {
        self.shared.change(|state| state.is_cut = false);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.shared.change(|state| state.is_over = true);
        self.shared.cut();
        // Wakes the thread that accepts.
        let _ = TcpStream::connect(("127.0.0.1", self.port));
    }
}

impl Shared {
    fn lead(self: &Arc<Self>, client: TcpStream) -> io::Result<()> {
        let (cuts, number, target) = {
            let mut state = self.state();
            if state.is_cut {
                return Ok(());
            }
            state.connections += 1;
            (state.cuts, state.connections, state.target)
        };
        let server = TcpStream::connect(("127.0.0.1", target))?;
        let both = [&client, &server];
        for stream in both {
            stream.set_nodelay(true)?;
        }
        let known = [client.try_clone()?, server.try_clone()?];
        let replies = (server.try_clone()?, client.try_clone()?);
        {
            let mut state = self.state();
            if state.cuts != cuts {
                return Ok(());
            }
            state.streams.extend(known);
        }
        let commands = Lane {
            gate: |state| &mut state.commands,
            cuts,
            number,
        };
        let gate: Way = |state| &mut state.replies;
        self.carry(client, server, commands);
        self.carry(replies.0, replies.1, Lane { gate, ..commands });
        Ok(())
    }

    /// Reads whatever comes, and passes it on while the gate is open.
    fn carry(self: &Arc<Self>, mut from: TcpStream, mut to: TcpStream, lane: Lane) {
        let Lane { gate, cuts, number } = lane;
        let (sender, receiver) = mpsc::channel::<Vec<u8>>();
        let shared = Arc::clone(self);
        thread::spawn(move || {
            let mut buffer = vec![0; 1 << 16];
            while let Ok(len @ 1..) = from.read(&mut buffer) {
                if shared.state().swallowed >= number {
                    continue;
                }
                shared.change(|state| gate(state).waiting += len);
                if sender.send(buffer[..len].to_vec()).is_err() {
                    return;
                }
            }
        });
        let shared = Arc::clone(self);
        thread::spawn(move || {
            let mut is_deaf = false;
            for chunk in receiver {
                if !shared.pass(gate, chunk.len(), cuts) {
                    return;
                }
                // When one side has hung up, the other may still finish.
                is_deaf = is_deaf || to.write_all(&chunk).is_err();
            }
            let _ = to.shutdown(Shutdown::Write);
        });
    }

    /// Waits until so many bytes may pass. Returns whether they may.
    fn pass(&self, way: Way, len: usize, cuts: u64) -> bool {
        let state = self.state();
        let waits = |state: &mut State| state.cuts == cuts && way(state).is_shut;
        let mut state = self
            .changed
            .wait_while(state, waits)
            .unwrap_or_else(PoisonError::into_inner);
        let passes = state.cuts == cuts;
        if passes {
            let gate = way(&mut state);
            gate.waiting = gate.waiting.saturating_sub(len);
        }
        passes
    }

    fn cut(&self) {
        self.change(|state| {
            state.is_cut = true;
            state.cuts += 1;
            state.commands.waiting = 0;
            state.replies.waiting = 0;
            for stream in state.streams.drain(..) {
                // This fails only for a connection that is closed already.
                let _ = stream.shutdown(Shutdown::Both);
            }
        });
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.state());
        self.changed.notify_all();
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::*;
    use crate::redis_server::RedisServer;

    fn until(what: &str, is_so: impl Fn() -> bool) {
        let deadline = Instant::now() + Duration::from_secs(10);
        while !is_so() {
            assert!(Instant::now() < deadline, "{what}");
            thread::sleep(Duration::from_millis(2));
        }
    }

    fn connect(proxy: &Proxy) -> TcpStream {
        let stream = TcpStream::connect(("127.0.0.1", proxy.port())).unwrap();
        let patience = Some(Duration::from_secs(10));
        stream.set_read_timeout(patience).unwrap();
        stream
    }

    fn hears(stream: &mut TcpStream, answer: &str) {
        let mut heard = vec![0; answer.len()];
        stream.read_exact(&mut heard).unwrap();
        assert_eq!(String::from_utf8_lossy(&heard), answer);
    }

    #[test]
    fn what_is_held_comes_late_and_in_order() {
        let server = RedisServer::start();
        let proxy = Proxy::start(server.port());
        let mut client = connect(&proxy);
        client.write_all(b"APPEND k 1\r\n").unwrap();
        hears(&mut client, ":1\r\n");
        proxy.hold();
        client.write_all(b"APPEND k 2\r\n").unwrap();
        until("a command is held", || proxy.held() == 12);
        client.write_all(b"APPEND k 3\r\n").unwrap();
        until("two commands are held", || proxy.held() == 24);
        assert_eq!(server.cli(&["GET", "k"]), "1");
        // Nobody waits for them any more.
        drop(client);
        proxy.release();
        until("they arrive", || server.cli(&["GET", "k"]) == "123");
        assert_eq!(proxy.held(), 0);
    }

    #[test]
    fn what_is_held_in_one_direction_passes_in_the_other() {
        let server = RedisServer::start();
        let proxy = Proxy::start(server.port());
        let mut client = connect(&proxy);
        client.write_all(b"SUBSCRIBE c\r\n").unwrap();
        hears(&mut client, "*3\r\n$9\r\nsubscribe\r\n$1\r\nc\r\n:1\r\n");
        proxy.hold();
        server.cli(&["PUBLISH", "c", "m"]);
        hears(&mut client, "*3\r\n$7\r\nmessage\r\n$1\r\nc\r\n$1\r\nm\r\n");
        proxy.release();
        proxy.hold_replies();
        let mut other = connect(&proxy);
        other.write_all(b"SET k v\r\n").unwrap();
        until("the reply is held", || proxy.held_replies() == 5);
        assert_eq!(server.cli(&["GET", "k"]), "v");
        proxy.release();
        hears(&mut other, "+OK\r\n");
    }

    #[test]
    fn a_cut_closes_all_and_a_mend_takes_new_ones() {
        let server = RedisServer::start();
        let proxy = Proxy::start(server.port());
        let mut client = connect(&proxy);
        proxy.hold();
        client.write_all(b"SET k v\r\n").unwrap();
        until("a command is held", || proxy.held() > 0);
        proxy.cut();
        assert!(!matches!(client.read(&mut [0]), Ok(1..)));
        let mut refused = connect(&proxy);
        let _ = refused.write_all(b"PING\r\n");
        assert!(!matches!(refused.read(&mut [0]), Ok(1..)));
        proxy.release();
        proxy.mend();
        let mut client = connect(&proxy);
        client.write_all(b"EXISTS k\r\n").unwrap();
        hears(&mut client, ":0\r\n");
    }

    #[test]
    fn what_is_swallowed_goes_nowhere_and_new_connections_work() {
        let server = RedisServer::start();
        let proxy = Proxy::start(server.port());
        let mut client = connect(&proxy);
        client.write_all(b"SET k 1\r\n").unwrap();
        hears(&mut client, "+OK\r\n");
        proxy.swallow();
        client.write_all(b"SET k 2\r\n").unwrap();
        let mut other = connect(&proxy);
        other.write_all(b"GET k\r\n").unwrap();
        hears(&mut other, "$1\r\n1\r\n");
        let patience = Some(Duration::from_millis(100));
        client.set_read_timeout(patience).unwrap();
        assert!(
            client.read(&mut [0]).is_err(),
            "it is neither answered nor closed"
        );
        assert_eq!(
            (server.cli(&["GET", "k"]).as_str(), proxy.connections()),
            ("1", 2)
        );
    }

    #[test]
    fn a_server_that_hangs_up_is_heard_of() {
        let mut server = RedisServer::start();
        let proxy = Proxy::start(server.port());
        let mut client = connect(&proxy);
        client.write_all(b"PING\r\n").unwrap();
        hears(&mut client, "+PONG\r\n");
        server.kill();
        assert_eq!(client.read(&mut [0]).unwrap(), 0);
        server.restart();
        let mut client = connect(&proxy);
        client.write_all(b"PING\r\n").unwrap();
        hears(&mut client, "+PONG\r\n");
    }
}
