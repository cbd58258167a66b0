//! Keys as text: what L2 needs of a key.

use alloc::borrow::ToOwned;
use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt::{self, Write};
use core::str::FromStr;

use crate::machine::counted::Arc;

/// A key that has a text form and can be read back from it. Needed only with an L2 or a bus.
///
/// Two different keys must have different texts. A type with `Display` and `FromStr` is a key as
/// [`Text<T>`]; a key of several parts is a tuple (with `Arc<str>` for text, so that asking for one
/// allocates nothing); another is written by hand:
///
/// ```
/// use jetcache_core::Key;
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
/// use jetcache_core::Key;
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
/// use jetcache_core::{Key, Text};
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

/// The parts' texts joined by `:`; a `:` or `\` inside a part is written `\:` or `\\`.
macro_rules! by_parts {
    ($(($($t:ident $i:tt),+))*) => {$(
        impl<$($t: Key),+> Key for ($($t,)+) {
            fn write(&self, out: &mut String) {
                $(write_part($i, &self.$i, out);)+
            }
            fn parse(text: &str) -> Option<Self> {
                let mut parts = split(text)?.into_iter();
                let key = ($($t::parse(&parts.next()?)?,)+);
                parts.next().is_none().then_some(key)
            }
        }
    )*};
}

by_parts! { (A 0, B 1) (A 0, B 1, C 2) (A 0, B 1, C 2, D 3) }

fn write_part(index: usize, part: &impl Key, out: &mut String) {
    if index > 0 {
        out.push(':');
    }
    let mut text = String::new();
    part.write(&mut text);
    for c in text.chars() {
        if matches!(c, ':' | '\\') {
            out.push('\\');
        }
        out.push(c);
    }
}

fn split(text: &str) -> Option<Vec<String>> {
    let mut parts = alloc::vec![String::new()];
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match c {
            ':' => parts.push(String::new()),
            '\\' => parts.last_mut()?.push(chars.next()?),
            c => parts.last_mut()?.push(c),
        }
    }
    Some(parts)
}

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
