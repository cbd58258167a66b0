//! The changes of a shard that ended last, so that a read of L2 that is under way can find out
//! whether its key was changed meanwhile.

/// How many changes had ended in a shard.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::machine) struct Era(u64);

/// The changes that ended last, by the hashes of their keys.
#[derive(Debug)]
pub(in crate::machine) struct Eras {
    now: Era,
    /// The change that began era `n` stands at `n % LAST`.
    last: [u64; LAST],
}

impl Default for Eras {
    fn default() -> Self {
        Self {
            now: Era::default(),
            last: [0; LAST],
        }
    }
}

impl Eras {
    pub(in crate::machine) fn now(&self) -> Era {
        self.now
    }

    /// A change of the key with this hash has ended.
    pub(in crate::machine) fn begin(&mut self, hash: u64) {
        self.now.0 += 1;
        self.last[at(self.now.0)] = hash;
    }

    /// Every key has changed.
    pub(in crate::machine) fn begin_all(&mut self) {
        // Past everything that is remembered, so that every read under way counts as overtaken.
        self.now.0 += LAST as u64 + 1;
    }

    /// Whether a change of the key with this hash may have ended since.
    pub(in crate::machine) fn has_ended(&self, hash: u64, since: Era) -> bool {
        let (now, since) = (self.now.0, since.0);
        now - since > LAST as u64 || (since + 1..=now).any(|era| self.last[at(era)] == hash)
    }
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "the remainder is below LAST"
)]
const fn at(era: u64) -> usize {
    (era % LAST as u64) as usize
}

/// How many ended changes a shard remembers.
const LAST: usize = 32;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_of_the_key_is_remembered() {
        let mut eras = Eras::default();
        let before = eras.now();
        assert!(!eras.has_ended(7, before));
        eras.begin(8);
        assert!(!eras.has_ended(7, before));
        eras.begin(7);
        assert!(eras.has_ended(7, before));
        assert!(!eras.has_ended(7, eras.now()), "it ended before");
    }

    #[test]
    fn what_is_forgotten_counts_as_changed() {
        let mut eras = Eras::default();
        let before = eras.now();
        for hash in 0..LAST as u64 {
            eras.begin(1000 + hash);
            assert!(!eras.has_ended(7, before));
        }
        eras.begin(2000);
        assert!(eras.has_ended(7, before));
        let before = eras.now();
        eras.begin_all();
        assert!(eras.has_ended(7, before));
        assert!(!eras.has_ended(7, eras.now()));
    }
}
