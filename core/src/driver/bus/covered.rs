//! The prefixes that a subscription covers, and how it grows.

/// What a subscription covers. It grows with the caches that come, and forgets none that goes.
#[derive(Debug)]
pub(crate) struct Covered(Vec<String>);

/// What a subscription needs to cover more prefixes.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Growth {
    /// Nothing: it covers them.
    None,
    /// These, none of which begins another or one that it covers.
    More(Vec<String>),
    /// Another subscription. A prefix begins one that is covered, or most of what is covered
    /// belongs to caches that are gone.
    Anew,
}

impl Covered {
    pub(crate) fn new(prefixes: Vec<String>) -> Self {
        Self(prefixes)
    }

    /// What it needs to cover these, too, when the node has `living` caches.
    pub(crate) fn growth(&self, wanted: Vec<String>, living: usize) -> Growth {
        let mut more: Vec<String> = Vec::new();
        for prefix in wanted {
            let mut there = self.0.iter().chain(&more);
            let covers = |known: &&String| known.is_empty() || **known == prefix;
            if there.clone().any(|known| covers(&known)) {
                continue;
            }
            // Nor is it enough that a known one begins it: beside its keys each namespace has a log of its own.
            if there.any(|known| known.starts_with(&*prefix) || prefix.starts_with(&**known)) {
                return Growth::Anew;
            }
            more.push(prefix);
        }
        if more.is_empty() {
            Growth::None
        } else if self.0.len() + more.len() > living.saturating_mul(2) + SPARE {
            Growth::Anew
        } else {
            Growth::More(more)
        }
    }

    /// It covers these, too.
    pub(crate) fn add(&mut self, more: Vec<String>) {
        self.0.extend(more);
    }
}

/// How many prefixes of caches that are gone are carried along in any case.
const SPARE: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(texts: &[&str]) -> Vec<String> {
        texts.iter().map(|&text| text.into()).collect()
    }

    fn grown(covered: &[&str], wanted: &[&str]) -> Growth {
        Covered::new(texts(covered)).growth(texts(wanted), covered.len())
    }

    #[test]
    fn what_is_covered_is_not_asked_for() {
        assert_eq!(grown(&["a:", "b:"], &["b:", "a:"]), Growth::None);
        assert_eq!(grown(&[""], &["a:"]), Growth::None);
        let more = texts(&["c:", "d:"]);
        assert_eq!(
            grown(&["a:"], &["c:", "a:", "d:", "c:"]),
            Growth::More(more)
        );
    }

    #[test]
    fn who_begins_another_needs_a_new_one() {
        assert_eq!(grown(&["a:1:"], &["b:", "a:"]), Growth::Anew);
        assert_eq!(grown(&["a:"], &[""]), Growth::Anew);
        assert_eq!(grown(&["a:"], &["a:1:"]), Growth::Anew);
    }

    #[test]
    fn what_belongs_to_nobody_is_bounded() {
        let mut covered = Covered::new(texts(&["a:"]));
        let mut count = 1;
        while let Growth::More(more) = covered.growth(vec![format!("{count}:")], 10) {
            covered.add(more);
            count += 1;
        }
        assert_eq!(count, 20 + SPARE);
        let next = covered.growth(vec!["next:".into()], 1000);
        assert_eq!(next, Growth::More(texts(&["next:"])));
    }
}
