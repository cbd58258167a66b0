//! Keys as engines hold them, and as they are looked for: both are hashed once, by the same hasher.

use std::hash::{BuildHasherDefault, Hash, Hasher};
use std::sync::LazyLock;

use jetcache_core::{Equivalent, KeyHash, Probe};

/// A key in an engine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Stored<K>(pub(super) K);

impl<K: Hash> Hash for Stored<K> {
    #[inline]
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(HASH.of(&self.0));
    }
}

/// A key that is looked for.
pub(super) struct Sought<'a, K>(pub(super) &'a dyn Probe<K>);

impl<K> Hash for Sought<'_, K> {
    #[inline]
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.0.hash_by(&HASH));
    }
}

impl<K> Equivalent<Stored<K>> for Sought<'_, K> {
    #[inline]
    fn equivalent(&self, key: &Stored<K>) -> bool {
        self.0.is(&key.0)
    }
}

/// Takes the hash that these two feed for what it is.
pub(super) type Hashed = BuildHasherDefault<Through>;

#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Through(u64);

impl Hasher for Through {
    #[inline]
    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
    }

    #[inline]
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }
}

/// One for all engines, so that neither keys nor probes need carry it.
static HASH: LazyLock<KeyHash> = LazyLock::new(KeyHash::default);
