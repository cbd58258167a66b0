//! What a node does when another primary of L2 answers than before: it may lack the last changes
//! (PROTOCOL.md, F1 and F2).

use core::hash::{BuildHasher, Hash};

use crate::machine::effects::Effects;
use crate::machine::error::Fault;
use crate::machine::policy::Policy;
use crate::machine::shard::{Context, Shard};
use crate::machine::table::unconfirmed::{Cure, Loss, Number};
use crate::machine::time::Timestamp;

impl<K: Hash + Eq + Clone, V: Clone, S: BuildHasher> Shard<K, V, S> {
    /// Has the shard remember what changes, `room` keys at most, for a primary that takes over. L2
    /// has answered `answered`. Said before a question, again and again: what is too old is forgotten
    /// then.
    pub fn remember(
        &mut self,
        answered: Timestamp,
        room: usize,
        policy: &Policy,
        effects: &mut Effects<K, V>,
    ) {
        // What is answered now was sent as long ago as an operation may take.
        let span = policy.failover_window.saturating_add(policy.remote_timeout);
        if self.recents.is_due(answered, span, room) {
            let forgotten = self.recents.turn(answered);
            effects.spent_keys.extend(forgotten);
        }
    }

    /// How many keys are remembered for a primary that takes over.
    #[must_use]
    pub fn remembered(&self) -> usize {
        self.recents.len()
    }

    /// Another primary answers. Each key that changed lately is in doubt until a removal is
    /// acknowledged, and what L2 was asked of it before does not count, whoever answered. What L1 has stays:
    /// it came from the old primary, which knew more.
    pub fn failed_over(&mut self, context: &Context<'_>, effects: &mut Effects<K, V>) {
        self.reign = self.reign.wrapping_add(1);
        self.healing = Some(context.now + context.policy.failover_window);
        let (recent, unfit) = self.recents.take();
        for recent in recent {
            let (slot, spare) = self
                .slots
                .open_hashed(recent.hash, recent.key, recent.bucket);
            effects.spent_keys.extend(spare);
            // Nor is it believed what a read under way may find.
            self.eras.begin(recent.hash);
            self.doubt(slot, recent.cure, context, effects);
        }
        self.doubts.note_life(Self::longest_life(context));
        for bucket in unfit {
            self.unfit(bucket, context, effects);
        }
    }

    /// From now on a change of which it hears was made where the new primary sees it: the new one itself
    /// tells of it.
    pub fn healed(&mut self) {
        self.healing = None;
    }

    /// Whether a change of which it hears may have been made where the new primary does not see it.
    pub(super) fn is_healing(&self, now: Timestamp) -> bool {
        self.healing.is_some_and(|until| now < until)
    }

    /// Numbers a command that changes the key of this slot, which is remembered.
    pub(super) fn send(&mut self, slot: usize, cure: Cure) -> Number {
        let slot = self.slots.look(slot);
        self.recents.note(slot.hash, slot.key(), slot.bucket, cure);
        self.doubts.send()
    }

    /// L2 is not believed about the key of this slot, of which one user less is left, and the key is
    /// repaired at once.
    pub(super) fn doubt(
        &mut self,
        slot: usize,
        cure: Cure,
        context: &Context<'_>,
        effects: &mut Effects<K, V>,
    ) {
        let number = self.doubts.send();
        self.doubts.note_life(Self::longest_life(context));
        let doubt = &mut self.slots.at(slot).doubt;
        let (now, room) = (context.now, context.policy.unconfirmed);
        let loss = self.doubts.doubted(slot, doubt, number, now, room);
        doubt.needs(cure);
        if loss == Loss::Unfit {
            self.unfit(self.slots.look(slot).bucket, context, effects);
        }
        let closed = self.slots.close(slot);
        effects.spent_keys.extend(closed);
    }
}

/// Why an answer of L2 does not count.
pub(super) fn taken_over() -> Fault {
    Fault::Unreachable("another primary has taken over, which may lack the last changes".into())
}

#[cfg(test)]
mod tests {
    use crate::machine::generations::tags::Tags;
    use core::time::Duration;

    use crate::machine::change::{ChangeOutcome, ChangeReply, ChangeStep, Plan, Reach, Wish};
    use crate::machine::lookup::step::{Need, Reply, Seen, Step};
    use crate::machine::policy::Kind;
    use crate::machine::policy::call::Call;
    use crate::machine::shard::glances::Glanced;
    use crate::machine::shard::repairs::Heard;
    use crate::machine::shard::stage::{KEY, Stage};
    use crate::machine::tier::entry::Cached;
    use crate::machine::tier::verb::{Claimed, Granted, Placed};

    /// A node that has heard of a change of the key.
    fn heard() -> Stage {
        let mut stage = Stage::new(Kind::Remote);
        stage.ask(|shard, context, effects| {
            shard.remember(context.now, 8, context.policy, effects);
            let sweep = shard.heard(KEY, 0, Heard::Changed, context, effects);
            shard.swept(&KEY, sweep);
        });
        stage
    }

    fn fails_over(stage: &mut Stage) {
        stage.ask(|shard, context, effects| shard.failed_over(context, effects));
    }

    fn old() -> Option<Seen<&'static str>> {
        Some(Seen {
            value: Some("old"),
            left: Duration::from_secs(9),
            over: Duration::ZERO,
            window: None,
            cost: Duration::ZERO,
            age: None,
            header: None,
            mark: None,
            tags: Tags::NONE,
            born: None,
        })
    }

    #[test]
    fn what_was_to_be_read_before_it_took_over_does_not_count() {
        let mut stage = heard();
        let (ticket, _) =
            stage.ask(|shard, context, effects| shard.join(KEY, 0, Call::new(), context, effects));
        let step = stage.tell(&ticket, Reply::Begin);
        assert!(matches!(step, Step::Ask(Need::Read)));
        fails_over(&mut stage);
        let step = stage.tell(&ticket, Reply::Remote(Ok(old())));
        assert!(matches!(step, Step::Ask(Need::Load)), "{step:?}");
    }

    #[test]
    fn nor_what_a_lease_shows() {
        let mut stage = heard();
        let (ticket, _) =
            stage.ask(|shard, context, effects| shard.join(KEY, 0, Call::new(), context, effects));
        let _ = stage.tell(&ticket, Reply::Begin);
        let step = stage.tell(&ticket, Reply::Remote(Ok(None)));
        assert!(matches!(step, Step::Ask(Need::Lease { .. })));
        fails_over(&mut stage);
        let step = stage.tell(&ticket, Reply::Leased(Ok((Granted::No, old()))));
        assert!(matches!(step, Step::Ask(Need::Load)), "{step:?}");
    }

    #[test]
    fn nor_what_a_read_without_a_loader_finds() {
        let mut stage = heard();
        let hash = stage.shard.slots.hash(&KEY);
        let glance = stage.ask(|shard, context, effects| {
            shard.glance(hash, 0, |key| *key == KEY, Call::new(), context, effects)
        });
        fails_over(&mut stage);
        let glanced = stage.ask(|shard, context, effects| {
            shard.glanced(&glance.unwrap(), || KEY, Ok(old()), context, effects)
        });
        assert!(matches!(glanced, Glanced::Answer(Cached::Miss)));
    }

    #[test]
    fn a_claim_that_the_old_one_granted_does_not_end_the_doubt() {
        let mut stage = heard();
        let plan = Plan::Insert {
            value: "new",
            call: Call::new(),
            condition: None,
        };
        let change =
            stage.ask(|shard, context, effects| shard.open(KEY, 0, plan, context, effects));
        let advance = |stage: &mut Stage, reply| {
            stage.ask(|shard, context, effects| shard.advance(&change, context, reply, effects))
        };
        let step = advance(&mut stage, ChangeReply::Begin);
        assert!(matches!(step, ChangeStep::Ask(Wish::Claim { .. })));
        fails_over(&mut stage);
        let granted = ChangeReply::Claimed(Ok(Claimed::Granted(None, None)));
        let step = advance(&mut stage, granted);
        assert!(matches!(step, ChangeStep::Apply { .. }), "{step:?}");
        let step = advance(&mut stage, ChangeReply::Applied);
        let pending = ChangeOutcome::Made(Reach::Pending);
        assert!(matches!(step, ChangeStep::Finish(outcome) if outcome == pending));
        assert_eq!(stage.shard.unconfirmed(), 1);
        stage.ask(|shard, _, effects| shard.close(change, effects));
    }

    #[test]
    fn what_a_claim_of_the_old_one_finds_overtaken_is_in_doubt() {
        let mut stage = Stage::new(Kind::Remote);
        let plan = Plan::Insert {
            value: "new",
            call: Call::new(),
            condition: None,
        };
        let change =
            stage.ask(|shard, context, effects| shard.open(KEY, 0, plan, context, effects));
        let advance = |stage: &mut Stage, reply| {
            stage.ask(|shard, context, effects| shard.advance(&change, context, reply, effects))
        };
        let _ = advance(&mut stage, ChangeReply::Begin);
        fails_over(&mut stage);
        // Nothing is known of the key, so the claim is believed.
        let granted = ChangeReply::Claimed(Ok(Claimed::Granted(None, None)));
        let step = advance(&mut stage, granted);
        assert!(
            matches!(step, ChangeStep::Ask(Wish::Put { .. })),
            "{step:?}"
        );
        let overtaken = ChangeReply::Put(Ok(Placed::Overtaken));
        let step = advance(&mut stage, overtaken);
        assert!(matches!(step, ChangeStep::Apply { .. }), "{step:?}");
        assert_eq!(stage.shard.unconfirmed(), 1);
        let _ = advance(&mut stage, ChangeReply::Applied);
        stage.ask(|shard, _, effects| shard.close(change, effects));
    }
}
