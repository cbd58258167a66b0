//! What a scan has counted.

use std::collections::BTreeMap;
use std::time::Duration;

use jetcache_core::{EntryKind, Freshness, L2Entry};

use crate::entry::Seen;

#[derive(Default)]
pub(crate) struct Tally {
    /// Keys of entries, whether they were looked into or not.
    pub(crate) entries: usize,
    pub(crate) leases: usize,
    pub(crate) marks: usize,
    pub(crate) locks: usize,
    /// It ended at its limit.
    pub(crate) is_cut: bool,
    /// Those that were looked into, by kind.
    pub(crate) looked: usize,
    pub(crate) values: usize,
    pub(crate) absent: usize,
    pub(crate) stale: usize,
    pub(crate) over: usize,
    /// Keys that hold no text.
    pub(crate) other_types: usize,
    /// They ended before they could be read.
    pub(crate) gone: usize,
    /// They are too long to be read as a whole.
    pub(crate) long: usize,
    /// Why how many cannot be read, and one of their keys.
    pub(crate) unreadable: BTreeMap<String, (usize, String)>,
    pub(crate) codecs: BTreeMap<String, usize>,
    pub(crate) compressions: BTreeMap<String, usize>,
    /// How long each is, in bytes.
    pub(crate) sizes: Vec<usize>,
    pub(crate) largest: Option<(usize, String)>,
    /// How many end within each of [`LIVES`], and for ever.
    pub(crate) lives: [usize; LIVES.len() + 1],
}

/// The upper ends of the classes of lives.
pub(crate) const LIVES: [(Duration, &str); 8] = [
    (Duration::ZERO, "over"),
    (Duration::from_secs(1), "1 s"),
    (Duration::from_secs(10), "10 s"),
    (Duration::from_secs(60), "1 min"),
    (Duration::from_secs(600), "10 min"),
    (Duration::from_secs(3600), "1 h"),
    (Duration::from_secs(86_400), "1 day"),
    (Duration::from_secs(86_400 * 365 * 100), "longer"),
];

impl Tally {
    /// An entry that was read.
    pub(crate) fn note(&mut self, key: &[u8], seen: &Seen) {
        let entry = &seen.entry;
        self.size(key, entry.size);
        if let Some(why) = &entry.unreadable {
            let reason = (self.unreadable.entry(why.to_string())).or_default();
            reason.0 += 1;
            if reason.1.is_empty() {
                reason.1 = shown(key);
            }
        }
        match entry.kind {
            Some(EntryKind::NotFound) => self.absent += 1,
            Some(_) => self.values += 1,
            None => {}
        }
        match entry.freshness {
            Some(Freshness::Stale) => self.stale += 1,
            Some(Freshness::Over) => self.over += 1,
            _ => {}
        }
        if let Some(id) = entry.codec {
            *self
                .codecs
                .entry(named(entry.codec_name(), id))
                .or_default() += 1;
        }
        if let Some(id) = entry.compression {
            let name = match id {
                0 => "none".to_owned(),
                id => named(entry.compression_name(), id),
            };
            *self.compressions.entry(name).or_default() += 1;
        }
        self.life(entry);
    }

    /// An entry that is too long to be read.
    pub(crate) fn note_long(&mut self, key: &[u8], size: usize) {
        self.size(key, size);
        self.long += 1;
    }

    fn size(&mut self, key: &[u8], size: usize) {
        self.looked += 1;
        self.sizes.push(size);
        if self
            .largest
            .as_ref()
            .is_none_or(|(largest, _)| size > *largest)
        {
            self.largest = Some((size, shown(key)));
        }
    }

    fn life(&mut self, entry: &L2Entry) {
        // Of what cannot be read nobody knows more than how long it is kept.
        if let Some(left) = entry.left.or(entry.kept) {
            let class = LIVES.iter().position(|(end, _)| left <= *end);
            self.lives[class.unwrap_or(LIVES.len())] += 1;
        }
    }
}

fn shown(key: &[u8]) -> String {
    String::from_utf8_lossy(key).escape_debug().to_string()
}

fn named(name: Option<&str>, id: u8) -> String {
    name.map_or_else(|| format!("number {id}"), str::to_owned)
}
