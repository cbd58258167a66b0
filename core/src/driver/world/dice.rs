//! Random bits from the operating system, fetched some at a time.

use core::cell::RefCell;
use core::hash::BuildHasher;
use std::hash::RandomState;

/// 128 random bits that nobody else gets.
#[must_use]
pub fn roll() -> u128 {
    POOL.with_borrow_mut(Pool::draw)
}

thread_local! {
    static POOL: RefCell<Pool> = const { RefCell::new(Pool::EMPTY) };
}

struct Pool {
    bits: [u8; ROLLS * 16],
    used: usize,
}

impl Pool {
    const EMPTY: Self = Self {
        bits: [0; ROLLS * 16],
        used: ROLLS,
    };

    fn draw(&mut self) -> u128 {
        if self.used == ROLLS {
            if getrandom::fill(&mut self.bits).is_err() {
                return from_hasher();
            }
            self.used = 0;
        }
        let mut sixteen = [0; 16];
        let at = self.used * 16;
        // Wiped, so that nothing in memory repeats a token.
        sixteen.swap_with_slice(&mut self.bits[at..at + 16]);
        self.used += 1;
        u128::from_le_bytes(sixteen)
    }
}

/// Many rolls out of one, for questions that are asked together: splitmix64 (Steele, Lea and Flood
/// 2014) on each half. As long as the first ones differ, so do all.
pub(crate) struct Rolls(u128);

impl Rolls {
    pub(crate) const fn from(first: u128) -> Self {
        Self(first)
    }

    pub(crate) fn draw(&mut self) -> u128 {
        const GOLDEN: u128 = 0x9E37_79B9_7F4A_7C15_F39C_C060_5CED_C835;
        self.0 = self.0.wrapping_add(GOLDEN);
        let high = mix((self.0 >> 64) as u64);
        // Each half depends on both, and no two states give the same bits.
        let low = mix(self.0 as u64 ^ high);
        u128::from(high) << 64 | u128::from(low)
    }
}

const fn mix(mut half: u64) -> u64 {
    half = (half ^ (half >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    half = (half ^ (half >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    half ^ (half >> 31)
}

/// If the system has no random bits to give, the standard library's hasher still has a seed.
fn from_hasher() -> u128 {
    let half = || u128::from(RandomState::new().hash_one(std::time::Instant::now()));
    half() << 64 | half()
}

/// How many rolls one system call brings.
const ROLLS: usize = 32;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_roll_repeats() {
        let rolls: std::collections::HashSet<u128> = (0..10_000).map(|_| roll()).collect();
        assert_eq!(rolls.len(), 10_000);
    }

    #[test]
    fn no_roll_out_of_one_repeats() {
        let mut drawn = std::collections::HashSet::new();
        for first in 0..100 {
            let mut rolls = Rolls::from(first << 64);
            assert!((0..1000).all(|_| drawn.insert(rolls.draw())));
        }
        let low: std::collections::HashSet<u32> = drawn.iter().map(|roll| *roll as u32).collect();
        assert!(low.len() > 99_000, "{} of 100,000", low.len());
    }
}
