//! The removals that are repeated until L2 acknowledges one (PROTOCOL.md, C5), and what a node does
//! when it hears of others' changes (H1, G2).

use alloc::vec::Vec;
use core::hash::{BuildHasher, Hash};
use core::time::Duration;

use crate::machine::effects::Effects;
use crate::machine::event::Event;
use crate::machine::shard::{Context, Shard};
pub use crate::machine::table::unconfirmed::Cure;
use crate::machine::table::unconfirmed::{Loss, Number};
use crate::machine::table::writes::Sweep;
use crate::machine::time::Timestamp;

/// What others did to a key, as far as it matters here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Heard {
    /// They changed it.
    Changed,
    /// It was changed or filled, by them or by this node: L2 shows no more than that.
    Shown,
    /// They filled it with what they had loaded.
    Filled,
    /// They removed it and know nothing of leases: a load that began before may still fill L2.
    Deleted,
    /// Something that cannot be understood: it counts as changed.
    Unclear,
}

/// A removal to be repeated now. Its holder gives it back with [`Shard::repaired`].
#[derive(Debug)]
#[must_use = "a repair must be reported"]
pub struct Repair<K> {
    slot: usize,
    number: Number,
    key: K,
    cure: Cure,
}

impl<K> Repair<K> {
    /// The key to be removed from L2.
    pub fn key(&self) -> &K {
        &self.key
    }

    /// How the key is repaired.
    pub fn cure(&self) -> Cure {
        self.cure
    }
}

impl<K: Hash + Eq + Clone, V: Clone, S: BuildHasher> Shard<K, V, S> {
    /// The removals whose turn has come by then, `most` at most.
    pub fn repairs(&mut self, by: Timestamp, now: Timestamp, most: usize) -> Vec<Repair<K>> {
        let due = core::iter::from_fn(|| self.doubts.next_due(by));
        // Collected first: one that is taken up is queued again, and may be due by `by` once more.
        let due: Vec<usize> = due.take(most).collect();
        due.into_iter()
            .map(|slot| self.take_up(slot, now))
            .collect()
    }

    fn take_up(&mut self, slot: usize, now: Timestamp) -> Repair<K> {
        self.doubts
            .taken_up(slot, &mut self.slots.at(slot).doubt, now);
        let cure = self.slots.look(slot).doubt.cure();
        // Once more if another primary takes over before this has reached it.
        let number = self.send(slot, cure.max(Cure::Clear));
        Repair {
            slot,
            number,
            key: self.slots.use_again(slot),
            cure,
        }
    }

    /// Whether L2 acknowledged the removal.
    pub fn repaired(
        &mut self,
        repair: Repair<K>,
        acknowledged: bool,
        context: &Context<'_>,
        effects: &mut Effects<K, V>,
    ) {
        let Repair {
            slot,
            number,
            key,
            cure,
        } = repair;
        effects.spent_keys.push(key);
        if acknowledged {
            self.doubts
                .acknowledged(slot, &mut self.slots.at(slot).doubt, number, cure);
        } else {
            self.lose(slot, number, cure, context, effects);
        }
        self.doubts
            .try_again(slot, &mut self.slots.at(slot).doubt, context.now);
        let closed = self.slots.close(slot);
        effects.spent_keys.extend(closed);
    }

    /// When the next removal is to be repeated; `None` if nothing is in doubt.
    #[must_use]
    pub fn next_repair(&self) -> Option<Timestamp> {
        self.doubts.next_turn()
    }

    /// Whether L2 has confirmed every change of this key, which is in this bucket, that this node made.
    #[must_use]
    pub fn is_confirmed(&self, key: &K, bucket: u16, context: &Context<'_>) -> bool {
        let slot = self.slots.find(key);
        let in_doubt = slot.is_some_and(|slot| self.slots.look(slot).doubt.is_unconfirmed());
        !in_doubt && !self.avoids_l2(bucket, context)
    }

    /// Others have changed the key: whatever is under way on it is nobody's any more, but for a
    /// flight that has yet to look at what they have filled it with (PROTOCOL.md, H1).
    ///
    /// If they know nothing of leases, and deleted it, a load that began before may still fill L2
    /// or has done so: this node removes that, at once and without telling anybody (G2). So it does
    /// with whatever they changed while another primary has just taken over (F2).
    pub fn heard(
        &mut self,
        key: K,
        bucket: u16,
        heard: Heard,
        context: &Context<'_>,
        effects: &mut Effects<K, V>,
    ) -> Sweep {
        if heard == Heard::Filled {
            let sweep = self.supersede_fed(&key, effects);
            effects.spent_keys.push(key);
            return sweep;
        }
        let hash = self.slots.hash(&key);
        if heard == Heard::Shown {
            // Most are loads, which are no changes.
            self.recents.note_shown(hash, &key, bucket);
        } else {
            self.recents.note(hash, &key, bucket, Cure::Clear);
        }
        let sweep = self.supersede(&key, effects);
        let cure = match heard {
            // Its own removals are shown to it, too: it would answer itself.
            Heard::Shown | Heard::Filled => None,
            _ if self.is_healing(context.now) => Some(Cure::Clear),
            Heard::Deleted if context.policy.strangers => Some(Cure::Unload),
            Heard::Changed | Heard::Deleted | Heard::Unclear => None,
        };
        match cure {
            None => effects.spent_keys.push(key),
            Some(cure) => {
                let (slot, spare) = self.slots.open_hashed(hash, key, bucket);
                effects.spent_keys.extend(spare);
                self.doubt(slot, cure, context, effects);
            }
        }
        sweep
    }

    /// [`supersede`](Self::supersede) for a key that others have filled. A flight that has found
    /// nothing so far goes on: it looks for what they filled it with before it does anything else.
    fn supersede_fed(&mut self, key: &K, effects: &mut Effects<K, V>) -> Sweep {
        let Some(slot) = self.slots.find(key) else {
            return self.supersede(key, effects);
        };
        let flights = &self.flights;
        let is_to_look = |at: &mut usize| flights[*at].lookup.is_to_look();
        let spared = self.slots.at(slot).flight.take_if(is_to_look);
        let pending = self.supersede_slot(slot, effects);
        let sweep = self.begin_sweep(pending);
        if let Some(at) = spared {
            let slot = self.slots.at(slot);
            slot.flight = Some(at);
            self.flights[at].era = slot.era;
        }
        sweep
    }

    /// How long an entry may stand in L2 that is there now or still comes: a load that holds an
    /// older lease may fill for as long as it may hold that.
    pub(super) fn longest_life(context: &Context<'_>) -> Duration {
        let policy = context.policy;
        let life = policy.ttl.saturating_add(policy.stale_for);
        let life = life.max(policy.negative_ttl);
        life.saturating_add(policy.longest_hold())
    }

    /// The policy is about to change: what L2 has by now may live as long as this one said.
    pub fn remember_life(&mut self, context: &Context<'_>) {
        self.doubts.note_life(Self::longest_life(context));
    }

    /// A removal, claim, conditional fill or settlement was given up; this cure makes up for it.
    pub(in crate::machine) fn lose(
        &mut self,
        slot: usize,
        number: Number,
        cure: Cure,
        context: &Context<'_>,
        effects: &mut Effects<K, V>,
    ) {
        let longest = Self::longest_life(context);
        self.doubts.note_life(longest);
        let doubt = &mut self.slots.at(slot).doubt;
        let room = context.policy.unconfirmed;
        match (self.doubts).given_up(slot, doubt, number, cure, context.now, room) {
            Loss::Known => {}
            Loss::Unconfirmed => effects.events.push(Event::Unconfirmed),
            Loss::Unfit => self.unfit(self.slots.look(slot).bucket, context, effects),
        }
    }
}

#[cfg(test)]
mod tests {
    use core::hash::{BuildHasherDefault, Hasher};

    use super::*;
    use crate::machine::change::{ChangeReply, ChangeStep, Plan, Wish};
    use crate::machine::generations::Generations;
    use crate::machine::generations::tags::Tags;
    use crate::machine::lookup::step::{Need, Reply, Seen, Step};
    use crate::machine::policy::call::Call;
    use crate::machine::policy::{Kind, Policy};
    use crate::machine::table::flight::Ticket;
    use crate::machine::tier::verb::{Claimed, Granted};
    use crate::machine::token::Roll;

    type Table = Shard<u8, u8, BuildHasherDefault<Sum>>;

    /// Enough for one key.
    #[derive(Default)]
    struct Sum(u64);

    impl Hasher for Sum {
        fn write(&mut self, bytes: &[u8]) {
            self.0 += bytes.iter().map(|byte| u64::from(*byte)).sum::<u64>();
        }

        fn finish(&self) -> u64 {
            self.0
        }
    }

    /// A node with one flight, which L1 cannot answer.
    struct Node {
        shard: Table,
        policy: Policy,
        ticket: Ticket,
    }

    impl Node {
        fn new() -> Self {
            let policy = Policy::new(Kind::Both);
            let mut shard = Table::new(BuildHasherDefault::default());
            let mut effects = Effects::default();
            let (ticket, _) = shard.join(1, 0, Call::new(), &context(&policy), &mut effects);
            let mut node = Self {
                shard,
                policy,
                ticket,
            };
            assert!(matches!(node.step(Reply::Begin), Step::ReadLocal));
            let step = node.step(Reply::Local(None));
            assert!(matches!(step, Step::Ask(Need::Read)));
            node
        }

        fn step(&mut self, reply: Reply<u8>) -> Step<u8> {
            let (context, mut effects) = (context(&self.policy), Effects::default());
            self.shard.step(&self.ticket, &context, reply, &mut effects)
        }

        /// Others have done this to the key, and L1 has lost it.
        fn hears(&mut self, heard: Heard) {
            let (context, mut effects) = (context(&self.policy), Effects::default());
            let sweep = self.shard.heard(1, 0, heard, &context, &mut effects);
            self.shard.swept(&1, sweep);
        }
    }

    static NOTHING_RAISED: Generations = Generations::new();

    fn context(policy: &Policy) -> Context<'_> {
        Context {
            now: Timestamp::from_nanos(0),
            roll: Roll::Bits(7),
            policy,
            generations: &NOTHING_RAISED,
        }
    }

    fn seen() -> Option<Seen<u8>> {
        Some(Seen {
            value: Some(5),
            left: Duration::from_secs(9),
            over: Duration::ZERO,
            window: None,
            cost: Duration::ZERO,
            age: None,
            mark: None,
            tags: Tags::NONE,
            born: None,
            header: None,
        })
    }

    /// A flight that waits for another node's load, and is told of its end.
    fn waits(heard: Heard) -> Step<u8> {
        let mut node = Node::new();
        let step = node.step(Reply::Remote(Ok(None)));
        assert!(matches!(step, Step::Ask(Need::Lease { .. })));
        let step = node.step(Reply::Leased(Ok((Granted::No, None))));
        assert!(matches!(step, Step::Ask(Need::Pause(_))));
        node.hears(heard);
        let step = node.step(Reply::Paused);
        assert!(matches!(step, Step::Ask(Need::Lease { .. })));
        node.step(Reply::Leased(Ok((Granted::No, seen()))))
    }

    #[test]
    fn a_bypass_lasts_as_long_as_the_former_policy_let_entries_live() {
        let mut node = Node::new();
        let former = node.policy.ttl;
        node.shard.remember_life(&context(&node.policy));
        node.policy.ttl = Duration::from_secs(1);
        node.shard.remember_life(&context(&node.policy));
        let now = Timestamp::default();
        node.shard.doubts.bypass(7, now);
        assert!(node.shard.doubts.bypassed(7, now + former));
    }

    #[test]
    fn who_waits_for_a_load_keeps_what_it_filled() {
        assert!(matches!(waits(Heard::Filled), Step::WriteLocal { .. }));
        assert!(matches!(waits(Heard::Changed), Step::Finish { .. }));
    }

    #[test]
    fn what_was_being_read_when_others_filled_the_key_is_not_kept() {
        for heard in [Heard::Filled, Heard::Changed] {
            let mut node = Node::new();
            node.hears(heard);
            let step = node.step(Reply::Remote(Ok(seen())));
            assert!(matches!(step, Step::Finish { .. }), "{heard:?}");
        }
    }

    #[test]
    fn a_deletion_makes_the_key_unconfirmed_until_what_was_loaded_is_gone() {
        let mut node = Node::new();
        node.policy.strangers = true;
        node.hears(Heard::Deleted);
        assert_eq!(node.shard.unconfirmed(), 1);
        let now = Timestamp::from_nanos(0);
        let repair = node.shard.repairs(now, now, 8).remove(0);
        assert_eq!(repair.cure(), Cure::Unload);
        let (context, mut effects) = (context(&node.policy), Effects::default());
        (node.shard).repaired(repair, true, &context, &mut effects);
        assert_eq!(node.shard.unconfirmed(), 0);
    }

    #[test]
    fn an_insert_under_way_when_others_delete_is_put_all_the_same() {
        let mut node = Node::new();
        node.policy.strangers = true;
        let context = context(&node.policy);
        let (shard, mut effects) = (&mut node.shard, Effects::default());
        let plan = Plan::Insert {
            value: 5,
            call: Call::new(),
            condition: None,
        };
        let change = shard.open(1, 0, plan, &context, &mut effects);
        let step = shard.advance(&change, &context, ChangeReply::Begin, &mut effects);
        assert!(matches!(
            step,
            ChangeStep::Ask(Wish::Claim { spares: true, .. })
        ));
        let sweep = shard.heard(1, 0, Heard::Deleted, &context, &mut effects);
        shard.swept(&1, sweep);
        let claimed = ChangeReply::Claimed(Ok(Claimed::Granted(None, None)));
        let step = shard.advance(&change, &context, claimed, &mut effects);
        assert!(matches!(step, ChangeStep::Ask(Wish::Put { .. })));
    }

    #[test]
    fn a_removal_that_took_the_lease_needs_nothing_more() {
        for strangers in [false, true] {
            let mut node = Node::new();
            node.policy.strangers = strangers;
            node.hears(Heard::Changed);
            assert_eq!(node.shard.unconfirmed(), 0);
        }
    }
}
