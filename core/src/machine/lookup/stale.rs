//! What a lookup answers when nothing fresh can be had (PROTOCOL.md, S1 to S4).

use core::time::Duration;

use crate::machine::generations::Generations;
use crate::machine::lookup::fallback::Fallback;
use crate::machine::lookup::step::{Answer, Seen};
use crate::machine::lookup::{Lookup, Move, Out, State, View};
use crate::machine::policy::call::Call;
use crate::machine::policy::pace::RefreshOutcome;
use crate::machine::time::Timestamp;

impl<V: Clone> Lookup<V> {
    /// A tier has shown what there is.
    pub(super) fn fall_back_on(
        &mut self,
        found: Result<Fallback<V>, Option<V>>,
        out: &mut Out<'_, V>,
    ) {
        match found {
            Ok(found) => {
                let (newer, spent) = found.newer(self.fallback.take());
                self.fallback = Some(newer);
                out.spent.extend(spent);
                out.found_stale = true;
            }
            Err(spent) => out.spent.extend(spent),
        }
    }

    /// L2 has shown something that is not fresh, or nothing. What is not there has been removed: by a
    /// change, of which this node hears only with a bus. Then what L1 had is dead, too.
    pub(super) fn learn(
        &mut self,
        view: &View<'_>,
        sent: Timestamp,
        seen: Option<Seen<V>>,
        out: &mut Out<'_, V>,
    ) {
        let found = seen.map_or(Err(None), |seen| {
            Fallback::of_l2(seen, sent, view.policy, view.generations.heard(), view.now)
        });
        if found.is_err() && !view.policy.hears {
            let dead = self.fallback.take();
            out.spent.extend(dead.map(Fallback::into_value));
            self.due_stands = false;
        }
        let extensible = found.as_ref().ok().filter(|found| found.is_extensible());
        let before = core::mem::replace(&mut self.in_l2, extensible.cloned());
        out.spent.extend(before.map(Fallback::into_value));
        self.fall_back_on(found, out);
    }

    /// Whether a stale value is on its way into L1.
    pub(in crate::machine) fn is_keeping_stale(&self) -> bool {
        matches!(&self.state, State::Keeping { answer } if answer.over.is_some())
    }

    /// A read without a loader puts a fresh value into L1.
    pub(in crate::machine) fn on_fed(&mut self) {
        self.fed = true;
    }

    /// The stale value as an answer to this call, now: not past its window, not once a change has
    /// ended, and not once one of its tags was raised.
    pub(in crate::machine) fn stale(
        &self,
        call: &Call,
        superseded: bool,
        generations: &Generations,
        now: Timestamp,
    ) -> Option<Answer<V>> {
        let found = self.fallback.as_ref().filter(|_| !superseded)?;
        let found = Some(found).filter(|found| found.is_alive(generations))?;
        found.answer(call, now)
    }

    pub(super) fn stale_answer(&self, view: &View<'_>) -> Option<Answer<V>> {
        self.stale(&self.call, view.superseded, view.generations, view.now)
    }

    /// How long the leader still waits, if it has a stale value to answer.
    pub(super) fn soft_left(&self, view: &View<'_>) -> Option<Duration> {
        if self.call.aim.is_some() {
            // Nobody waits for a refresh.
            return None;
        }
        let due = view.came + view.policy.soft_timeout(&self.call)?;
        let stale = self.stale_answer(view);
        stale.map(|_| due.since(view.now))
    }

    /// The load has failed. The stale value answers, and stays in L1 for `stale_retry`; for as long
    /// the lease stands, as a mark for the other nodes.
    pub(super) fn fail_over(&mut self, view: &View<'_>) -> Option<Move<V>> {
        let fed = core::mem::take(&mut self.fed) && !self.call.skip_local;
        if fed && self.fallback.is_some() && self.call.aim.is_none() {
            // What L1 has now is newer. Should that be over by now, it is the fallback.
            return Some(self.look());
        }
        let answer = self.stale_answer(view)?;
        if self.call.aim.is_some() || answer.over.is_none() {
            // A refresh comes again by itself, and what is fresh still need not be kept anew.
            return Some(self.finish(answer));
        }
        let retry = view.policy.stale_retry;
        self.failing = Some(retry);
        Some(self.keep_stale(view, answer, retry))
    }

    /// Another node's load has failed lately. Whoever can do without does not load.
    pub(super) fn while_failing(&mut self, view: &View<'_>, out: &mut Out<'_, V>) -> Move<V> {
        if self.call.aim.is_some() {
            return self.give_up(RefreshOutcome::Passed);
        }
        match self.stale_answer(view) {
            // Nobody knows how long the mark stands yet, and to ask costs no load.
            Some(answer) => self.keep_stale(view, answer, view.policy.stale_retry / 4),
            None => self.load(view, out),
        }
    }

    /// Puts the stale value into L1, unless something newer stands there.
    fn keep_stale(&mut self, view: &View<'_>, answer: Answer<V>, span: Duration) -> Move<V> {
        let wanted = !self.call.no_store && !self.fed && !view.writing;
        let Some(found) = self.fallback.as_ref().filter(|_| wanted) else {
            return self.finish(answer);
        };
        // Without a bus nobody tells that it was changed elsewhere.
        let span = if view.policy.hears || !view.policy.kind.has_remote() {
            span
        } else {
            span.min(view.policy.local_ttl)
        };
        let entry = found.entry(view.now + span);
        self.keep(view, entry, answer)
    }
}

#[cfg(test)]
mod tests {
    use alloc::boxed::Box;

    use super::*;
    use crate::machine::error::Error;
    use crate::machine::generations::heard::Heard;
    use crate::machine::generations::tags::Tags;
    use crate::machine::lookup::step::{Need, Reply, Step};
    use crate::machine::policy::Kind;
    use crate::machine::shard::glances::Glanced;
    use crate::machine::shard::stage::{KEY, Stage};
    use crate::machine::table::luck::Luck;
    use crate::machine::tier::entry::{Cached, Entry};
    use crate::machine::tier::verb::Granted;

    const SECOND: Duration = Duration::from_secs(1);

    impl Stage {
        fn with_stale_values() -> Self {
            let mut stage = Self::new(Kind::Local);
            stage.policy.stale_for = 60 * SECOND;
            stage.now = Timestamp::default() + 10 * SECOND;
            stage
        }

        /// The last step of a lookup that finds this in L1, and whose loader fails. `meanwhile` happens
        /// between the look and its reply.
        fn fails(
            &mut self,
            call: Call,
            found: Entry<&'static str>,
            meanwhile: impl FnOnce(&mut Self),
        ) -> Step<&'static str> {
            let (ticket, _) =
                self.ask(|shard, context, effects| shard.join(KEY, 0, call, context, effects));
            assert!(matches!(self.tell(&ticket, Reply::Begin), Step::ReadLocal));
            meanwhile(self);
            let step = self.tell(&ticket, Reply::Local(Some(found)));
            assert!(matches!(step, Step::Ask(Need::Load)), "{step:?}");
            self.tell(&ticket, Reply::Loaded(Err(Error::Overloaded)))
        }

        /// A read without a loader finds a fresh value in L2, and puts it into L1.
        fn feed(&mut self) {
            let glanced = self.ask(|shard, context, effects| {
                // Its hash matters only to changes, and there are none.
                let glance = shard.glance(0, 0, |key| *key == KEY, Call::new(), context, effects);
                let read = Ok(Some(seen(60 * SECOND)));
                shard.glanced(&glance.unwrap(), || KEY, read, context, effects)
            });
            let Glanced::Keep(_, kept, _) = glanced else {
                panic!("{glanced:?}")
            };
            self.ask(|shard, _, effects| shard.kept(&kept, effects));
        }
    }

    /// A second past its end, and for ten more to be served.
    fn ended() -> Entry<&'static str> {
        let end = Timestamp::default() + 9 * SECOND;
        Entry::new(Some("old"), end).stale_until(end + 11 * SECOND)
    }

    /// What L2 shows of a value with so much left, or as stale as [`ended`].
    fn seen(left: Duration) -> Seen<&'static str> {
        let fresh = !left.is_zero();
        Seen {
            value: Some(if fresh { "new" } else { "old" }),
            left,
            over: if fresh { Duration::ZERO } else { SECOND },
            window: Some(11 * SECOND),
            cost: Duration::ZERO,
            age: None,
            header: None,
            mark: None,
            tags: Tags::NONE,
            born: None,
        }
    }

    #[test]
    fn a_failing_load_leaves_the_stale_value_in_l1_for_a_while() {
        let mut world = Stage::with_stale_values();
        let step = world.fails(Call::new(), ended(), |_| {});
        let Step::WriteLocal { entry, .. } = step else {
            panic!("{step:?}")
        };
        assert!(entry.is_stale() && entry.value() == Some(&"old"));
        let end = world.now + world.policy.stale_retry;
        assert_eq!((entry.expires(), entry.over()), (end, 2 * SECOND));
        assert_eq!(entry.stale_end(), Timestamp::default() + 20 * SECOND);
    }

    /// A `get` has brought a fresh value into L1 while the loader ran, for those who ask L1.
    #[test]
    fn a_call_that_skips_l1_does_not_look_there_after_a_failure() {
        for (call, looks) in [(Call::new(), true), (Call::new().skip_local(), false)] {
            let mut world = Stage::with_stale_values();
            world.policy.kind = Kind::Both;
            let (ticket, _) =
                world.ask(|shard, context, effects| shard.join(KEY, 0, call, context, effects));
            let mut step = world.tell(&ticket, Reply::Begin);
            if looks {
                assert!(matches!(step, Step::ReadLocal), "{step:?}");
                step = world.tell(&ticket, Reply::Local(None));
            }
            assert!(matches!(step, Step::Ask(Need::Read)), "{step:?}");
            let step = world.tell(&ticket, Reply::Remote(Ok(Some(seen(Duration::ZERO)))));
            assert!(matches!(step, Step::Ask(Need::Lease { .. })), "{step:?}");
            let found = Some(seen(Duration::ZERO));
            let step = world.tell(&ticket, Reply::Leased(Ok((Granted::Yes, found))));
            assert!(matches!(step, Step::Ask(Need::Load)), "{step:?}");
            world.feed();
            let step = world.tell(&ticket, Reply::Loaded(Err(Error::Overloaded)));
            if looks {
                assert!(matches!(step, Step::ReadLocal), "{step:?}");
            } else {
                let Step::Finish { answer, .. } = step else {
                    panic!("{step:?}")
                };
                let outcome = answer.outcome.as_ref().unwrap();
                assert_eq!(*outcome, Cached::Stale("old"));
            }
        }
    }

    #[test]
    fn a_call_may_say_how_old_is_too_old() {
        for (window, taken) in [(SECOND, false), (2 * SECOND, true)] {
            let call = Call::new().stale_for(window);
            let step = Stage::with_stale_values().fails(call, ended(), |_| {});
            let stale = matches!(step, Step::WriteLocal { .. });
            assert_eq!(stale, taken, "{window:?}: {step:?}");
        }
    }

    /// The old value may be what is just being removed, and then it must not come back.
    #[test]
    fn what_is_found_while_l1_is_swept_is_no_fallback() {
        let mut world = Stage::with_stale_values();
        let sweep = world.ask(|shard, _, effects| shard.supersede(&KEY, effects));
        let step = world.fails(Call::new(), ended(), |_| {});
        let Step::Finish { answer, .. } = step else {
            panic!("{step:?}")
        };
        assert!(answer.outcome.is_err());
        world.shard.swept(&KEY, sweep);
        let step = world.fails(Call::new(), ended(), |_| {});
        assert!(matches!(step, Step::WriteLocal { .. }), "{step:?}");
    }

    /// A sweep that began before the look, and ends after it, has removed what was found.
    #[test]
    fn what_is_swept_behind_a_look_is_no_fallback() {
        let mut world = Stage::with_stale_values();
        let (ticket, _) =
            world.ask(|shard, context, effects| shard.join(KEY, 0, Call::new(), context, effects));
        let _ = world.tell(&ticket, Reply::Begin);
        let step = world.tell(&ticket, Reply::Local(Some(ended())));
        assert!(matches!(step, Step::Ask(Need::Load)), "{step:?}");
        world.ask(|shard, _, effects| {
            // The flight of another key's change, which sweeps all.
            let sweep = shard.supersede(&(KEY + 1), effects);
            shard.swept(&KEY, sweep);
        });
        let step = world.tell(&ticket, Reply::Loaded(Err(Error::Overloaded)));
        assert!(
            matches!(&step, Step::Finish { answer, .. } if answer.outcome.is_err()),
            "{step:?}"
        );
    }

    #[test]
    fn a_change_meanwhile_ends_it() {
        let mut world = Stage::with_stale_values();
        let mut sweep = None;
        let step = world.fails(Call::new(), ended(), |world| {
            sweep = Some(world.ask(|shard, _, effects| shard.supersede(&KEY, effects)));
        });
        assert!(
            matches!(&step, Step::Finish { answer, .. } if answer.outcome.is_err()),
            "{step:?}"
        );
    }

    #[test]
    fn of_two_values_the_one_that_lasts_longer_is_taken() {
        let mut events = alloc::vec::Vec::new();
        let mut spent = alloc::vec::Vec::new();
        let mut out = Out {
            events: &mut events,
            spent: &mut spent,
            luck: &mut Luck::default(),
            found_stale: false,
        };
        let mut lookup = Box::new(Lookup::new(Call::new()));
        let longer = Entry::new(Some("longer"), Timestamp::default());
        let longer = longer.stale_until(Timestamp::default() + 60 * SECOND);
        for entry in [ended(), longer, ended()] {
            let found = Fallback::of_l1(entry, false, Heard::default(), Timestamp::default());
            lookup.fall_back_on(found, &mut out);
        }
        let answer = lookup.stale(
            &Call::new(),
            false,
            &Generations::default(),
            Timestamp::default() + 10 * SECOND,
        );
        let outcome = answer.map(|answer| answer.outcome.ok());
        assert_eq!(outcome, Some(Some(Cached::Stale("longer"))));
        assert_eq!(spent, ["old", "old"]);
    }
}
