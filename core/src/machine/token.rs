//! The token by which L2 knows who holds a lease, and the random bits of which the machine makes it.

use core::fmt;

/// 128 random bits, never used twice. The holder of a key's lease has its token; L2 lets only that
/// token fill the key.
///
/// It is written as 32 lower-case hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Token(u128);

impl Token {
    /// The token made of these random bits.
    #[must_use]
    pub const fn from_bits(bits: u128) -> Self {
        Self(bits)
    }
}

impl fmt::Display for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Token({self})")
    }
}

/// 128 fresh random bits, for one question: most need none.
#[derive(Clone, Copy)]
pub enum Roll<'a> {
    /// These.
    Bits(u128),
    /// Those that this draws, if they are needed; others each time.
    Drawn(&'a dyn Fn() -> u128),
}

impl Roll<'_> {
    /// The bits.
    #[must_use]
    pub fn bits(self) -> u128 {
        match self {
            Self::Bits(bits) => bits,
            Self::Drawn(draw) => draw(),
        }
    }
}

impl fmt::Debug for Roll<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Roll").finish_non_exhaustive()
    }
}
