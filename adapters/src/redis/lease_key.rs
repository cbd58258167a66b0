//! The names of what stands beside a value's key, in the same cluster slot: its lease, and in the
//! jetcache-go format the mark of what a load has stored, which ends in `#fill`.
//!
//! | key | lease |
//! |---|---|
//! | carries a hash tag | `key#lease` |
//! | has neither a tag nor a `}` | `{key}#lease` |
//! | has a `}` and no tag | `{n}key#lease`, n the smallest natural number (from 0) with the key's slot |
//!
//! A hash tag, to a Redis cluster, is what stands between the first `{` and the next `}` after it,
//! if that is not nothing; a key with one lies in its tag's slot.

use std::fmt;
use std::sync::LazyLock;

use jetcache_core::machine::generations::scope::{LIST_SUFFIX, bucket};

/// The name of the lease of `key`.
pub(super) fn lease_key(key: &str) -> Sibling<'_> {
    let suffix = "#lease";
    Sibling { key, suffix }
}

/// The name of the mark of `key`.
pub(super) fn mark_key(key: &str) -> Sibling<'_> {
    let suffix = "#fill";
    Sibling { key, suffix }
}

/// The name of what stands beside a key.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sibling<'a> {
    key: &'a str,
    suffix: &'static str,
}

impl fmt::Display for Sibling<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { key, suffix } = *self;
        if tag(key).is_some() {
            f.write_str(key)?;
        } else if key.contains('}') || key.is_empty() {
            write!(f, "{{{}}}{key}", NUMBERS[slot(key)])?;
        } else {
            f.write_str("{")?;
            f.write_str(key)?;
            f.write_str("}")?;
        }
        f.write_str(suffix)
    }
}

/// Whether this is the name of some key's lease, or of a namespace's list of raised scopes. Keys of
/// values do not end like these.
pub(super) fn is_aside(key: &str) -> bool {
    key.ends_with("#lease") || key.ends_with(LIST_SUFFIX)
}

fn tag(key: &str) -> Option<&str> {
    let (_, rest) = key.split_once('{')?;
    let (tag, _) = rest.split_once('}')?;
    (!tag.is_empty()).then_some(tag)
}

/// The slot in which a cluster has `key`.
pub(crate) fn slot(key: &str) -> usize {
    usize::from(bucket(tag(key).unwrap_or(key))) % SLOTS
}

/// For each slot the smallest number that lies in it. Keys that need one are rare, so the table is
/// made when the first comes.
static NUMBERS: LazyLock<Box<[u32]>> = LazyLock::new(|| {
    let mut numbers = vec![None; SLOTS];
    let mut missing = SLOTS;
    for n in 0_u32.. {
        let number = &mut numbers[slot(&n.to_string())];
        if number.is_none() {
            *number = Some(n);
            missing -= 1;
        }
        if missing == 0 {
            break;
        }
    }
    numbers.into_iter().flatten().collect()
});

/// How many slots a cluster has.
pub(crate) const SLOTS: usize = 16_384;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_slots_are_the_clusters() {
        // From the cluster specification, and from `CLUSTER KEYSLOT`.
        assert_eq!(slot("foo"), 12_182);
        assert_eq!(slot("somekey"), 11_058);
        assert_eq!(slot("foo{hash_tag}"), 2_515);
        assert_eq!(slot("bar{hash_tag}"), 2_515);
    }

    #[test]
    fn a_tag_is_what_a_cluster_takes_for_one() {
        assert_eq!(tag("{user1000}.following"), Some("user1000"));
        assert_eq!(tag("foo{}{bar}"), None);
        assert_eq!(tag("foo{{bar}}zap"), Some("{bar"));
        assert_eq!(tag("foo{bar}{zap}"), Some("bar"));
        assert_eq!(tag("a}b{c"), None);
    }

    #[test]
    fn a_lease_is_named_after_its_key() {
        assert_eq!(lease_key("ns:1").to_string(), "{ns:1}#lease");
        assert_eq!(lease_key("ns:{1}:a").to_string(), "ns:{1}:a#lease");
        assert_eq!(lease_key("ns:{1").to_string(), "{ns:{1}#lease");
        assert!(lease_key("ns:}1").to_string().ends_with("}ns:}1#lease"));
    }

    #[test]
    fn a_lease_lies_in_the_slot_of_its_key() {
        for key in [
            "a", "{", "}", "{}", "{}a", "a}b", "a{b", "{a}b", "a}{b", "{{}}", "", "{}{a}", "ü}",
        ] {
            let lease = lease_key(key).to_string();
            assert_eq!(slot(&lease), slot(key), "{key} {lease}");
            assert_ne!(lease, key);
            assert_eq!(slot(&mark_key(key).to_string()), slot(key), "{key}");
        }
    }

    #[test]
    fn the_number_is_the_smallest() {
        let wanted = slot("a}b");
        let smallest = (0_u32..).find(|n| slot(&n.to_string()) == wanted).unwrap();
        assert_eq!(
            lease_key("a}b").to_string(),
            format!("{{{smallest}}}a}}b#lease")
        );
    }
}
