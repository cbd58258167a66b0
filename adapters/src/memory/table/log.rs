//! The logs of generations: which scopes of a namespace were raised, and under which numbers.

use core::time::Duration;
use std::collections::{BTreeMap, HashMap};

use jetcache_core::Fault;
use jetcache_core::machine::generations::scope::{Mark, Scope, top_key};
use jetcache_core::ports::remote::{
    Ensure, Ensured, Found, Life, NewsPage, RaiseEvent, Raised, Wire,
};

/// A log a namespace, by the key under which a server has its highest number.
#[derive(Clone, Default)]
pub(super) struct Logs(HashMap<String, Log>);

/// Either may be evicted without the other.
#[derive(Clone, Default)]
pub(super) struct Log {
    top: Option<Mark>,
    list: List,
}

/// The marks of the scopes that were raised. Empty is as good as none.
#[derive(Clone, Default)]
struct List {
    marks: BTreeMap<Scope, Mark>,
    /// That of the last raise, which is the highest.
    last: Mark,
}

impl Logs {
    /// What a read of this key shows, if a log has its highest number there.
    pub(super) fn top(&self, now: u64, key: &str, wire: Wire) -> Option<Found> {
        let top = self.0.get(key)?.top?;
        Some(Found {
            bytes: top.to_string().into_bytes(),
            life: match wire {
                Wire::JetcacheGo => Life::Left(Duration::MAX),
                _ => Life::Clock(now),
            },
        })
    }

    pub(super) fn get(&self, namespace: &str) -> Option<&Log> {
        self.0.get(&top_key(namespace))
    }

    pub(super) fn of(&mut self, namespace: &str) -> &mut Log {
        self.0.entry(top_key(namespace)).or_default()
    }
}

impl Log {
    pub(super) fn news(&self, since: Mark, most: usize) -> NewsPage {
        let marks = self.list.marks.iter();
        let marks = marks.map(|(scope, mark)| (*scope, *mark));
        let mut marks: Vec<_> = marks.filter(|(_, mark)| *mark >= since).collect();
        if marks.len() <= most {
            return NewsPage { marks, next: None };
        }
        let at = most.saturating_sub(1);
        let (_, (_, last), rest) = marks.select_nth_unstable_by_key(at, |(_, mark)| *mark);
        let last = *last;
        let rest = rest.iter().map(|(_, mark)| *mark);
        let next = rest.filter(|mark| *mark > last).min();
        marks.retain(|(_, mark)| *mark <= last);
        NewsPage { marks, next }
    }

    pub(super) fn forget(&mut self, top: bool, list: bool) {
        if top {
            self.top = None;
        }
        if list {
            self.list = List::default();
        }
    }

    /// Gives the scopes the next number.
    ///
    /// # Errors
    /// There is none left.
    pub(super) fn raise(
        &mut self,
        now: u64,
        clock: Mark,
        scopes: &[Scope],
    ) -> Result<Raised, Fault> {
        let before = self.top.unwrap_or_default().max(self.list.last);
        let known = before.max(told(clock)).number().saturating_add(1);
        let number = Mark::new(now.saturating_mul(1000).max(known));
        if number >= Mark::END {
            return Err(Fault::Refused("this log has no numbers left".into()));
        }
        let anew = self.list.marks.is_empty();
        let marks = scopes.iter().map(|scope| self.list.of(*scope)).collect();
        let all = anew.then_some(&Scope::All);
        let raised = scopes.iter().chain(all).map(|scope| (*scope, number));
        self.list.marks.extend(raised);
        self.list.last = number;
        self.top = Some(number);
        Ok(Raised {
            number,
            before,
            marks,
            anew,
        })
    }

    /// Raises what is lacking of what the sender knows.
    ///
    /// # Errors
    /// No number is left.
    pub(super) fn ensure(&mut self, now: u64, ensure: &Ensure<'_>) -> Result<Ensured, Fault> {
        let lacking = ensure
            .marks
            .iter()
            .filter(|(scope, mark)| self.list.lacks(*scope, *mark))
            .map(|(scope, _)| *scope);
        let mut scopes: Vec<Scope> = lacking.collect();
        let behind = scopes.is_empty() && self.top.is_some_and(|top| top < told(ensure.clock));
        if self.list.marks.is_empty() || behind {
            scopes.push(Scope::All);
        }
        if !scopes.is_empty() {
            let raised = self.raise(now, ensure.clock, &scopes)?;
            return Ok(Ensured {
                top: raised.number,
                raised: Some(RaiseEvent {
                    numbers: Some((raised.before, raised.number)),
                    scopes,
                }),
            });
        }
        let top = self.top.unwrap_or_default().max(self.list.last);
        self.top = Some(top);
        Ok(Ensured { top, raised: None })
    }
}

/// A sender's clock; one that nobody can have been told is none.
fn told(clock: Mark) -> Mark {
    if clock < Mark::END { clock } else { Mark::NONE }
}

impl List {
    /// The mark of a scope.
    fn of(&self, scope: Scope) -> Mark {
        self.marks.get(&scope).copied().unwrap_or_default()
    }

    fn lacks(&self, scope: Scope, mark: Mark) -> bool {
        self.marks.get(&scope).is_none_or(|has| *has < mark)
    }
}
