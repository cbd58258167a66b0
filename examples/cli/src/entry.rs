//! An entry as it can be seen from outside: without its codec, but with all compressions.

use std::time::Duration;

use jetcache_core::machine::tier::envelope;
use jetcache_core::machine::tier::wire::Trailed;
use jetcache_core::{EntryFormat, EntryKind, L2Entry, Unreadable, Wire};

/// What stands under a key, and how long it is decompressed.
#[derive(Debug)]
pub(crate) struct Seen {
    pub(crate) entry: L2Entry,
    /// The length of the value as its codec wrote it, if it is compressed and can be decompressed.
    pub(crate) plain: Option<usize>,
}

/// Takes an entry apart.
pub(crate) fn look(bytes: &[u8], wire: Wire, clock: Option<u64>, kept: Option<Duration>) -> Seen {
    let mut entry = L2Entry::of(bytes, wire, clock, kept);
    let block = match (entry.format, entry.compression) {
        (EntryFormat::Native, Some(id @ 1..)) => {
            let envelope = envelope::parse(bytes).ok();
            envelope.and_then(|envelope| Some((id, envelope.value?.1)))
        }
        // jetcache-go does not say what its codec is: this is how its MessagePack ends.
        (EntryFormat::JetcacheGo, _) if entry.kind == Some(EntryKind::Value) => {
            match Trailed::parse(bytes) {
                Some(Trailed::S2(block)) => Some((S2, block)),
                _ => None,
            }
        }
        _ => None,
    };
    let Some((id, block)) = block else {
        return Seen { entry, plain: None };
    };
    let plain = unpacked(id, block);
    match (entry.format, &plain) {
        (EntryFormat::Native, Err(why)) => entry.unreadable = Some(why.clone()),
        (EntryFormat::JetcacheGo, Ok(_)) => entry.compression = Some(S2),
        _ => {}
    }
    Seen {
        entry,
        plain: plain.ok(),
    }
}

fn unpacked(id: u8, block: &[u8]) -> Result<usize, Unreadable> {
    let methods = jetcache_tokio::compressions();
    let method = methods.iter().find(|method| method.id() == id);
    // What a user's own compression wrote is for its readers to judge.
    let method = method.ok_or(Unreadable::Compression(id))?;
    let mut plain = Vec::new();
    let done = method.decompress(block, LONGEST, &mut plain);
    done.map(|()| plain.len())
        .map_err(|why| Unreadable::Decompress {
            compression: id,
            why: why.to_string().into(),
        })
}

/// The number of S2.
const S2: u8 = 3;
/// As `max_value_size` is by default: 64 MiB.
const LONGEST: usize = 64 << 20;
