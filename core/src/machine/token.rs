//! The token by which L2 knows who holds a lease.

use core::fmt;

/// 127 random bits, never used twice. The holder of a key's lease has its token; L2 lets only that
/// token fill the key.
///
/// It is written as 32 lower-case hexadecimal digits, an insert's with a `+` behind them.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Token(u128);

impl Token {
    /// The token made of these random bits but the highest.
    #[must_use]
    pub const fn from_bits(bits: u128) -> Self {
        Self(bits & !INSERTS)
    }

    /// The same for an insert: what it stores is nobody's to bring again, so the removal that
    /// answers a deletion by jetcache-go spares it (PROTOCOL.md, G2).
    #[must_use]
    pub const fn of_insert(bits: u128) -> Self {
        Self(bits | INSERTS)
    }

    /// Whether it is an insert's.
    #[must_use]
    pub const fn is_of_insert(self) -> bool {
        self.0 & INSERTS != 0
    }
}

/// The bit that tells an insert's token.
const INSERTS: u128 = 1 << 127;

impl fmt::Display for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mark = if self.is_of_insert() { "+" } else { "" };
        write!(f, "{:032x}{mark}", self.0 & !INSERTS)
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Token({self})")
    }
}
