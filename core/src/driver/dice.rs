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

/// Where the operating system has no random bits to give, the standard library's hasher still has
/// a seed of its own.
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
}
