//! Keys about which this node does not believe L2 (PROTOCOL.md, C5).
//!
//! A removal or claim that nobody acknowledged may have been applied, may be applied later, or may
//! be lost. Until a removal or claim that was sent **later** is acknowledged, the key is neither
//! read nor filled in L2, and a removal, which is harmless at any time, is repeated.

use alloc::collections::{BTreeMap, BTreeSet};
use core::time::Duration;

use crate::machine::policy::backoff::Backoff;
use crate::machine::time::Timestamp;

/// The number of a command: they are numbered in the order in which they are sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::machine) struct Number(u64);

/// What is known about the commands sent for one key.
#[derive(Debug, Default)]
pub(in crate::machine) struct Doubt {
    /// The highest removal or claim that was acknowledged.
    acknowledged: Number,
    /// The highest of those that the other nodes were told of, or are about to be.
    told_of: Number,
    /// The highest removal, claim or settlement that was given up.
    given_up: Number,
    /// How often a removal was repeated since the key is in doubt.
    tries: u32,
    /// When the removal is repeated next.
    due: Option<Timestamp>,
    /// How much is to be removed, at least.
    cure: Cure,
}

impl Doubt {
    pub(in crate::machine) fn is_unconfirmed(&self) -> bool {
        self.given_up > self.acknowledged
    }

    pub(in crate::machine) fn cure(&self) -> Cure {
        self.cure
    }

    /// Whether the key has come into doubt since.
    pub(in crate::machine) fn is_since(&self, number: Number) -> bool {
        self.given_up > number
    }

    /// Only this much ends the doubt, if there is one.
    pub(in crate::machine) fn needs(&mut self, cure: Cure) {
        if self.is_unconfirmed() {
            self.cure = self.cure.max(cure);
        }
    }
}

/// How L2 is repaired, the weakest first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Cure {
    /// What a load may have put there is removed, and nobody is told: each node does that by itself
    /// (PROTOCOL.md, G2).
    #[default]
    Unload,
    /// Value and lease are removed, and nobody is told: all have heard of the change, and L2 may have
    /// lost it (PROTOCOL.md, F1, F2).
    Clear,
    /// Value and lease are removed, and the other nodes are told: a change of this node's own may
    /// not have reached L2.
    Remove,
}

/// The unconfirmed keys of a shard: their number, their turn, and what happens when they are too
/// many.
#[derive(Debug, Default)]
pub(in crate::machine) struct Doubts {
    last: Number,
    unconfirmed: usize,
    /// How many there are in the cache's other shards.
    elsewhere: usize,
    turns: BTreeSet<(Timestamp, usize)>,
    /// Until when L2 is not believed about the keys of a bucket, because one did not fit and there is no
    /// log of raises.
    bypassed: BTreeMap<u16, Timestamp>,
    /// The longest life that was ever written.
    longest: Duration,
}

impl Doubts {
    /// Numbers a command that is about to be sent.
    pub(in crate::machine) fn send(&mut self) -> Number {
        self.last.0 += 1;
        self.last
    }

    /// The number of the last command.
    pub(in crate::machine) fn last(&self) -> Number {
        self.last
    }

    /// So many are in the cache's other shards, which share the room.
    pub(in crate::machine) fn note_elsewhere(&mut self, unconfirmed: usize) {
        self.elsewhere = unconfirmed;
    }

    pub(in crate::machine) fn note_life(&mut self, life: Duration) {
        self.longest = self.longest.max(life);
    }

    /// A removal or claim was acknowledged.
    pub(in crate::machine) fn acknowledged(
        &mut self,
        at: usize,
        doubt: &mut Doubt,
        number: Number,
        by: Cure,
    ) {
        if doubt.cure > by {
            // Otherwise the other nodes would never be told, or something would be left.
            return;
        }
        let before = doubt.is_unconfirmed();
        doubt.acknowledged = doubt.acknowledged.max(number);
        if by == Cure::Remove {
            doubt.told_of = doubt.told_of.max(number);
        }
        if before && !doubt.is_unconfirmed() {
            self.unconfirmed -= 1;
            self.forget_turn(at, doubt);
            (doubt.tries, doubt.cure) = (0, Cure::default());
        }
    }

    /// A command was given up, and this cure is to make up for it. Returns what that did to its
    /// key.
    pub(in crate::machine) fn given_up(
        &mut self,
        at: usize,
        doubt: &mut Doubt,
        number: Number,
        cure: Cure,
        now: Timestamp,
        room: usize,
    ) -> Loss {
        // The removal that was acknowledged since may be one that nobody was told of.
        let untold = cure == Cure::Remove && number > doubt.told_of && number <= doubt.acknowledged;
        let number = if untold { self.send() } else { number };
        let due = now + Backoff::REMOVAL.pause(doubt.tries);
        let loss = self.doubted(at, doubt, number, due, room);
        doubt.needs(cure);
        loss
    }

    /// A command counts as given up; if the key was not in doubt before, a removal is due then.
    pub(in crate::machine) fn doubted(
        &mut self,
        at: usize,
        doubt: &mut Doubt,
        number: Number,
        due: Timestamp,
        room: usize,
    ) -> Loss {
        let before = doubt.is_unconfirmed();
        if !before && number > doubt.acknowledged && self.unconfirmed + self.elsewhere >= room {
            return Loss::Unfit;
        }
        doubt.given_up = doubt.given_up.max(number);
        if before || !doubt.is_unconfirmed() {
            return Loss::Known;
        }
        self.unconfirmed += 1;
        self.take_turn(at, doubt, due);
        Loss::Unconfirmed
    }

    /// A repeated removal was not acknowledged, or the one that was does not end the doubt.
    pub(in crate::machine) fn try_again(&mut self, at: usize, doubt: &mut Doubt, now: Timestamp) {
        if doubt.is_unconfirmed() {
            doubt.tries = doubt.tries.saturating_add(1);
            self.forget_turn(at, doubt);
            self.take_turn(at, doubt, now + Backoff::REMOVAL.pause(doubt.tries));
        }
    }

    /// The slot whose turn has come by then, taken off the queue.
    pub(in crate::machine) fn next_due(&mut self, by: Timestamp) -> Option<usize> {
        let &(due, at) = self.turns.first()?;
        (due <= by).then(|| {
            self.turns.pop_first();
            at
        })
    }

    /// Its removal is under way. If nobody reports it, because its task stands still with its
    /// runtime, another task may take it up after a while.
    pub(in crate::machine) fn taken_up(&mut self, at: usize, doubt: &mut Doubt, now: Timestamp) {
        self.take_turn(at, doubt, now + PATIENCE);
    }

    /// When the next removal is to be repeated.
    pub(in crate::machine) fn next_turn(&self) -> Option<Timestamp> {
        self.turns.first().map(|&(due, _)| due)
    }

    /// There was no room for a key of this bucket: L2 is not believed about its keys until everything
    /// that may stand there has ended.
    pub(in crate::machine) fn bypass(&mut self, bucket: u16, now: Timestamp) {
        self.bypassed.retain(|_, until| now < *until);
        self.bypassed.insert(bucket, now + self.longest);
    }

    pub(in crate::machine) fn bypassed(&self, bucket: u16, now: Timestamp) -> bool {
        let until = self.bypassed.get(&bucket);
        until.is_some_and(|until| now < *until)
    }

    /// Of how many buckets that is so.
    pub(in crate::machine) fn count_bypassed(&self, now: Timestamp) -> usize {
        self.bypassed.values().filter(|until| now < **until).count()
    }

    pub(in crate::machine) fn len(&self) -> usize {
        self.unconfirmed
    }

    fn take_turn(&mut self, at: usize, doubt: &mut Doubt, due: Timestamp) {
        doubt.due = Some(due);
        self.turns.insert((due, at));
    }

    fn forget_turn(&mut self, at: usize, doubt: &mut Doubt) {
        if let Some(due) = doubt.due.take() {
            self.turns.remove(&(due, at));
        }
    }
}

/// What a command that was given up did to its key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::machine) enum Loss {
    /// A later acknowledgement, or an earlier loss, has decided about the key already.
    Known,
    /// The key is unconfirmed now.
    Unconfirmed,
    /// There was no room for the key: its bucket is to be raised, or does without L2.
    Unfit,
}

/// How long a removal under way may go without a report.
const PATIENCE: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_nanos(0);

    #[test]
    fn only_a_later_acknowledgement_ends_the_doubt() {
        let (mut doubts, mut doubt) = (Doubts::default(), Doubt::default());
        let (first, second) = (doubts.send(), doubts.send());
        assert_eq!(
            doubts.given_up(0, &mut doubt, second, Cure::Remove, NOW, 8),
            Loss::Unconfirmed
        );
        doubts.acknowledged(0, &mut doubt, first, Cure::Remove);
        assert!(doubt.is_unconfirmed());
        let third = doubts.send();
        doubts.acknowledged(0, &mut doubt, third, Cure::Remove);
        assert!(!doubt.is_unconfirmed());
        assert_eq!((doubts.len(), doubts.next_turn()), (0, None));
    }

    #[test]
    fn a_command_older_than_an_acknowledged_one_is_no_doubt() {
        let (mut doubts, mut doubt) = (Doubts::default(), Doubt::default());
        let (first, second) = (doubts.send(), doubts.send());
        doubts.acknowledged(0, &mut doubt, second, Cure::Remove);
        assert_eq!(
            doubts.given_up(0, &mut doubt, first, Cure::Remove, NOW, 8),
            Loss::Known
        );
        assert!(!doubt.is_unconfirmed());
    }

    #[test]
    fn a_removal_that_nobody_was_told_of_does_not_make_up_for_one_that_was_to_be_told() {
        let (mut doubts, mut doubt) = (Doubts::default(), Doubt::default());
        let (own, quiet) = (doubts.send(), doubts.send());
        doubts.acknowledged(0, &mut doubt, quiet, Cure::Clear);
        assert_eq!(
            doubts.given_up(0, &mut doubt, own, Cure::Remove, NOW, 8),
            Loss::Unconfirmed
        );
        assert!(doubt.cure() == Cure::Remove);
        let repeated = doubts.send();
        doubts.acknowledged(0, &mut doubt, repeated, Cure::Remove);
        assert!(!doubt.is_unconfirmed() && doubt.cure() == Cure::Unload);
    }

    #[test]
    fn nor_does_one_that_was_sent_before_it_was_known_that_there_is_something_to_tell() {
        let (mut doubts, mut doubt) = (Doubts::default(), Doubt::default());
        let (own, heard) = (doubts.send(), doubts.send());
        doubts.doubted(0, &mut doubt, heard, NOW, 8);
        let quiet = doubts.send();
        doubts.given_up(0, &mut doubt, own, Cure::Remove, NOW, 8);
        doubts.acknowledged(0, &mut doubt, quiet, Cure::Clear);
        assert!(doubt.is_unconfirmed() && doubt.cure() == Cure::Remove);
        let repeated = doubts.send();
        doubts.acknowledged(0, &mut doubt, repeated, Cure::Remove);
        assert!(!doubt.is_unconfirmed());
    }

    #[test]
    fn what_does_not_fit_is_said() {
        let (mut doubts, mut one, mut two) =
            (Doubts::default(), Doubt::default(), Doubt::default());
        let (first, second) = (doubts.send(), doubts.send());
        assert_eq!(
            doubts.given_up(0, &mut one, first, Cure::Remove, NOW, 1),
            Loss::Unconfirmed
        );
        assert_eq!(
            doubts.given_up(1, &mut two, second, Cure::Remove, NOW, 1),
            Loss::Unfit
        );
        assert!(!two.is_unconfirmed() && doubts.len() == 1);
    }

    #[test]
    fn a_bucket_is_bypassed_for_the_longest_life() {
        let mut doubts = Doubts::default();
        doubts.note_life(Duration::from_secs(9));
        doubts.bypass(7, NOW);
        assert!(doubts.bypassed(7, NOW + Duration::from_secs(8)));
        assert!(!doubts.bypassed(6, NOW));
        assert!(!doubts.bypassed(7, NOW + Duration::from_secs(9)));
        assert_eq!(doubts.count_bypassed(NOW), 1);
    }

    #[test]
    fn removals_are_repeated_with_back_off() {
        let (mut doubts, mut doubt) = (Doubts::default(), Doubt::default());
        let number = doubts.send();
        doubts.given_up(3, &mut doubt, number, Cure::Remove, NOW, 8);
        assert_eq!(doubts.next_due(NOW), None);
        let mut now = NOW;
        for pause in [50, 100, 200, 400, 800, 1000, 1000] {
            now = now + Duration::from_millis(pause);
            assert_eq!(doubts.next_turn(), Some(now));
            assert_eq!(doubts.next_due(now), Some(3));
            doubts.taken_up(3, &mut doubt, now);
            assert_eq!(doubts.next_turn(), Some(now + PATIENCE));
            doubts.try_again(3, &mut doubt, now);
        }
    }

    #[test]
    fn what_removes_less_than_is_needed_does_not_end_the_doubt() {
        let (mut doubts, mut doubt) = (Doubts::default(), Doubt::default());
        let lost = doubts.send();
        doubts.doubted(0, &mut doubt, lost, NOW, 8);
        doubt.needs(Cure::Clear);
        let unloaded = doubts.send();
        doubts.acknowledged(0, &mut doubt, unloaded, Cure::Unload);
        assert!(doubt.is_unconfirmed());
        let cleared = doubts.send();
        doubts.acknowledged(0, &mut doubt, cleared, Cure::Clear);
        assert_eq!(
            (doubt.is_unconfirmed(), doubt.cure()),
            (false, Cure::Unload)
        );
    }
}
