//! What gathers while reads are on their way, and how each asker gets its own answer.

use std::mem;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use jetcache_core::Fault;
use jetcache_core::machine::generations::scope::TOP_SUFFIX;
use jetcache_core::ports::remote::Found;
use tokio::sync::{Notify, oneshot};

/// One outcome a key.
pub(super) type Outcomes = Vec<Result<Option<Found>, Fault>>;

/// Keys of several askers that will be read together.
#[derive(Debug, Default)]
pub(super) struct Gathering {
    /// The keys, one behind the other.
    text: String,
    /// Where each of them ends.
    ends: Vec<usize>,
    /// The keys that many askers share, each with its place. They are asked for once.
    shared: Vec<(Box<str>, usize)>,
    /// The places of what the askers asked for, one asker behind the other.
    places: Vec<usize>,
    askers: Vec<Asker>,
    interest: Arc<Interest>,
}

#[derive(Debug)]
struct Asker {
    answer: oneshot::Sender<Outcomes>,
    /// How many of the places are its own.
    keys: usize,
}

/// An asker's side. Dropped, it has given up.
#[derive(Debug)]
pub(super) struct Waiting {
    answer: oneshot::Receiver<Outcomes>,
    interest: Arc<Interest>,
}

/// How many askers still wait.
#[derive(Debug, Default)]
struct Interest {
    waiting: AtomicUsize,
    lost: Notify,
}

impl Gathering {
    /// Adds the keys of one asker.
    pub(super) fn join(&mut self, keys: &[&str]) -> Waiting {
        let (sender, receiver) = oneshot::channel();
        for key in keys {
            let place = self.place(key);
            self.places.push(place);
        }
        self.askers.push(Asker {
            answer: sender,
            keys: keys.len(),
        });
        self.interest.waiting.fetch_add(1, Ordering::AcqRel);
        Waiting {
            answer: receiver,
            interest: Arc::clone(&self.interest),
        }
    }

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
    pub(super) fn keys(&self) -> Vec<&str> {
        let mut start = 0;
        let key = |&end: &usize| self.text.get(mem::replace(&mut start, end)..end);
        // The ends are those of the keys that were put there.
        self.ends.iter().filter_map(key).collect()
    }

    pub(super) fn len(&self) -> usize {
        self.ends.len()
    }

    pub(super) fn askers(&self) -> usize {
        self.askers.len()
    }

    /// Completes when nobody waits any more.
    pub(super) fn forsaken(&self) -> impl Future<Output = ()> + use<> {
        let interest = Arc::clone(&self.interest);
        async move {
            while interest.waiting.load(Ordering::Acquire) > 0 {
                interest.lost.notified().await;
            }
        }
    }

    /// Gives each asker what was found under its keys.
    pub(super) fn hand_out(self, mut found: Outcomes) {
        let mut places = self.places.into_iter();
        for asker in self.askers {
            let own = places.by_ref().take(asker.keys);
            let outcomes = own.map(|place| {
                let is_shared = self.shared.iter().any(|(_, shared)| *shared == place);
                match found.get_mut(place) {
                    Some(outcome) if is_shared => outcome.clone(),
                    Some(outcome) => mem::replace(outcome, Ok(None)),
                    None => Err(Fault::Refused("the server left a key out".into())),
                }
            });
            let outcomes = outcomes.collect();
            // Whoever gave up needs no answer.
            let _ = asker.answer.send(outcomes);
        }
    }

    /// Tells all askers what kept them from an answer.
    pub(super) fn fail(self, fault: &Fault) {
        for asker in self.askers {
            let outcomes = (0..asker.keys).map(|_| Err(fault.clone())).collect();
            let _ = asker.answer.send(outcomes);
        }
    }
}

impl Waiting {
    /// The answer; `None` if it is not going to come from here.
    pub(super) async fn answer(mut self) -> Option<Outcomes> {
        (&mut self.answer).await.ok()
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        if self.interest.waiting.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.interest.lost.notify_one();
        }
    }
}

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
    fn answer(waiting: &mut Waiting) -> Vec<Option<String>> {
        let outcomes = waiting.answer.try_recv().unwrap();
        let text = |outcome: Result<Option<Found>, Fault>| {
            let found = outcome.ok()??;
            String::from_utf8(found.bytes).ok()
        };
        outcomes.into_iter().map(text).collect()
    }

    fn texts(texts: &[&str]) -> Vec<Option<String>> {
        texts.iter().map(|&text| Some(text.into())).collect()
    }

    #[test]
    fn each_asker_gets_its_own_and_what_is_shared_is_asked_for_once() {
        let mut gathering = Gathering::default();
        let mut first = gathering.join(&["a:1", "{a:}#gen"]);
        let mut second = gathering.join(&["a:2", "a:1", "{a:}#gen"]);
        let mut third = gathering.join(&["b:1", "{b:}#gen"]);
        assert_eq!(
            gathering.keys(),
            ["a:1", "{a:}#gen", "a:2", "a:1", "b:1", "{b:}#gen"]
        );
        let answers = ["v1", "g", "v2", "w1", "x1", "h"].map(found);
        gathering.hand_out(answers.into());
        assert_eq!(answer(&mut first), texts(&["v1", "g"]));
        assert_eq!(answer(&mut second), texts(&["v2", "w1", "g"]));
        assert_eq!(answer(&mut third), texts(&["x1", "h"]));
    }

    #[test]
    fn more_shared_keys_than_are_looked_for_are_asked_for_again() {
        let mut gathering = Gathering::default();
        let names: Vec<_> = (0..=MOST_SHARED).map(|n| format!("{{{n}:}}#gen")).collect();
        let keys: Vec<&str> = names.iter().map(String::as_str).collect();
        let mut waiting = [gathering.join(&keys), gathering.join(&keys)];
        assert_eq!(gathering.len(), MOST_SHARED + 2);
        let answers: Vec<_> = gathering.keys().into_iter().map(found).collect();
        gathering.hand_out(answers);
        for waiting in &mut waiting {
            assert_eq!(answer(waiting), texts(&keys));
        }
    }

    #[test]
    fn a_short_answer_is_a_fault_of_those_it_left_out() {
        let mut gathering = Gathering::default();
        let mut waiting = [gathering.join(&["a"]), gathering.join(&["b"])];
        gathering.hand_out(vec![found("v")]);
        assert_eq!(answer(&mut waiting[0]), texts(&["v"]));
        assert_eq!(answer(&mut waiting[1]), [None]);
    }
}
