//! An ear: listens to a channel of a server with nothing but a socket.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

/// A subscriber that is none of ours.
pub(crate) struct Ear {
    stream: TcpStream,
    channel: &'static str,
    heard: Vec<u8>,
    marks: usize,
}

impl Ear {
    /// Listens to a channel at a port.
    pub(crate) fn at(port: u16, channel: &'static str) -> Self {
        let stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
        let patience = Duration::from_secs(20);
        stream.set_read_timeout(Some(patience)).unwrap();
        let mut ear = Self {
            stream,
            channel,
            heard: Vec::new(),
            marks: 0,
        };
        write!(ear.stream, "SUBSCRIBE {channel}\r\n").unwrap();
        assert_eq!(ear.text(), Some("subscribe".into()));
        assert_eq!(ear.text(), Some(channel.into()));
        ear.line();
        ear
    }

    /// Checks that exactly these messages came so far, in this order.
    pub(crate) fn hears(&mut self, what: &str, messages: &[&str]) {
        // The mark is sent on another connection, after all that was acknowledged, so whatever was
        // published before comes before it.
        self.marks += 1;
        let mark = format!("mark {}", self.marks);
        let mut heard = Vec::new();
        self.publish(&mark);
        loop {
            let message = self.message();
            if message == mark {
                break;
            }
            heard.push(message);
        }
        assert_eq!(heard, messages, "{what}");
    }

    /// Checks that these are the next messages.
    pub(crate) fn awaits(&mut self, what: &str, messages: &[&str]) {
        let heard: Vec<String> = messages.iter().map(|_| self.message()).collect();
        assert_eq!(heard, messages, "{what}");
    }

    /// The next message.
    pub(crate) fn awaits_any(&mut self) -> String {
        self.message()
    }

    fn publish(&self, message: &str) {
        let mut stream = TcpStream::connect(self.stream.peer_addr().unwrap()).unwrap();
        let (channel, len) = (self.channel, message.len());
        let command = format!(
            "*3\r\n$7\r\nPUBLISH\r\n${}\r\n{channel}\r\n${len}\r\n{message}\r\n",
            channel.len()
        );
        stream.write_all(command.as_bytes()).unwrap();
        assert!(matches!(stream.read(&mut [0; 16]), Ok(1..)));
    }

    fn message(&mut self) -> String {
        assert_eq!(self.text(), Some("message".into()));
        assert_eq!(self.text(), Some(self.channel.into()));
        self.text().unwrap()
    }

    /// The next bulk string; the heads of arrays are skipped.
    fn text(&mut self) -> Option<String> {
        let head = self.line();
        if head.starts_with('*') {
            return self.text();
        }
        let len: usize = head.strip_prefix('$')?.parse().unwrap();
        self.fill(len + 2);
        let text: Vec<u8> = self.heard.drain(..len + 2).take(len).collect();
        Some(String::from_utf8(text).unwrap())
    }

    fn line(&mut self) -> String {
        loop {
            if let Some(end) = self.heard.windows(2).position(|pair| pair == b"\r\n") {
                let line: Vec<u8> = self.heard.drain(..end + 2).take(end).collect();
                return String::from_utf8(line).unwrap();
            }
            let more = self.heard.len() + 1;
            self.fill(more);
        }
    }

    fn fill(&mut self, len: usize) {
        let mut buffer = [0; 4096];
        while self.heard.len() < len {
            let more = self.stream.read(&mut buffer).unwrap();
            assert_ne!(more, 0, "the server hung up");
            self.heard.extend_from_slice(&buffer[..more]);
        }
    }
}
