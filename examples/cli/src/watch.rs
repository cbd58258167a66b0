//! `jetcache watch`: what nodes tell each other.

use std::io::{Write, stderr, stdout};
use std::process::exit;
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use jetcache_core::MessageKind;
use redis::Connection;
use serde_json::Value;

use crate::args::Watch;
use crate::failure::Failure;

pub(crate) fn run(options: &Watch) -> Result<(), Failure> {
    let mut connection = options.server.connect()?;
    let mut subscription = connection.as_pubsub();
    subscription.subscribe(&options.channel)?;
    // However long nobody says anything.
    subscription.set_read_timeout(None)?;
    let (channel, url) = (&options.channel, options.server.shown());
    // Nothing can be done about a stderr that is gone.
    let _ = writeln!(stderr(), "jetcache: watching `{channel}` at {url}");
    let beat = options.server.connect()?;
    let (server, timeout) = (url, options.server.timeout());
    thread::spawn(move || mind(beat, timeout, &server));
    let mut out = stdout().lock();
    for _ in 0..options.count {
        let message = subscription.get_message().map_err(|error| {
            Failure::failed(format!(
                "the subscription has ended, and what came since is lost: {error}"
            ))
        })?;
        writeln!(out, "{} {}", clock(), line(message.get_payload_bytes()))?;
        out.flush()?;
    }
    Ok(())
}

/// Ends the program when the server answers nothing any more: a subscription never hears of that.
fn mind(mut connection: Connection, timeout: Duration, server: &str) {
    loop {
        thread::sleep(timeout);
        if let Err(error) = redis::cmd("PING").query::<redis::Value>(&mut connection) {
            // Nothing can be done about a stderr that is gone.
            let _ = writeln!(
                stderr(),
                "jetcache: {server} does not answer any more, and what comes is lost: {error}"
            );
            exit(1);
        }
    }
}

/// An event as a line: what happened, the cache, the node, the keys.
fn line(event: &[u8]) -> String {
    match read(event) {
        Some(Event {
            cache,
            source,
            kind: Some(kind),
            keys,
            fenced,
        }) => {
            let kind = match kind {
                MessageKind::Set => "set",
                MessageKind::SetByOnce => "loaded",
                MessageKind::SetByRefresh => "refreshed",
                MessageKind::SetByMGet => "loaded-many",
                MessageKind::Delete if fenced => "delete",
                // A lease may still bring the old value back.
                MessageKind::Delete => "delete-unfenced",
                MessageKind::Everything => "everything",
                MessageKind::Raise => "raise",
                _ => "unknown",
            };
            let keys = keys.iter().map(|key| key.escape_debug().to_string());
            let keys: Vec<String> = keys.collect();
            format!("{kind:<15} {cache} {source} {}", keys.join(" "))
        }
        _ => {
            let text = String::from_utf8_lossy(event);
            let cut: String = text.chars().take(LONGEST).collect();
            let more = if cut.len() < text.len() { ".." } else { "" };
            format!("{:<15} {}{more}", "garbled", cut.escape_debug())
        }
    }
}

struct Event {
    cache: String,
    source: String,
    kind: Option<MessageKind>,
    keys: Vec<String>,
    fenced: bool,
}

/// The event of this JSON; names in any case, as jetcache-go takes them.
fn read(event: &[u8]) -> Option<Event> {
    let Value::Object(fields) = serde_json::from_slice(event).ok()? else {
        return None;
    };
    let mut read = Event {
        cache: "-".into(),
        source: "-".into(),
        kind: None,
        keys: Vec::new(),
        fenced: false,
    };
    for (name, value) in fields {
        match (&*name.to_ascii_lowercase(), value) {
            ("cachename", Value::String(text)) => read.cache = shown(&text),
            ("sourceid", Value::String(text)) => read.source = shown(&text),
            ("eventtype", Value::Number(number)) => {
                read.kind = number.as_i64().and_then(MessageKind::from_number);
            }
            ("keys", Value::Array(keys)) => {
                let keys = keys.into_iter().map(|key| match key {
                    Value::String(key) => Some(key),
                    _ => None,
                });
                read.keys = keys.collect::<Option<_>>()?;
            }
            ("fenced", Value::Bool(fenced)) => read.fenced = fenced,
            ("keys", Value::Null) => {}
            ("cachename" | "sourceid" | "eventtype" | "keys", _) => return None,
            _ => {}
        }
    }
    Some(read)
}

/// One word.
fn shown(name: &str) -> String {
    match name {
        "" => "-".into(),
        name => name.escape_debug().to_string(),
    }
}

/// The time of day, UTC.
fn clock() -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let now = now.unwrap_or_default();
    let seconds = now.as_secs() % 86_400;
    let (hours, minutes) = (seconds / 3600, seconds / 60 % 60);
    format!(
        "{hours:02}:{minutes:02}:{:02}.{:03}Z",
        seconds % 60,
        now.subsec_millis()
    )
}

/// How much is shown of what cannot be understood, in characters.
const LONGEST: usize = 200;
