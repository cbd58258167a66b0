//! Keys as text: what L2 needs of a key.

#[doc(hidden)]
pub mod parts;

use alloc::borrow::ToOwned;
use alloc::boxed::Box;
use alloc::string::String;
use core::fmt::{self, Write};
use core::str::FromStr;

use crate::machine::counted::Arc;
use crate::ports::key::parts::{Reader, Writer};

/// A key that has a text form and can be read back from it. Needed only with an L2 or a bus.
///
/// Two different keys must have different texts. A type with `Display` and `FromStr` is a key as
/// [`Text<T>`]; a key of several parts is a tuple (with `Arc<str>` for text, so that asking for one
/// allocates nothing); another is derived (feature `macros` of the runtime crates), or written by hand:
///
/// ```
/// # use jetcache_core::doc::runtime as jetcache_tokio;
/// use jetcache_tokio::Key;
///
/// #[derive(Clone, PartialEq, Eq, Hash)]
/// struct UserId(u64);
///
/// impl Key for UserId {
///     fn write(&self, out: &mut String) {
///         self.0.write(out);
///     }
///     fn parse(text: &str) -> Option<Self> {
///         u64::parse(text).map(Self)
///     }
/// }
/// ```
///
/// ```
/// # use jetcache_core::doc::runtime as jetcache_tokio;
/// use jetcache_tokio::Key;
///
/// let mut text = String::new();
/// (7_u32, "a:b".to_string()).write(&mut text);
/// assert_eq!(text, r"7:a\:b");
/// assert_eq!(<(u32, String)>::parse(&text), Some((7, "a:b".to_string())));
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` has no text form that an L2 could use as a key",
    note = "implement `Key`, or wrap a type with `Display` and `FromStr` in `Text`"
)]
pub trait Key: Sized {
    /// Appends the key's text.
    fn write(&self, out: &mut String);
    /// The key that has this text.
    fn parse(text: &str) -> Option<Self>;
}

/// A key that is written by its `Display` and parsed by its `FromStr`, which must be each other's
/// inverse.
///
/// ```
/// # use jetcache_core::doc::runtime as jetcache_tokio;
/// use jetcache_tokio::{Key, Text};
///
/// let key = Text(std::net::Ipv4Addr::LOCALHOST);
/// let mut text = String::new();
/// key.write(&mut text);
/// assert_eq!(text, "127.0.0.1");
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Text<T>(pub T);

impl<T: fmt::Display + FromStr> Key for Text<T> {
    fn write(&self, out: &mut String) {
        display(&self.0, out);
    }

    fn parse(text: &str) -> Option<Self> {
        text.parse().ok().map(Self)
    }
}

fn display(value: &impl fmt::Display, out: &mut String) {
    // Writing to a String fails only if the value's own Display does; what it wrote stands.
    let _ = write!(out, "{value}");
}

macro_rules! by_text {
    ($($t:ty),*) => {$(
        impl Key for $t {
            fn write(&self, out: &mut String) {
                display(self, out);
            }
            fn parse(text: &str) -> Option<Self> {
                text.parse().ok()
            }
        }
    )*};
}

by_text!(
    u8, u16, u32, u64, u128, usize, i8, i16, i32, i64, i128, isize, bool, char
);

#[cfg(feature = "uuid")]
by_text!(uuid::Uuid);

impl Key for String {
    fn write(&self, out: &mut String) {
        out.push_str(self);
    }

    fn parse(text: &str) -> Option<Self> {
        Some(text.to_owned())
    }
}

macro_rules! by_str {
    ($($t:ty),*) => {$(
        impl Key for $t {
            fn write(&self, out: &mut String) {
                out.push_str(self);
            }
            fn parse(text: &str) -> Option<Self> {
                Some(text.into())
            }
        }
    )*};
}

by_str!(Box<str>, Arc<str>);

macro_rules! by_parts {
    ($(($($t:ident $i:tt),+))*) => {$(
        impl<$($t: Key),+> Key for ($($t,)+) {
            fn write(&self, out: &mut String) {
                let mut parts = Writer::new(out);
                $(parts.part(|out| self.$i.write(out));)+
            }
            fn parse(text: &str) -> Option<Self> {
                let mut parts = Reader::new(text)?;
                let key = ($($t::parse(&parts.next_text()?)?,)+);
                parts.end().map(|()| key)
            }
        }
    )*};
}

by_parts! { (A 0, B 1) (A 0, B 1, C 2) (A 0, B 1, C 2, D 3) }

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;

    fn round<K: Key + PartialEq + fmt::Debug>(key: K) -> String {
        let mut text = String::new();
        key.write(&mut text);
        assert_eq!(K::parse(&text), Some(key), "{text}");
        text
    }

    #[test]
    fn keys_are_read_back_from_their_text() {
        assert_eq!(round(-7_i64), "-7");
        assert_eq!(round("a b".to_string()), "a b");
        assert_eq!(round(Arc::<str>::from("x")), "x");
        assert_eq!(round(Text(1.5_f64)), "1.5");
        round((String::new(), 3_u8, r"\:".to_string()));
    }

    #[test]
    fn different_tuples_have_different_texts() {
        let one = round(("a:b".to_string(), "c".to_string()));
        let two = round(("a".to_string(), "b:c".to_string()));
        assert_ne!(one, two);
    }

    #[test]
    fn a_text_with_too_many_parts_is_no_key() {
        assert_eq!(<(u8, u8)>::parse("1:2:3"), None);
        assert_eq!(<(u8, u8)>::parse("1"), None);
    }
}
