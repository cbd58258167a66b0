//! Keys as engines hold them, and as they are looked for: both are hashed once, by the same hasher.

use std::hash::{BuildHasher, Hash, Hasher};
use std::sync::LazyLock;

use jetcache_core::{Equivalent, KeyHash, Probe};

/// A key in an engine: a `Moka` or `QuickCache` of one's own making
/// holds these. It feeds any hasher a hash that it has already.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EngineKey<K>(pub(super) K);

impl<K> EngineKey<K> {
    /// The key itself.
    pub const fn key(&self) -> &K {
        &self.0
    }
}

impl<K: Hash> Hash for EngineKey<K> {
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

impl<K> Equivalent<EngineKey<K>> for Sought<'_, K> {
    #[inline]
    fn equivalent(&self, key: &EngineKey<K>) -> bool {
        self.0.is(&key.0)
    }
}

/// The hasher for [`EngineKey`]s: it takes the hash that they feed for what it is, and so costs nothing.
/// That hash is keyed at random and withstands hostile keys.
#[derive(Clone, Copy, Debug, Default)]
pub struct EngineHasher;

impl BuildHasher for EngineHasher {
    type Hasher = Through;

    #[inline]
    fn build_hasher(&self) -> Through {
        Through(0)
    }
}

/// The state of an [`EngineHasher`].
#[derive(Clone, Copy, Debug)]
pub struct Through(u64);

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
