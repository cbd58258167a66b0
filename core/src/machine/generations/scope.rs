//! What a raise is about: the whole namespace, a tag, or some keys.

use alloc::format;
use alloc::string::String;
use core::fmt;

/// The number of a raise. All raises of a namespace, whatever their scope, stand on one line of
/// numbers, which L2 gives out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Mark(u64);

impl Mark {
    /// Below every number that was ever given out.
    pub const NONE: Self = Self(0);

    /// From here on nothing is a number: microseconds reach it in 2255. Scripts are exact up to 2^53, so
    /// all that is left out has been written by a stranger, and could not be followed by another number.
    pub const END: Self = Self(9_000_000_000_000_000);

    /// The mark of this number.
    #[must_use]
    pub const fn new(number: u64) -> Self {
        Self(number)
    }

    /// Its number.
    #[must_use]
    pub const fn number(self) -> u64 {
        self.0
    }

    /// The mark that this text says, as L2 holds it: below [`END`](Self::END).
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let digits = text.bytes().all(|byte| byte.is_ascii_digit());
        let mark = text.parse().ok().map(Self);
        mark.filter(|mark| digits && *mark < Self::END)
    }
}

/// As L2 holds it: a decimal number.
impl fmt::Display for Mark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// What a raise is about. Tags and keys stand in 65,536 buckets each; those that share one share its
/// raises, which costs misses and nothing else.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Scope {
    /// Every value of the namespace.
    All,
    /// The values with a tag of this bucket.
    Tag(u16),
    /// The keys of this bucket.
    Key(u16),
}

impl Scope {
    /// The scope of a tag.
    #[must_use]
    pub fn of_tag(tag: &str) -> Self {
        Self::Tag(bucket(tag))
    }

    /// The scope of a key, by its text in L2.
    #[must_use]
    pub fn of_key(text: &str) -> Self {
        Self::Key(bucket(text))
    }

    /// Its name in the log of L2: `*`, `t9fa3`, `k9fa3`.
    #[must_use]
    pub fn member(self) -> String {
        match self {
            Self::All => "*".into(),
            Self::Tag(bucket) => format!("t{bucket:04x}"),
            Self::Key(bucket) => format!("k{bucket:04x}"),
        }
    }

    /// The scope of this name.
    #[must_use]
    pub fn parse(member: &str) -> Option<Self> {
        if member == "*" {
            return Some(Self::All);
        }
        let digits = member.get(1..).filter(|digits| digits.len() == 4)?;
        let bucket = u16::from_str_radix(digits, 16).ok()?;
        let scope = match member.as_bytes().first()? {
            b't' => Self::Tag(bucket),
            b'k' => Self::Key(bucket),
            _ => return None,
        };
        // One name a scope: `T9FA3` and `t+fa3` are none.
        (scope.member() == member).then_some(scope)
    }
}

/// What a raise tells the other nodes: its number and the one before it, and its scopes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RaiseEvent {
    /// The highest number before it; `None` if L2 has given it none, since there is no L2.
    pub numbers: Option<(Mark, Mark)>,
    /// What was raised.
    pub scopes: alloc::vec::Vec<Scope>,
}

impl RaiseEvent {
    /// The first of the event's texts, without the namespace: `before>number`.
    #[must_use]
    pub fn head(&self) -> String {
        match self.numbers {
            Some((before, number)) => format!("{before}>{number}"),
            None => ">".into(),
        }
    }

    /// The texts of a message about it, each behind the namespace, so that it reaches those who listen
    /// for that.
    #[must_use]
    pub fn texts(&self, namespace: &str) -> alloc::vec::Vec<String> {
        let members = self.scopes.iter().map(|scope| scope.member());
        core::iter::once(self.head())
            .chain(members)
            .map(|text| format!("{namespace}{text}"))
            .collect()
    }

    /// The event that these texts say, the namespace taken off. `None` if they are none.
    #[must_use]
    pub fn parse<'a>(mut texts: impl Iterator<Item = &'a str>) -> Option<Self> {
        let (before, number) = texts.next()?.split_once('>')?;
        let numbers = match (before, number) {
            ("", "") => None,
            _ => Some((Mark::parse(before)?, Mark::parse(number)?)),
        };
        let scopes = texts.map(Scope::parse).collect::<Option<_>>()?;
        Some(Self { numbers, scopes })
    }
}

/// The name of the key under which L2 keeps the highest number of a namespace. `prefix` is what the
/// namespace's keys begin with.
#[must_use]
pub fn top_key(prefix: &str) -> String {
    log_key(prefix, TOP_SUFFIX)
}

/// The name of the key under which L2 keeps the number of the last raise of each scope.
#[must_use]
pub fn list_key(prefix: &str) -> String {
    log_key(prefix, LIST_SUFFIX)
}

/// Both in one slot of a cluster, and named as the lease of a key with this text would be, so that
/// who may have leases may have a log.
fn log_key(prefix: &str, suffix: &str) -> String {
    let tagged = prefix
        .split_once('{')
        .and_then(|(_, rest)| rest.split_once('}'))
        .is_some_and(|(tag, _)| !tag.is_empty());
    if tagged {
        format!("{prefix}{suffix}")
    } else if prefix.is_empty() || prefix.contains('}') {
        format!("{{0}}{prefix}{suffix}")
    } else {
        format!("{{{prefix}}}{suffix}")
    }
}

/// The bucket of a text: its CRC-16 as Redis's cluster has it (CRC-16/XMODEM), all 16 bits.
#[must_use]
pub const fn bucket(text: &str) -> u16 {
    let bytes = text.as_bytes();
    let (mut sum, mut at) = (0_u16, 0);
    while at < bytes.len() {
        sum = (sum << 8) ^ TABLE[(sum >> 8) as usize ^ bytes[at] as usize];
        at += 1;
    }
    sum
}

/// What the key of the highest number ends in.
pub const TOP_SUFFIX: &str = "#gen";
/// What the key of the list ends in.
pub const LIST_SUFFIX: &str = "#raised";

const TABLE: [u16; 256] = {
    let (mut table, mut at) = ([0_u16; 256], 0);
    while at < 256 {
        let (mut sum, mut bit) = ((at as u16) << 8, 0);
        while bit < 8 {
            sum = if sum & 0x8000 == 0 {
                sum << 1
            } else {
                (sum << 1) ^ 0x1021
            };
            bit += 1;
        }
        table[at] = sum;
        at += 1;
    }
    table
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_is_the_crc_of_redis() {
        assert_eq!(bucket("123456789"), 0x31C3);
        assert_eq!(bucket(""), 0);
    }

    #[test]
    fn a_number_is_what_another_one_can_follow() {
        for number in [7, 8_999_999_999_999_999] {
            assert_eq!(Mark::parse(&format!("{number}")), Some(Mark::new(number)));
        }
        for text in [
            "",
            "+7",
            "-7",
            "7 ",
            "9000000000000000",
            "9007199254740991",
            "99999999999999999999",
            "x",
        ] {
            assert_eq!(Mark::parse(text), None, "{text}");
        }
    }

    #[test]
    fn members_are_read_as_they_are_written() {
        for scope in [
            Scope::All,
            Scope::Tag(0),
            Scope::Key(0xFFFF),
            Scope::Tag(0x9FA3),
        ] {
            assert_eq!(Scope::parse(&scope.member()), Some(scope));
        }
        for junk in [
            "", "t", "t123", "t12345", "T1234", "tABCD", "t+123", "x1234", "**", "té12",
        ] {
            assert_eq!(Scope::parse(junk), None, "{junk}");
        }
    }

    #[test]
    fn an_event_is_read_as_it_is_written() {
        for numbers in [None, Some((Mark::new(3), Mark::new(1_234_567_890_123_456)))] {
            let scopes = alloc::vec![Scope::All, Scope::Tag(7)];
            let event = RaiseEvent { numbers, scopes };
            let texts = event.texts("ns:");
            let texts = texts.iter().map(|text| text.strip_prefix("ns:").unwrap());
            assert_eq!(RaiseEvent::parse(texts), Some(event));
        }
        for junk in [&["3"][..], &["3>x"], &["3>4", "?"], &[]] {
            assert_eq!(RaiseEvent::parse(junk.iter().copied()), None, "{junk:?}");
        }
    }

    #[test]
    fn the_log_lies_in_one_slot() {
        for (prefix, top) in [
            ("ns:", "{ns:}#gen"),
            ("", "{0}#gen"),
            ("a{b}c:", "a{b}c:#gen"),
            ("a}b:", "{0}a}b:#gen"),
            ("a{}b:", "{0}a{}b:#gen"),
            ("a{b:", "{a{b:}#gen"),
        ] {
            assert_eq!(top_key(prefix), top);
            assert_eq!(list_key(prefix), top.replace("#gen", "#raised"));
        }
    }
}
