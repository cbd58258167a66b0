//! Raises: what this node has raised, and whether L2 has acknowledged it (PROTOCOL.md, T8, T10, T11).

use alloc::vec::Vec;
use core::ops::Bound::{Excluded, Unbounded};

use crate::machine::generations::Generations;
use crate::machine::generations::heard::Aftermath;
use crate::machine::generations::scope::{Mark, Scope};
use crate::machine::generations::ticket::{MOST_AT_ONCE, Pending, RaiseTicket, Raised};
use crate::machine::policy::backoff::Backoff;
use crate::machine::time::Timestamp;

impl Generations {
    /// Begins to raise these scopes, each once, at most 500: [`parts`](crate::machine::generations::ticket::parts).
    pub fn raise(&mut self, scopes: Vec<Scope>) -> RaiseTicket {
        self.send(scopes, false)
    }

    fn send(&mut self, scopes: Vec<Scope>, again: bool) -> RaiseTicket {
        self.sent += 1;
        RaiseTicket {
            number: self.sent,
            reign: self.reign,
            scopes,
            again,
            clock: self.clock,
        }
    }

    /// A raise is over; `answer` is what L2 has answered, if it has. Whether it is acknowledged, and what
    /// that means for L1: a raise is news on its own node in any case, but for one that is repeated.
    pub fn raised(
        &mut self,
        ticket: RaiseTicket,
        answer: Option<&Raised>,
        now: Timestamp,
    ) -> (bool, Aftermath) {
        let mut aftermath = Aftermath::default();
        let answer = answer.filter(|_| !self.is_of_another(&ticket));
        if !ticket.again {
            // What this node's own word has told already of a tag is none. L1 is emptied once more: whoever
            // heard that word may be in the middle of it.
            let number = answer.map_or(Mark::new(u64::MAX), |answer| answer.number);
            let untold = |scope: &&Scope| {
                !matches!(scope, Scope::Tag(_)) || self.marks.row(**scope).mark < number
            };
            let untold: Vec<Scope> = ticket.scopes.iter().filter(untold).copied().collect();
            self.note_news(untold, &mut aftermath);
        }
        let Some(answer) = answer else {
            for scope in &ticket.scopes {
                self.give_up(*scope, ticket.number);
            }
            self.repeat_after_failure(now);
            return (false, aftermath);
        };
        for (at, scope) in ticket.scopes.iter().enumerate() {
            let acknowledged = |pending: &Pending| pending.given_up < ticket.number;
            if self.pending.get(scope).is_some_and(acknowledged) {
                self.pending.remove(scope);
            }
            // Another node's raise of the same scope came between (T10).
            let before = answer.marks.get(at).copied().unwrap_or_default();
            if ticket.again && before > self.marks.row(*scope).mark {
                self.note_news([*scope], &mut aftermath);
            }
            self.lift(*scope, answer.number);
        }
        if answer.anew {
            self.learn(Scope::All, answer.number, &mut aftermath);
        }
        self.follows(answer.before, answer.number);
        self.tries = 0;
        self.due = (!self.pending.is_empty()).then_some(now);
        (true, aftermath)
    }

    /// Without an L2, or with one that has no log, a raise is news and nothing else.
    pub fn raised_here(&mut self, scopes: &[Scope]) -> Aftermath {
        let mut aftermath = Aftermath::default();
        self.note_news(scopes.iter().copied(), &mut aftermath);
        aftermath
    }

    /// A change that did not fit into the table of unconfirmed keys: the bucket of its key is pending
    /// from now on, and is raised as soon as it can be (T11). Its own L1 has lost the key already.
    pub fn overflowed(&mut self, key: u16, now: Timestamp) {
        self.sent += 1;
        self.give_up(Scope::Key(key), self.sent);
        self.due = self.due.or(Some(now));
    }

    fn give_up(&mut self, scope: Scope, number: u64) {
        let pending = self.pending.entry(scope);
        let pending = pending.or_insert(Pending { given_up: number });
        pending.given_up = pending.given_up.max(number);
    }

    /// L2 has not acknowledged what was asked of it: it is asked again after a pause.
    pub fn repeat_after_failure(&mut self, now: Timestamp) {
        self.due = Some(now + Backoff::REMOVAL.pause(self.tries));
        self.tries = self.tries.saturating_add(1);
    }

    /// When pending raises are to be repeated, or the log is to be told what it lacks; `None` if nothing
    /// is to be done.
    #[must_use]
    pub fn next_raise(&self) -> Option<Timestamp> {
        let waits = !self.pending.is_empty() || self.lacks();
        waits.then(|| self.due.unwrap_or_default())
    }

    /// Repeats pending raises, if it is time.
    pub fn raise_again(&mut self, by: Timestamp) -> Option<RaiseTicket> {
        let due = self.next_raise()?;
        if due > by || self.pending.is_empty() {
            return None;
        }
        // What is not acknowledged comes again by itself.
        let last = self.repeated.unwrap_or(Scope::All);
        let later = self.pending.range((Excluded(last), Unbounded));
        let all = later.chain(self.pending.range(..=last));
        let scopes: Vec<Scope> = all.take(MOST_AT_ONCE).map(|(scope, _)| *scope).collect();
        self.repeated = scopes.last().copied();
        Some(self.send(scopes, true))
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec;

    use super::*;
    use crate::machine::generations::tags::Tags;
    use crate::machine::generations::ticket::parts;

    const T: Scope = Scope::Tag(7);
    const NOW: Timestamp = Timestamp::from_nanos(0);

    fn answer(number: u64, before: u64, mark: u64) -> Raised {
        Raised {
            number: Mark::new(number),
            before: Mark::new(before),
            marks: vec![Mark::new(mark)],
            anew: false,
        }
    }

    fn tagged() -> Tags {
        Tags::of_buckets(vec![7])
    }

    #[test]
    fn t8_a_raise_is_news_at_its_end_whatever_that_is() {
        for answer in [None, Some(answer(2, 1, 0))] {
            let mut node = Generations::new();
            let ticket = node.raise(vec![T]);
            let stamp = node.heard();
            let (acknowledged, news) = node.raised(ticket, answer.as_ref(), NOW);
            assert_eq!((acknowledged, news.news), (answer.is_some(), 1));
            assert!(node.had_news(stamp, &tagged()));
            assert_eq!(node.pending(), usize::from(!acknowledged));
            // Pending, whatever it was born as.
            assert_eq!(node.is_dead(Mark::new(9), &tagged(), 0), !acknowledged);
        }
    }

    #[test]
    fn t8_only_what_was_sent_after_the_last_loss_ends_it() {
        let mut node = Generations::new();
        let (first, second) = (node.raise(vec![T]), node.raise(vec![T]));
        let _ = node.raised(second, None, NOW);
        let _ = node.raised(first, Some(&answer(2, 1, 0)), NOW);
        assert_eq!(node.pending(), 1);
        let again = node.raise_again(Timestamp::MAX).expect("it is repeated");
        assert!(again.is_repeated() && node.raise_again(NOW).is_some());
        let (acknowledged, news) = node.raised(again, Some(&answer(3, 2, 2)), NOW);
        assert_eq!((acknowledged, news.news, node.pending()), (true, 0, 0));
        assert_eq!(node.next_raise(), None);
    }

    #[test]
    fn t10_a_repeat_tells_of_a_raise_that_came_between() {
        let mut node = Generations::new();
        let first = node.raise(vec![T]);
        let _ = node.raised(first, None, NOW);
        let stamp = node.heard();
        let again = node.raise_again(Timestamp::MAX).expect("it is repeated");
        let (_, news) = node.raised(again, Some(&answer(3, 2, 2)), NOW);
        assert_eq!(news.news, 1);
        assert!(node.had_news(stamp, &tagged()));
    }

    #[test]
    fn t11_a_bucket_that_overflowed_is_blocked_until_it_is_raised() {
        let mut node = Generations::new();
        node.overflowed(9, NOW);
        assert!(node.is_blocked(9) && !node.is_blocked(8));
        let ticket = node.raise_again(NOW).expect("it is due at once");
        assert_eq!(ticket.scopes(), [Scope::Key(9)]);
        // Another change that does not fit while the raise is on its way.
        node.overflowed(9, NOW);
        let (_, news) = node.raised(ticket, Some(&answer(2, 1, 0)), NOW);
        assert!(!news.clears() && node.is_blocked(9));
        let ticket = node.raise_again(NOW).expect("once more");
        let _ = node.raised(ticket, Some(&answer(3, 2, 2)), NOW);
        assert!(!node.is_blocked(9));
        assert!(node.is_dead(Mark::new(2), &Tags::NONE, 9));
    }

    #[test]
    fn t12_what_another_primary_has_acknowledged_does_not_count() {
        let mut node = Generations::new();
        let ticket = node.raise(vec![T]);
        node.failed_over(NOW, core::time::Duration::from_secs(1));
        let (acknowledged, _) = node.raised(ticket, Some(&answer(2, 1, 0)), NOW);
        assert!(!acknowledged && node.pending() == 1);
    }

    #[test]
    fn many_scopes_are_raised_in_parts_and_each_once() {
        let scopes = (0..1_200_u16).flat_map(|tag| [Scope::Tag(tag), Scope::Tag(tag)]);
        let parts = parts(scopes.collect());
        let sizes: Vec<usize> = parts.iter().map(Vec::len).collect();
        assert_eq!(sizes, [500, 500, 200]);
    }
}
