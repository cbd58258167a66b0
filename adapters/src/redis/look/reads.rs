//! Reads that go out together: one `MGET` for all of them.

use std::mem;

use jetcache_core::Fault;
use jetcache_core::machine::generations::scope::TOP_SUFFIX;
use jetcache_core::ports::remote::{Found, Wire};

use crate::redis::connection::line::Line;
use crate::redis::lanes::cargo::{Cargo, Outcomes};
use crate::redis::look::{ask, read};

/// The keys of several readers.
#[derive(Debug, Default)]
pub(in crate::redis) struct Reads {
    /// The keys, one behind the other.
    text: String,
    /// Where each of them ends.
    ends: Vec<usize>,
    /// The keys that many readers share, each with its place. They are asked for once.
    shared: Vec<(Box<str>, usize)>,
    /// The places of what the readers asked for, one reader behind the other.
    places: Vec<usize>,
}

impl Reads {
    fn place(&mut self, key: &str) -> usize {
        // The highest number of a namespace's log goes with every read of the namespace.
        let is_shared = key.ends_with(TOP_SUFFIX);
        if is_shared {
            let mut known = self.shared.iter();
            if let Some((_, place)) = known.find(|(known, _)| **known == *key) {
                return *place;
            }
        }
        let place = self.ends.len();
        self.text.push_str(key);
        self.ends.push(self.text.len());
        if is_shared && self.shared.len() < MOST_SHARED {
            self.shared.push((key.into(), place));
        }
        place
    }

    /// The keys to ask for.
    fn keys(&self) -> Vec<&str> {
        let mut start = 0;
        let key = |&end: &usize| self.text.get(mem::replace(&mut start, end)..end);
        // The ends are those of the keys that were put there.
        self.ends.iter().filter_map(key).collect()
    }

    /// What was found under the keys that were asked for, for each that the readers asked for.
    fn spread(&self, mut found: Outcomes<Self>) -> Outcomes<Self> {
        let places = self.places.iter();
        let outcomes = places.map(|&place| {
            let is_shared = self.shared.iter().any(|(_, shared)| *shared == place);
            match found.get_mut(place) {
                Some(outcome) if is_shared => outcome.clone(),
                Some(outcome) => mem::replace(outcome, Ok(None)),
                None => Err(Fault::Refused("the server left a key out".into())),
            }
        });
        outcomes.collect()
    }
}

impl Cargo for Reads {
    type Sort = Wire;
    type Ask<'a> = &'a [&'a str];
    type Outcome = Option<Found>;

    fn count(keys: &[&str]) -> usize {
        keys.len()
    }

    fn is_much(keys: &[&str]) -> bool {
        !(1..=MOST_GATHERED).contains(&keys.len())
    }

    fn add(&mut self, keys: &[&str]) {
        for key in keys {
            let place = self.place(key);
            self.places.push(place);
        }
    }

    fn is_full(&self, bound: usize) -> bool {
        self.ends.len() >= bound
    }

    fn may_repeat(_: Wire) -> bool {
        true
    }

    async fn send<'a>(
        line: &'a dyn Line,
        keys: &'a [&'a str],
        wire: Wire,
        connection: Option<usize>,
    ) -> Outcomes<Self> {
        read(line, keys, wire, connection).await
    }

    async fn send_all(
        &self,
        line: &dyn Line,
        wire: Wire,
        connection: Option<usize>,
    ) -> Result<Outcomes<Self>, Fault> {
        let found = ask(line, &self.keys(), wire, connection).await?;
        Ok(self.spread(found))
    }

    /// By the size of what was found: an answer comes as a whole.
    fn bound(&self, found: &Outcomes<Self>) -> usize {
        let sizes = found.iter().flatten().flatten().map(|it| it.bytes.len());
        let mean = sizes.sum::<usize>() / self.ends.len().max(1);
        let bound = MOST_BYTES / mean.max(1);
        bound.clamp(FEWEST_TOGETHER, Self::BOUND)
    }

    /// How many keys go together at most, but for the last reader's: the server does nothing else
    /// meanwhile.
    const BOUND: usize = 512;
}

/// A read of more keys is many already, and waits for nobody.
const MOST_GATHERED: usize = 64;
/// How many keys go together at least, however big the values are.
const FEWEST_TOGETHER: usize = 4;
/// How many bytes an answer should have at most.
const MOST_BYTES: usize = 512 * 1024;
/// How many shared keys are looked for: of that many caches on one handle each has its own.
const MOST_SHARED: usize = 16;

#[cfg(test)]
mod tests {
    use jetcache_core::ports::remote::Life;

    use super::*;

    fn found(text: &str) -> Result<Option<Found>, Fault> {
        Ok(Some(Found {
            bytes: text.into(),
            life: Life::Clock(7),
        }))
    }

    /// What was found, as text; a fault has none.
    fn texts(outcomes: Outcomes<Reads>) -> Vec<Option<String>> {
        let text = |outcome: Result<Option<Found>, Fault>| {
            let found = outcome.ok()??;
            String::from_utf8(found.bytes).ok()
        };
        outcomes.into_iter().map(text).collect()
    }

    fn some(texts: &[&str]) -> Vec<Option<String>> {
        texts.iter().map(|&text| Some(text.into())).collect()
    }

    #[test]
    fn each_reader_gets_its_own_and_what_is_shared_is_asked_for_once() {
        let mut reads = Reads::default();
        reads.add(&["a:1", "{a:}#gen"]);
        reads.add(&["a:2", "a:1", "{a:}#gen"]);
        reads.add(&["b:1", "{b:}#gen"]);
        assert_eq!(
            reads.keys(),
            ["a:1", "{a:}#gen", "a:2", "a:1", "b:1", "{b:}#gen"]
        );
        let answers = ["v1", "g", "v2", "w1", "x1", "h"].map(found);
        assert_eq!(
            texts(reads.spread(answers.into())),
            some(&["v1", "g", "v2", "w1", "g", "x1", "h"])
        );
    }

    #[test]
    fn more_shared_keys_than_are_looked_for_are_asked_for_again() {
        let mut reads = Reads::default();
        let names: Vec<_> = (0..=MOST_SHARED).map(|n| format!("{{{n}:}}#gen")).collect();
        let keys: Vec<&str> = names.iter().map(String::as_str).collect();
        reads.add(&keys);
        reads.add(&keys);
        assert_eq!(reads.keys().len(), MOST_SHARED + 2);
        let answers: Vec<_> = reads.keys().into_iter().map(found).collect();
        let twice = [&keys[..], &keys].concat();
        assert_eq!(texts(reads.spread(answers)), some(&twice));
    }

    #[test]
    fn a_short_answer_is_a_fault_of_those_it_left_out() {
        let mut reads = Reads::default();
        reads.add(&["a"]);
        reads.add(&["b"]);
        let spread = texts(reads.spread(vec![found("v")]));
        assert_eq!(spread, [Some("v".into()), None]);
    }
}
