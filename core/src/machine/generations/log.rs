//! How a node keeps up with the log of raises in L2: what it asks for before it believes L2
//! (PROTOCOL.md, T2, T7, T9, T12).

use core::time::Duration;

use crate::machine::generations::Generations;
use crate::machine::generations::heard::Aftermath;
use crate::machine::generations::known::{Known, Log, LogStep, NewsPage, Reading};
use crate::machine::generations::scope::{Mark, Scope};
use crate::machine::generations::ticket::{MOST_AT_ONCE, RaiseTicket};
use crate::machine::time::Timestamp;

impl Generations {
    /// What it knows: to be remembered by whoever asks for the highest number.
    #[must_use]
    pub fn known(&self) -> Known {
        Known {
            clock: self.clock,
            missed: self.log.missed,
        }
    }

    /// What L2 shows as the highest number; `asked` is what this node [knew](Self::known) when it asked. A log that has lost numbers is lost (T7), unless another primary is just taken up.
    /// Words that may have been missed since it asked are yet to be looked for (T9).
    pub fn on_top(&mut self, asked: Known, top: Option<Mark>) {
        if asked.missed == self.log.missed {
            self.log.look = false;
        }
        match top {
            Some(top) if top >= asked.clock => {
                self.clock = self.clock.max(top);
                self.log.top = self.log.top.max(top);
            }
            _ => self.log.lost |= !self.log.unread,
        }
    }

    /// Whether [that](Self::on_top) is new to this node.
    #[must_use]
    pub fn is_new_top(&self, asked: Known, top: Option<Mark>) -> bool {
        let was_to_look = asked.missed == self.log.missed && self.log.look;
        let highest = self.clock.min(self.log.top);
        was_to_look || !top.is_some_and(|top| top >= asked.clock && top <= highest)
    }

    /// Whether L2 has lost the log that this node knew.
    #[must_use]
    pub fn has_lost_its_log(&self) -> bool {
        self.log.lost && self.synced > Mark::NONE
    }

    /// What is to be asked of L2 before it is believed; `None` if it may be believed now.
    #[must_use]
    pub fn next_log_step(&self) -> Option<LogStep> {
        let Log {
            top,
            lost,
            unread,
            lacks,
            ..
        } = &self.log;
        let (top, reign) = (*top, self.reign);
        let news = LogStep::News {
            since: self.read_up_to(),
            top,
            reign,
            first: *unread || self.synced == Mark::NONE,
        };
        if *unread {
            return Some(news);
        }
        if *lost || !lacks.is_empty() {
            let marks = lacks.iter().map(|(scope, mark)| (*scope, *mark));
            return Some(LogStep::Ensure {
                clock: self.clock,
                marks: marks.take(MOST_AT_ONCE).collect(),
                reign,
            });
        }
        (self.synced < top).then_some(news)
    }

    /// Which mark the next page of the list begins with. What was read once is not read again, whatever
    /// kept this node from reading on.
    fn read_up_to(&self) -> Mark {
        let known = if self.log.unread {
            Mark::NONE
        } else {
            self.synced
        };
        known.max(self.log.reading.next)
    }

    /// Whether what came with this highest number may be believed: others may have been shown a higher
    /// one since.
    #[must_use]
    pub fn knows_up_to(&self, top: Mark) -> bool {
        let Log {
            lost,
            unread,
            lacks,
            ..
        } = &self.log;
        !lost && !unread && lacks.is_empty() && self.synced >= top
    }

    /// A page of L2's list since then, asked for up to `top`. It may be older than what others have been
    /// shown meanwhile. Nothing is known before the last page has come: the scope of a raise may have
    /// been raised again since, and stands behind what was read.
    pub fn on_news(
        &mut self,
        (since, top): (Mark, Mark),
        reign: u32,
        page: &NewsPage,
    ) -> Aftermath {
        let mut aftermath = Aftermath::default();
        if reign != self.reign || since > self.read_up_to() {
            return aftermath;
        }
        let Some(list) = self.log.turn_page(page) else {
            return aftermath;
        };
        let highest = list.values().copied().max();
        let taken_up = core::mem::take(&mut self.log.unread);
        if taken_up {
            // Numbers of before say nothing of this one's.
            self.log.top = highest.unwrap_or_default();
            self.log.lacks = self.missing(&list);
            // Nobody can say what this node has heard of and does not know.
            self.log.lost = self.log.lacks.is_empty() && highest < Some(self.clock);
        }
        for (scope, mark) in list {
            self.learn(scope, mark, &mut aftermath);
        }
        let ensured = self.log.ensured.take();
        match highest {
            Some(highest) if highest >= top || ensured.is_some() || taken_up => {
                let known = highest.max(ensured.unwrap_or_default());
                self.synced = self.synced.max(known);
            }
            _ => self.log.lost = true,
        }
        aftermath
    }

    /// L2 has what it was to have; its highest number.
    pub fn on_ensured(&mut self, marks: &[(Scope, Mark)], reign: u32, top: Mark) {
        if reign != self.reign {
            return;
        }
        // If its highest number was missing, the one that its list has put there may be too low still.
        self.log.lost = top < self.clock;
        self.log.ensured = Some(top);
        for (scope, mark) in marks {
            if self.log.lacks.get(scope).is_some_and(|lacks| lacks <= mark) {
                self.log.lacks.remove(scope);
            }
        }
        self.clock = self.clock.max(top);
        self.log.top = top;
    }

    /// Whether the highest number is to be looked at before L2 is believed, since words may have been
    /// missed.
    #[must_use]
    pub fn is_to_look(&self) -> bool {
        self.log.look || self.log.lost || self.log.unread
    }

    /// Words may have been missed, and none is from now on.
    pub fn on_everything(&mut self) {
        self.log.look = true;
        self.log.missed = self.log.missed.wrapping_add(1);
    }

    /// Another primary of L2 answers (T12): its list is read before it is believed, it is told what that
    /// lacks, and raises under way count as not acknowledged.
    pub fn failed_over(&mut self, now: Timestamp, window: Duration) {
        self.reign = self.reign.wrapping_add(1);
        self.log.unread = true;
        self.log.reading = Reading::new();
        self.log.lost = false;
        self.log.ensured = None;
        self.log.healing = Some(now + window);
    }

    /// What is heard from now on the new primary itself has told.
    pub fn healed(&mut self) {
        self.log.healing = None;
    }

    /// Whether this raise was sent to another primary than the one that answers now.
    pub(super) fn is_of_another(&self, ticket: &RaiseTicket) -> bool {
        ticket.reign != self.reign
    }

    /// Whether something of the log is to be repaired, or may be: nobody need read for that, who may know
    /// alone what another primary lacks.
    #[must_use]
    pub fn lacks(&self) -> bool {
        self.log.unread || !self.log.lacks.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use alloc::format;
    use alloc::vec;

    use super::*;
    use crate::machine::generations::scope::RaiseEvent;
    use crate::machine::generations::tags::Tags;

    const T: Scope = Scope::Tag(7);
    const NOW: Timestamp = Timestamp::from_nanos(0);
    const WINDOW: Duration = Duration::from_secs(60);

    fn mark(number: u64) -> Mark {
        Mark::new(number)
    }

    fn tagged() -> Tags {
        Tags::of_buckets(vec![7])
    }

    /// A node that knows a log whose namespace was raised as number 1.
    fn synced() -> Generations {
        let mut node = Generations::new();
        node.on_top(Known::default(), Some(mark(1)));
        let Some(LogStep::News {
            since, top, reign, ..
        }) = node.next_log_step()
        else {
            panic!("it knows nothing yet")
        };
        let news = node.on_news((since, top), reign, &all(&[(Scope::All, mark(1))]));
        assert!(news.clears());
        assert_eq!(node.next_log_step(), None);
        node
    }

    /// What it asks then.
    fn news(since: Mark, top: Mark, reign: u32) -> LogStep {
        LogStep::News {
            since,
            top,
            reign,
            first: since == Mark::NONE,
        }
    }

    /// A page behind which nothing follows.
    fn all(marks: &[(Scope, Mark)]) -> NewsPage {
        NewsPage {
            marks: marks.to_vec(),
            next: None,
        }
    }

    /// A page behind which others follow.
    fn page(marks: &[(Scope, Mark)], next: u64) -> NewsPage {
        NewsPage {
            next: Some(mark(next)),
            ..all(marks)
        }
    }

    fn event(before: u64, number: u64, scopes: &[Scope]) -> RaiseEvent {
        RaiseEvent {
            numbers: Some((mark(before), mark(number))),
            scopes: scopes.into(),
        }
    }

    #[test]
    fn what_is_not_new_changes_nothing() {
        let numbers = || [None].into_iter().chain((0..4).map(|it| Some(mark(it))));
        let mut nodes = vec![Generations::new(), synced()];
        let mut older = synced();
        let before = older.known();
        older.on_top(before, Some(mark(2)));
        nodes.push(older.clone());
        // It asked before it missed something.
        older.on_everything();
        nodes.push(older);
        let mut known = 0;
        for node in nodes {
            for (asked, top) in [before, node.known()]
                .into_iter()
                .flat_map(|asked| numbers().map(move |top| (asked, top)))
            {
                let mut after = node.clone();
                after.on_top(asked, top);
                if !node.is_new_top(asked, top) {
                    known += 1;
                    assert_eq!(
                        format!("{after:?}"),
                        format!("{node:?}"),
                        "{asked:?} {top:?}"
                    );
                    assert!(!after.has_lost_its_log());
                }
            }
        }
        assert!(known >= 4, "some of these are known: {known}");
    }

    #[test]
    fn a_value_is_dead_to_who_knows_a_later_raise_of_its_scopes() {
        let mut node = synced();
        let is_dead = |node: &Generations, born| node.is_dead(mark(born), &tagged(), 9);
        assert!(is_dead(&node, 0) && !is_dead(&node, 1));
        let _ = node.hear(&event(1, 2, &[T]), false, NOW);
        assert!(is_dead(&node, 1) && !is_dead(&node, 2));
        assert!(!node.is_dead(mark(1), &Tags::NONE, 9));
        let _ = node.hear(&event(2, 3, &[Scope::Key(9)]), false, NOW);
        assert!(node.is_dead(mark(2), &Tags::NONE, 9));
        assert!(!node.is_dead(mark(2), &Tags::NONE, 8));
    }

    #[test]
    fn t3_a_word_out_of_order_does_not_pass_for_all_that_was_said() {
        let mut node = synced();
        let _ = node.hear(&event(2, 3, &[Scope::Tag(8)]), false, NOW);
        node.on_top(node.known(), Some(mark(3)));
        let since = mark(1);
        assert_eq!(node.next_log_step(), Some(news(since, node.log.top, 0)));
        let list = [
            (Scope::All, mark(1)),
            (T, mark(2)),
            (Scope::Tag(8), mark(3)),
        ];
        let news = node.on_news((since, node.log.top), 0, &all(&list));
        // The word of 3 was heard, that of 2 was not.
        assert_eq!((news.news, news.clears()), (1, false));
        assert_eq!(node.next_log_step(), None);
    }

    #[test]
    fn t4_what_teaches_a_mark_is_news_once() {
        let mut node = synced();
        let before = node.heard();
        node.on_top(node.known(), Some(mark(2)));
        let _ = node.on_news(
            (mark(1), node.log.top),
            0,
            &all(&[(Scope::All, mark(1)), (T, mark(2))]),
        );
        assert!(node.had_news(before, &tagged()));
        let after = node.heard();
        let late = node.hear(&event(1, 2, &[T]), false, NOW);
        assert_eq!(late.news, 0);
        assert!(!node.had_news(after, &tagged()));
        let older = node.hear(&event(0, 1, &[T]), false, NOW);
        assert_eq!(older.news, 0);
        assert!(node.is_dead(mark(1), &tagged(), 0));
    }

    #[test]
    fn t7_a_log_that_has_lost_numbers_is_begun_anew() {
        for top in [None, Some(mark(1))] {
            let mut node = synced();
            let _ = node.hear(&event(1, 2, &[T]), false, NOW);
            node.on_top(node.known(), top);
            assert!(node.has_lost_its_log());
            let ensure = LogStep::Ensure {
                clock: mark(2),
                marks: vec![],
                reign: 0,
            };
            assert_eq!(node.next_log_step(), Some(ensure));
            node.on_ensured(&[], 0, mark(3));
            let since = mark(2);
            assert_eq!(node.next_log_step(), Some(news(since, node.log.top, 0)));
            let news = node.on_news((since, node.log.top), 0, &all(&[(Scope::All, mark(3))]));
            assert!(news.clears());
            assert_eq!((node.next_log_step(), node.born()), (None, mark(3)));
        }
    }

    #[test]
    fn t7_an_empty_list_below_a_top_is_a_lost_log() {
        let mut node = synced();
        node.on_top(node.known(), Some(mark(5)));
        let _ = node.on_news((mark(1), node.log.top), 0, &all(&[]));
        let step = node.next_log_step();
        assert!(matches!(step, Some(LogStep::Ensure { .. })), "{step:?}");
    }

    #[test]
    fn t12_another_primary_is_told_what_its_list_lacks() {
        let mut node = synced();
        let _ = node.hear(&event(1, 2, &[T]), false, NOW);
        node.failed_over(NOW, WINDOW);
        let (since, top, reign) = (Mark::NONE, node.log.top, 1);
        assert_eq!(node.next_log_step(), Some(news(since, node.log.top, reign)));
        // A lower number is no loss of the log now.
        node.on_top(node.known(), Some(mark(1)));
        assert!(!node.has_lost_its_log());
        let _ = node.on_news((since, top), reign, &all(&[(Scope::All, mark(1))]));
        let marks = vec![(T, mark(2))];
        let ensure = LogStep::Ensure {
            clock: mark(2),
            marks: marks.clone(),
            reign,
        };
        assert_eq!(node.next_log_step(), Some(ensure));
        // An answer of the old primary says nothing.
        node.on_ensured(&marks, 0, mark(9));
        assert!(node.lacks());
        node.on_ensured(&marks, reign, mark(3));
        let since = mark(2);
        assert_eq!(node.next_log_step(), Some(news(since, node.log.top, reign)));
        let _ = node.on_news((since, top), reign, &all(&[(T, mark(3))]));
        assert_eq!(node.next_log_step(), None);
        // And what is heard for a while after that.
        let _ = node.hear(&event(3, 4, &[Scope::Tag(8)]), false, NOW);
        assert!(node.lacks());
        node.on_ensured(&[(Scope::Tag(8), mark(4))], reign, mark(4));
        node.healed();
        let _ = node.hear(&event(4, 5, &[T]), false, NOW);
        assert!(!node.lacks());
    }

    /// While the list is on its way another node raises, and another reader of this one is shown the new
    /// number beside an old value.
    #[test]
    fn t7_behind_an_ensure_only_what_the_list_says_is_known() {
        let mut node = Generations::new();
        node.on_top(node.known(), None);
        node.on_ensured(&[], 0, mark(10));
        let Some(LogStep::News {
            since, top, reign, ..
        }) = node.next_log_step()
        else {
            panic!("it asks for news")
        };
        node.on_top(node.known(), Some(mark(20)));
        let _ = node.on_news((since, top), reign, &all(&[(Scope::All, mark(10))]));
        assert!(node.knows_up_to(mark(10)) && !node.knows_up_to(mark(20)));
        let Some(LogStep::News {
            since, top, reign, ..
        }) = node.next_log_step()
        else {
            panic!("it does not know of the raise yet")
        };
        let list = [(Scope::All, mark(10)), (T, mark(20))];
        let _ = node.on_news((since, top), reign, &all(&list));
        assert_eq!(node.next_log_step(), None);
        assert!(node.is_dead(mark(10), &tagged(), 0));
    }

    #[test]
    fn t2_a_list_from_before_a_later_raise_is_no_lost_log() {
        let mut node = synced();
        node.on_top(node.known(), Some(mark(2)));
        let asked = (mark(1), mark(2));
        node.on_top(node.known(), Some(mark(3)));
        let _ = node.on_news(asked, 0, &all(&[(Scope::All, mark(1)), (T, mark(2))]));
        assert!(!node.has_lost_its_log() && node.knows_up_to(mark(2)));
    }

    #[test]
    fn t9_a_word_that_shows_a_gap_asks_for_a_look() {
        let mut node = synced();
        assert!(!node.is_to_look());
        let _ = node.hear(&event(2, 3, &[T]), false, NOW);
        assert!(node.is_to_look());
    }

    /// Raise 2, of T, is no more in the list when its page is read: T was raised again since.
    #[test]
    fn t2_nothing_is_known_before_the_last_page_has_come() {
        let (mut node, u, top) = (synced(), Scope::Tag(8), mark(3));
        node.on_top(node.known(), Some(top));
        let stamp = node.heard();
        let first = node.on_news(
            (mark(1), top),
            0,
            &page(&[(Scope::All, mark(1)), (u, top)], 3),
        );
        assert_eq!(first.news, 0);
        assert!(!node.knows_up_to(mark(2)) && !node.knows_up_to(top));
        assert!(!node.had_news(stamp, &Tags::of_buckets(vec![8])));
        assert_eq!(node.next_log_step(), Some(news(top, top, 0)));
        let last = node.on_news((top, top), 0, &all(&[(u, top), (T, mark(4))]));
        assert_eq!((last.news, node.next_log_step()), (2, None));
        assert!(node.knows_up_to(mark(4)) && node.is_dead(mark(3), &tagged(), 0));
    }

    #[test]
    fn t2_a_page_that_has_come_is_not_read_again() {
        let mut node = Generations::new();
        node.on_top(node.known(), Some(mark(9)));
        let (pages, top) = ([2, 4, 6, 9], mark(9));
        let mut since = Mark::NONE;
        for next in pages {
            let begins = matches!(
                node.next_log_step(),
                Some(LogStep::News { since: at, first: true, .. }) if at == since
            );
            assert!(begins, "{:?}", node.next_log_step());
            let _ = node.on_news((since, top), 0, &page(&[(T, since.max(mark(1)))], next));
            // One that comes late changes nothing.
            let _ = node.on_news((Mark::NONE, top), 0, &page(&[(T, mark(1))], 2));
            since = mark(next);
        }
        let _ = node.on_news((since, top), 0, &all(&[(Scope::All, top)]));
        assert_eq!(node.next_log_step(), None);
        assert!(node.is_dead(mark(5), &tagged(), 0));
    }

    #[test]
    fn t7_a_list_that_is_lost_between_two_pages_is_a_lost_log() {
        let mut node = synced();
        let top = mark(3);
        node.on_top(node.known(), Some(top));
        let _ = node.on_news((mark(1), top), 0, &page(&[(T, top)], 3));
        let _ = node.on_news((top, top), 0, &all(&[]));
        assert!(node.has_lost_its_log() && !node.knows_up_to(mark(2)));
    }

    #[test]
    fn t12_the_list_of_another_primary_is_read_from_its_beginning() {
        let mut node = synced();
        let _ = node.hear(&event(1, 2, &[T]), false, NOW);
        node.on_top(node.known(), Some(mark(9)));
        let _ = node.on_news((mark(2), mark(9)), 0, &page(&[(T, mark(2))], 8));
        node.failed_over(NOW, WINDOW);
        let begins = Some(news(Mark::NONE, node.log.top, 1));
        assert_eq!(node.next_log_step(), begins);
        // What the old one has said is forgotten, and what it says yet is not heard.
        let _ = node.on_news((mark(8), mark(9)), 0, &all(&[(Scope::All, mark(9))]));
        assert_eq!(node.next_log_step(), begins);
        let _ = node.on_news((Mark::NONE, mark(9)), 1, &page(&[(Scope::All, mark(1))], 2));
        assert!(
            node.lacks() && node.log.lacks.is_empty(),
            "it is not read yet"
        );
        let _ = node.on_news((mark(2), mark(9)), 1, &all(&[(Scope::Tag(8), mark(2))]));
        assert_eq!(node.log.lacks.get(&T), Some(&mark(2)));
    }
}
