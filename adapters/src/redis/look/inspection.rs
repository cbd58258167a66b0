//! A look at one key and at what stands beside it, for people.

use jetcache_core::Fault;
use jetcache_core::ports::remote::{Holder, Inspected, LeaseSeen, Wire};
use redis::{Pipeline, Value};

use crate::redis::answer::outcome;
use crate::redis::lease_key::lease_key;
use crate::redis::look::{found, left, look, look_len};

/// How many commands of an inspection stand before its look, each by itself.
pub(in crate::redis) const BESIDE: usize = 3;

/// The commands. Each is one that loads or their scripts send as well, so no user needs another right.
pub(in crate::redis) fn inspection(key: &str, wire: Wire) -> Pipeline {
    let lease = lease_key(key).to_string();
    let mut pipeline = Pipeline::with_capacity(BESIDE + look_len(1, wire));
    pipeline.cmd("PTTL").arg(key);
    pipeline.cmd("GET").arg(&lease);
    pipeline.cmd("PTTL").arg(&lease);
    look(&mut pipeline, &[key], wire);
    pipeline
}

/// What their answers say. What the server refuses to say beside the value is not told.
pub(in crate::redis) fn inspected(
    beside: Vec<Result<Value, Fault>>,
    look: Vec<Value>,
    wire: Wire,
) -> Result<Inspected, Fault> {
    let found = found(look, 1, wire)?.pop().unwrap_or(Err(Fault::Timeout))?;
    let mut beside = beside.into_iter().map(|answer| outcome(answer?));
    let mut next = || beside.next().unwrap_or(Err(Fault::Timeout));
    let (kept, holder, lease_left) = (next(), next(), next());
    let span = |answer: Result<Value, Fault>| left(&answer.ok()?).ok()?;
    let mut seen = Inspected::of(found);
    if seen.found.is_some() {
        seen.kept = span(kept);
    }
    seen.lease = match holder {
        Ok(Value::Nil) => LeaseSeen::FREE,
        Ok(Value::BulkString(text)) => {
            let holder = match text.first() {
                Some(b'!') => Holder::Failing,
                _ if text.contains(&b'@') => Holder::Insert,
                _ => Holder::Load,
            };
            LeaseSeen::new(holder, span(lease_left))
        }
        Ok(_) | Err(_) => LeaseSeen::UNTOLD,
    };
    Ok(seen)
}
