//! Which keys of a storm have which tags, and which keys a raise is about.

use jetcache_core::ports::remote::Scope;

use crate::fate::ledger::Key;

/// The tags of a key's values. The last key has none: only a clear removes it by its namespace.
pub(crate) fn tags_of(key: Key) -> &'static [&'static str] {
    match key {
        5 => &[],
        1 | 3 => &[ODD],
        4 => &[EVEN, FOUR],
        _ => &[EVEN],
    }
}

/// The keys that have this tag; all of them for a clear.
pub(crate) fn keys_with(tag: Option<&str>) -> Vec<Key> {
    let has = |key: &Key| tag.is_none_or(|tag| tags_of(*key).contains(&tag));
    (0..MOST_KEYS).filter(has).collect()
}

/// The keys whose values these raises concern.
pub(crate) fn keys_of(scopes: &[Scope], namespace: &str) -> Vec<Key> {
    let concerns = |key: &Key| {
        let tags = tags_of(*key).iter().map(|tag| Scope::of_tag(tag));
        let own = [Scope::All, Scope::of_key(&format!("{namespace}{key}"))];
        tags.chain(own).any(|scope| scopes.contains(&scope))
    };
    (0..MOST_KEYS).filter(concerns).collect()
}

const EVEN: &str = "even";
const ODD: &str = "odd";
const FOUR: &str = "four";
/// All of them.
pub(crate) const TAGS: [&str; 3] = [EVEN, ODD, FOUR];
/// How many keys there are at most in a storm.
pub(crate) const MOST_KEYS: Key = 8;
