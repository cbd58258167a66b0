//! What a write-through does once its claim was answered: the caller writes, then L2 is settled
//! (PROTOCOL.md, C4).

use core::hash::{BuildHasher, Hash};
use core::time::Duration;

use crate::machine::change::{ChangeStep, Reach, State, Wish};
use crate::machine::effects::Effects;
use crate::machine::error::Fault;
use crate::machine::event::Event;
use crate::machine::shard::{Context, Shard};
use crate::machine::table::unconfirmed::{Cure, Number};
use crate::machine::tier::load::Load;
use crate::machine::tier::mark::{Age, Note};
use crate::machine::tier::verb::{Announce, Filled, Times};
use crate::machine::time::Timestamp;
use crate::machine::token::Token;

impl<K: Hash + Eq + Clone, V: Clone, S: BuildHasher> Shard<K, V, S> {
    /// What is raised while the row is written may concern it: its number and its stamp are those of
    /// before (T1).
    pub(super) fn write(
        &mut self,
        at: usize,
        claim: Option<(Token, Timestamp)>,
        context: &Context<'_>,
    ) -> ChangeStep<V> {
        let change = &mut self.changes[at];
        change.begin(context.generations);
        change.state = State::Writing(claim);
        ChangeStep::Ask(Wish::Write)
    }

    /// The database was written, or nobody knows. A value that is to be kept is settled with the
    /// claim's token. If somebody else has taken the key meanwhile, nobody knows whose row was
    /// written last, so neither value may stay. Without the token the key is removed.
    pub(super) fn on_written(
        &mut self,
        at: usize,
        claim: Option<(Token, Timestamp)>,
        written: Option<Load<V>>,
        context: &Context<'_>,
        effects: &mut Effects<K, V>,
    ) -> ChangeStep<V> {
        let doubted = self.is_doubted(at, context);
        let change = &mut self.changes[at];
        let lives = written.as_ref().and_then(|load| {
            context
                .policy
                .lives(&change.call(), load, context.roll.bits())
        });
        let mark = written.as_ref().and_then(|load| load.mark.clone());
        if let Some(tags) = written.as_ref().map(|load| &load.tags)
            && !tags.is_empty()
        {
            change.tags = tags.clone();
        }
        let value = written.map(|load| load.value);
        let (Some(value), Some(lives)) = (value.clone(), lives) else {
            effects.spent_values.extend(value.flatten());
            return self.settle_nothing(at, claim.is_some(), context, effects);
        };
        (change.born, change.lives) = (context.now, lives);
        let noted = |mark| Note::new(mark, Age::born(context.now));
        change.note = mark.clone().map(noted);
        if !context.policy.kind.has_remote() {
            change.written = Some(value);
            return self.end(at, Reach::Everywhere, true, context, effects);
        }
        let (Some((token, since)), false) = (claim, doubted) else {
            effects.spent_values.extend(value);
            return self.settle_nothing(at, claim.is_some(), context, effects);
        };
        change.written = Some(value.clone());
        let (slot, born, tags) = (change.slot, change.generation, change.tags.clone());
        let number = self.send(slot, Cure::Remove);
        self.changes[at].state = State::Settling(number);
        let lease = context.policy.longest_hold();
        self.doubts.note_life(lives.kept().saturating_add(lease));
        ChangeStep::Ask(Wish::Settle {
            token,
            value,
            mark,
            tags,
            born,
            times: Times {
                life: lives.remote,
                stale: lives.stale,
                cost: Duration::ZERO,
                lease,
                age: context.now.since(since),
            },
            announce: Announce::Yes,
        })
    }

    /// Nothing of a write-through is kept. If L2 did not answer its claim, it is not waited for a
    /// second time: the removal joins those that are repeated.
    fn settle_nothing(
        &mut self,
        at: usize,
        claimed: bool,
        context: &Context<'_>,
        effects: &mut Effects<K, V>,
    ) -> ChangeStep<V> {
        if !context.policy.kind.has_remote() {
            return self.end(at, Reach::Everywhere, false, context, effects);
        }
        if claimed {
            return self.remove(at, Reach::Everywhere);
        }
        let number = self.doubts.send();
        self.give_up(at, number, context, effects);
        self.end(at, Reach::Pending, false, context, effects)
    }

    pub(super) fn on_settled(
        &mut self,
        at: usize,
        number: Number,
        settled: Result<Filled, Fault>,
        context: &Context<'_>,
        effects: &mut Effects<K, V>,
    ) -> ChangeStep<V> {
        let unsent = match settled {
            Ok(filled) => {
                // A settlement that has a token confirms nothing.
                let reach = if self.is_doubted(at, context) {
                    Reach::Pending
                } else {
                    Reach::Everywhere
                };
                let stored = filled == Filled::Stored;
                return self.end(at, reach, stored, context, effects);
            }
            Err(Fault::Encode(_)) => Event::Unencodable,
            Err(Fault::TooLarge) => Event::TooLarge,
            Err(fault) => {
                effects.events.push(Event::RemoteFault(fault));
                self.give_up(at, number, context, effects);
                return self.end(at, Reach::Pending, false, context, effects);
            }
        };
        effects.events.push(unsent);
        let written = self.changes[at].written.take();
        effects.spent_values.extend(written.flatten());
        self.remove(at, Reach::Everywhere)
    }
}
