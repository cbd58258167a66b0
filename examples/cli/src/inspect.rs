//! `jetcache inspect`: one key.

use std::io::{Write, stdout};

use jetcache_core::ports::remote::{Inspected, Life};
use jetcache_core::{EntryFormat, Fault, Freshness, LeaseSeen, Remote, Unreadable, Wire};
use serde_json::json;

use crate::args::Inspect;
use crate::entry::{Seen, look};
use crate::failure::Failure;
use crate::server::{Server, Store};

pub(crate) fn run(options: &Inspect) -> Result<(), Failure> {
    let Inspect {
        server, wire, key, ..
    } = options;
    let inspected = match server.store() {
        Store::One(redis) => server.wait(ask(redis, key, *wire)),
        Store::Cluster(cluster) => server.wait(ask(cluster, key, *wire)),
    }?;
    let (kept, lease) = (inspected.kept, inspected.lease);
    let seen = inspected.found.map(|found| match found.life {
        Life::Clock(clock) => look(&found.bytes, *wire, Some(clock), kept),
        Life::Left(left) => look(&found.bytes, *wire, None, kept.or(Some(left))),
        _ => look(&found.bytes, *wire, None, kept),
    });
    let other = match (&seen, server.store()) {
        // A read takes a key of another type for an absent one.
        (None, Store::One(_)) => other_type(server, key)?,
        _ => None,
    };
    let text = if options.json {
        let entry = seen.as_ref().map(|seen| &seen.entry);
        let plain = seen.as_ref().and_then(|seen| seen.plain);
        let json = json!({
            "key": key, "entry": entry, "plain_size": plain, "lease": lease, "other_type": other,
        });
        format!("{json}\n")
    } else {
        shown(key, seen.as_ref(), &lease, other.as_deref(), *wire)
    };
    stdout().write_all(text.as_bytes())?;
    if seen.is_none() && other.is_none() {
        return Err(Failure::Nothing);
    }
    Ok(())
}

async fn ask(remote: &impl Remote, key: &str, wire: Wire) -> Result<Inspected, Failure> {
    let inspected: Result<Inspected, Fault> = remote.inspect(key, wire).await;
    Ok(inspected?)
}

/// The type of a key that is no text.
fn other_type(server: &Server, key: &str) -> Result<Option<String>, Failure> {
    let mut connection = server.connect()?;
    // Who may not ask for it does without.
    let kind = redis::cmd("TYPE").arg(key).query::<String>(&mut connection);
    Ok(kind.ok().filter(|kind| kind != "none" && kind != "string"))
}

fn shown(
    key: &str,
    seen: Option<&Seen>,
    lease: &LeaseSeen,
    other: Option<&str>,
    wire: Wire,
) -> String {
    let mut text = format!("{key}\n");
    match (seen, other) {
        (Some(seen), _) => {
            text += &format!("  L2     {}\n", seen.entry);
            text += &beside(seen, wire);
        }
        (None, Some(kind)) => {
            text += &format!(
                "  L2     a {kind}, which is no entry: every reader misses it, and a load replaces it\n"
            );
        }
        (None, None) => text += "  L2     nothing\n",
    }
    text + &format!("  lease  {lease}\n")
}

/// What an inspection from inside cannot say, or would not need to.
fn beside(seen: &Seen, wire: Wire) -> String {
    let (entry, mut text) = (&seen.entry, String::new());
    let mut line = |of: String| text += &format!("         {of}\n");
    if let Some(plain) = seen.plain {
        line(format!("{plain} bytes decompressed"));
    }
    match entry.kept {
        Some(kept) if kept.as_secs() > FOR_EVER => line("the server keeps it for ever".into()),
        Some(kept) => line(format!(
            "the server keeps it for {:.3} s",
            kept.as_secs_f64()
        )),
        None => {}
    }
    if entry.freshness == Some(Freshness::Over) && entry.age.is_none() {
        line(
            "its end is not known to be right: no server stamped it, or a clock was set back"
                .into(),
        );
    }
    if wire == Wire::Native && entry.unreadable == Some(Unreadable::Foreign) {
        line("if jetcache-go writes these keys, ask with --format go".into());
    }
    if wire == Wire::JetcacheGo && entry.format == EntryFormat::Native {
        line("it is in the native format: readers of jetcache-go cannot read it".into());
    }
    text
}

/// More seconds than any life.
const FOR_EVER: u64 = 1 << 50;
