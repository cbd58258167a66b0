//! Turns keys into their texts in L2 and back.

use core::fmt;
use std::sync::Arc;

use crate::machine::error::Error;
use crate::machine::generations::scope::{LIST_SUFFIX, TOP_SUFFIX};
use crate::machine::tier::wire::Wire;

/// How one cache names its keys in L2: a prefix, then what the key itself writes.
pub(crate) struct Texts<K> {
    pub(crate) prefix: String,
    pub(crate) write: fn(&K, &mut String),
    pub(crate) parse: fn(&str) -> Option<K>,
    pub(crate) wire: Wire,
}

impl<K> Texts<K> {
    /// The key's text in L2; `None` if that is the name of a lease or the like, so that L2 cannot
    /// hold it.
    ///
    /// # Errors
    /// Those of [`write_to`](Self::write_to).
    pub(crate) fn of(&self, key: &K) -> Result<Option<Arc<str>>, Error> {
        let mut text = String::with_capacity(self.prefix.len() + USUAL_KEY);
        let can_be = self.write_to(&mut text, key)?;
        Ok(can_be.then(|| text.into()))
    }

    /// Puts the key's text in the place of `text`. Whether L2 can hold the key.
    ///
    /// # Errors
    /// [`Error::Key`] for a key whose text leaves the namespace.
    pub(crate) fn write_to(&self, text: &mut String, key: &K) -> Result<bool, Error> {
        text.clear();
        text.push_str(&self.prefix);
        (self.write)(key, text);
        if !text.starts_with(&self.prefix) {
            return Err(Error::Key(
                "its `Key::write` removed what stood before it: only append".into(),
            ));
        }
        Ok(!self.is_no_entry(text))
    }

    /// The key that has this text, if it is one of this cache's.
    pub(crate) fn parse(&self, text: &str) -> Option<K> {
        (self.parse)(text.strip_prefix(&self.prefix)?)
    }

    /// Whether this text names no entry but a lease, a part of the log of raises, the mark of a fill, or the
    /// lock of a refresh.
    pub(crate) fn is_no_entry(&self, text: &str) -> bool {
        let go = self.wire == Wire::JetcacheGo;
        text.ends_with(LEASE_SUFFIX)
            || !go && (text.ends_with(TOP_SUFFIX) || text.ends_with(LIST_SUFFIX))
            || go && (text.ends_with(LOCK_SUFFIX) || text.ends_with(MARK_SUFFIX))
    }
}

impl<K> fmt::Debug for Texts<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.prefix.fmt(f)
    }
}

/// Why a key that L2 cannot hold cannot be changed.
pub(crate) fn reserved() -> Error {
    let all = [
        LEASE_SUFFIX,
        MARK_SUFFIX,
        LOCK_SUFFIX,
        TOP_SUFFIX,
        LIST_SUFFIX,
    ]
    .join(", ");
    let why = format!(
        "it ends like the names of leases, marks and locks ({all}): it can be loaded, without L2, and \
         not be changed; rename it"
    );
    Error::Key(why.into())
}

/// The name of the lock by which jetcache-go's services take turns in refreshing a key.
pub(crate) fn lock_name(text: &str) -> String {
    format!("{text}{LOCK_SUFFIX}")
}

/// How long a key's text usually is, without the prefix.
pub(crate) const USUAL_KEY: usize = 16;
/// What the keys of leases end in.
const LEASE_SUFFIX: &str = "#lease";
/// What the marks of the jetcache-go format's fills end in.
const MARK_SUFFIX: &str = "#fill";
/// What the locks of jetcache-go's refreshes end in.
const LOCK_SUFFIX: &str = "_#RL#";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_that_does_not_only_append_is_refused() {
        let texts = Texts::<u8> {
            prefix: "users:".into(),
            write: |key, text| match key {
                0 => text.push('0'),
                1 => text.clear(),
                2 => *text = "orders:2".into(),
                _ => text.push_str("#lease"),
            },
            parse: |text| text.parse().ok(),
            wire: Wire::Native,
        };
        assert_eq!(texts.of(&0).unwrap().as_deref(), Some("users:0"));
        for key in 1..3 {
            assert!(matches!(texts.of(&key), Err(Error::Key(_))), "{key}");
        }
        assert_eq!(texts.of(&3).unwrap(), None);
    }
}
