//! `jetcache scan`: what stands under all keys of a cache.

mod report;
mod tally;

use std::collections::HashSet;
use std::io::{IsTerminal, Write, stderr, stdout};
use std::time::{Duration, Instant};

use jetcache_core::Wire;
use redis::{Connection, Value};

use crate::args::Scan;
use crate::entry::look;
use crate::failure::Failure;
use crate::scan::tally::Tally;

pub(crate) fn run(options: &Scan) -> Result<(), Failure> {
    let mut connection = options.server.connect()?;
    let mut tally = Tally::default();
    let mut progress = Progress::new();
    let pattern = format!("*{}*", escaped(&options.prefix));
    // A scan may show a key twice.
    let mut known: HashSet<Vec<u8>> = HashSet::new();
    let mut cursor = 0_u64;
    loop {
        let mut scan = redis::cmd("SCAN");
        scan.arg(cursor).arg("MATCH").arg(&pattern);
        scan.arg("COUNT").arg(AT_ONCE);
        let (next, keys): (u64, Vec<Vec<u8>>) = scan.query(&mut connection)?;
        let mut fresh = Vec::new();
        for key in keys {
            let Some(role) = role(&key, options.prefix.as_bytes()) else {
                continue;
            };
            if known.len() >= options.limit {
                tally.is_cut = true;
                break;
            }
            if !known.insert(key.clone()) {
                continue;
            }
            match role {
                Role::Entry => {
                    if tally.entries.is_multiple_of(options.sample) {
                        fresh.push(key);
                    }
                    tally.entries += 1;
                }
                Role::Lease => tally.leases += 1,
                Role::Mark => tally.marks += 1,
                Role::Lock => tally.locks += 1,
            }
        }
        for keys in fresh.chunks(LOOKED_AT_ONCE) {
            look_at(&mut connection, keys, options.wire, &mut tally)?;
        }
        progress.show(known.len());
        cursor = next;
        if cursor == 0 || tally.is_cut {
            break;
        }
    }
    progress.end();
    Ok(stdout().write_all(report::of(&tally, options).as_bytes())?)
}

/// What a key that a scan shows stands for.
enum Role {
    Entry,
    Lease,
    Mark,
    Lock,
}

/// `None` if it is none of this prefix's. What stands beside an entry lies in braces, so that a cluster
/// has both in one slot: `{users:7}#lease`, or `{42}users:}7#lease`.
fn role(key: &[u8], prefix: &[u8]) -> Option<Role> {
    let of_prefix = key.starts_with(prefix);
    let beside = || {
        let inner = key.strip_prefix(b"{")?;
        let behind = inner.split(|&byte| byte == b'}').nth(1);
        let numbered = behind.is_some_and(|_| {
            let end = inner.iter().position(|&byte| byte == b'}').unwrap_or(0);
            inner[end + 1..].starts_with(prefix) && inner[..end].iter().all(u8::is_ascii_digit)
        });
        (inner.starts_with(prefix) || numbered).then_some(())
    };
    if !of_prefix && beside().is_none() {
        return None;
    }
    if key.ends_with(b"#lease") {
        Some(Role::Lease)
    } else if key.ends_with(b"#fill") {
        Some(Role::Mark)
    } else if key.ends_with(b"_#RL#") && of_prefix {
        Some(Role::Lock)
    } else {
        of_prefix.then_some(Role::Entry)
    }
}

/// Reads these keys, of long values the first bytes only.
fn look_at(
    connection: &mut Connection,
    keys: &[Vec<u8>],
    wire: Wire,
    tally: &mut Tally,
) -> Result<(), Failure> {
    let mut pipeline = redis::pipe();
    // A key of another type fails by itself.
    pipeline.ignore_errors();
    for key in keys {
        pipeline.cmd("STRLEN").arg(key);
        pipeline.cmd("PTTL").arg(key);
        pipeline.cmd("GETRANGE").arg(key).arg(0).arg(WHOLE - 1);
    }
    pipeline.cmd("TIME");
    let mut answers: Vec<Value> = pipeline.query(connection)?;
    let clock = answers.pop().as_ref().and_then(clock);
    for (key, answers) in keys.iter().zip(answers.chunks(3)) {
        let [size, kept, bytes] = answers else {
            continue;
        };
        let kept = match kept {
            // It has ended meanwhile.
            Value::Int(-2) => {
                tally.gone += 1;
                continue;
            }
            Value::Int(-1) => Some(Duration::MAX),
            Value::Int(millis) => u64::try_from(*millis).ok().map(Duration::from_millis),
            _ => None,
        };
        match (size, bytes) {
            (Value::Int(size), Value::BulkString(bytes)) => {
                let size = usize::try_from(*size).unwrap_or(usize::MAX);
                if size > bytes.len() {
                    tally.note_long(key, size);
                } else {
                    tally.note(key, &look(bytes, wire, clock, kept));
                }
            }
            (Value::ServerError(error), _) if error.to_string().contains("WRONGTYPE") => {
                tally.other_types += 1;
            }
            (Value::ServerError(error), _) | (_, Value::ServerError(error)) => {
                return Err(Failure::failed(format!("Redis: {error}")));
            }
            _ => tally.gone += 1,
        }
    }
    Ok(())
}

/// The server's clock in milliseconds.
fn clock(time: &Value) -> Option<u64> {
    let (seconds, micros): (u64, u64) = redis::from_redis_value_ref(time).ok()?;
    Some(seconds * 1000 + micros / 1000)
}

/// A text of which no character has a meaning in a pattern.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for char in text.chars() {
        if matches!(char, '*' | '?' | '[' | ']' | '\\' | '^' | '-') {
            escaped.push('\\');
        }
        escaped.push(char);
    }
    escaped
}

/// How far it is, on stderr: on a terminal all in one line.
struct Progress {
    next: Instant,
    terminal: bool,
}

impl Progress {
    fn new() -> Self {
        Self {
            next: Instant::now() + EVERY,
            terminal: stderr().is_terminal(),
        }
    }

    fn show(&mut self, keys: usize) {
        if Instant::now() >= self.next {
            self.next = Instant::now() + EVERY;
            let (start, end) = if self.terminal {
                ("\r", "")
            } else {
                ("", "\n")
            };
            // Nothing can be done about a stderr that is gone.
            let _ = write!(stderr(), "{start}jetcache: {keys} keys so far{end}");
        }
    }

    fn end(&self) {
        if self.terminal {
            let _ = write!(stderr(), "\r\x1b[K");
        }
    }
}

/// How many keys a server looks at for one answer.
const AT_ONCE: usize = 1000;
/// How many keys are read in one round trip: 16 MiB at most.
const LOOKED_AT_ONCE: usize = 64;
/// How long an entry may be to be read as a whole, in bytes.
const WHOLE: usize = 256 << 10;
/// How often the progress is shown.
const EVERY: Duration = Duration::from_millis(500);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_is_no_pattern() {
        assert_eq!(escaped("a*b?[c]\\"), "a\\*b\\?\\[c\\]\\\\");
        assert_eq!(escaped("users:é"), "users:é");
    }

    #[test]
    fn what_stands_beside_an_entry_is_known_by_its_name() {
        let of = |key: &str| role(key.as_bytes(), b"users:");
        assert!(matches!(of("users:7"), Some(Role::Entry)));
        assert!(matches!(of("{users:7}#lease"), Some(Role::Lease)));
        assert!(matches!(of("{42}users:}7#lease"), Some(Role::Lease)));
        assert!(matches!(of("users:{7}:a#lease"), Some(Role::Lease)));
        assert!(matches!(of("{users:7}#fill"), Some(Role::Mark)));
        assert!(matches!(of("users:7_#RL#"), Some(Role::Lock)));
        for others in [
            "orders:users:7",
            "{orders:7}#lease",
            "{users:7}",
            "{",
            "{x}users:7",
        ] {
            assert!(of(others).is_none(), "{others}");
        }
    }
}
