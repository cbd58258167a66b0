//! What stands is shown to the loader, who may say that it is still right: then its life is renewed,
//! in L2 without sending it again (PROTOCOL.md, E1 to E3).

use alloc::boxed::Box;
use core::time::Duration;

use crate::machine::error::Fault;
use crate::machine::generations::Generations;
use crate::machine::lookup::fallback::Fallback;
use crate::machine::lookup::step::{Answer, Extension, Need, Stands, Step};
use crate::machine::lookup::{Lookup, Move, Out, State, View};
use crate::machine::policy::pace::RefreshOutcome;
use crate::machine::tier::entry::Entry;
use crate::machine::tier::envelope::Header;
use crate::machine::tier::verb::{Extended, Filled};
use crate::machine::time::Timestamp;

impl<V: Clone> Lookup<V> {
    /// What stands there, for the loader that is about to run.
    pub(in crate::machine) fn standing(
        &mut self,
        superseded: bool,
        generations: &Generations,
        now: Timestamp,
    ) -> Option<Stands<V>> {
        let loads = matches!(self.state, State::Loading { .. }) && !superseded;
        let mut found = self.in_l2.iter().chain(&self.fallback).filter(|_| loads);
        let shows = |found: &Fallback<V>| found.show(now).filter(|_| found.is_alive(generations));
        let found = found.find_map(shows);
        let due = (self.due.as_ref()).filter(|_| loads && found.is_none() && self.due_stands);
        let heard = generations.heard();
        let due = due.and_then(|due| Fallback::of_l1(due.clone(), false, heard, now).ok());
        let due = due.and_then(|due| shows(&due));
        let (stands, shown) = found.or(due)?;
        self.shown = Some(shown);
        Some(stands)
    }

    /// Renews what stands in L2. Only who holds the lease may; whoever fills may extend.
    pub(super) fn extend(
        &mut self,
        view: &View<'_>,
        entry: Entry<V>,
        answer: Answer<V>,
        (stale, cost): (Duration, Duration),
        header: Header,
    ) -> Move<V> {
        let Some((token, times)) = self.may_fill(view, &answer, (stale, cost)) else {
            return self.keep(view, entry, answer);
        };
        let announce = self.announces(view);
        self.state = State::Extending {
            entry,
            answer,
            stale,
            cost,
        };
        Move::Do(Step::Ask(Need::Extend(Box::new(Extension {
            token,
            header,
            times,
            announce,
        }))))
    }

    pub(super) fn on_extended(
        &mut self,
        view: &View<'_>,
        entry: Entry<V>,
        answer: Answer<V>,
        times: (Duration, Duration),
        extended: Result<Extended, Fault>,
        out: &mut Out<'_, V>,
    ) -> Move<V> {
        match extended {
            Ok(Extended::Stored) => self.on_stored(view, entry, answer, Ok(Filled::Stored), out),
            Ok(Extended::Refused) => self.on_stored(view, entry, answer, Ok(Filled::Refused), out),
            Ok(Extended::Unlike) => self.fill(view, entry, answer, times),
            // Where it finds something else it leaves the lease, and nobody would give that back: it
            // is given back at the end. Should that come first, the extension is refused.
            Err(fault) => {
                self.outcome = RefreshOutcome::Failed;
                self.on_fault(fault, out);
                self.keep(view, entry, answer)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::machine::generations::tags::Tags;
    use alloc::vec::Vec;

    use hashbrown::DefaultHashBuilder;

    use super::*;
    use crate::machine::effects::Effects;
    use crate::machine::error::Error;
    use crate::machine::event::Event;
    use crate::machine::lookup::step::{Reply, Seen};
    use crate::machine::policy::call::Call;
    use crate::machine::policy::pace::Aim;
    use crate::machine::policy::{Jitter, Kind, Policy};
    use crate::machine::shard::{Context, Shard, Ticket};
    use crate::machine::tier::entry::Cached;
    use crate::machine::tier::envelope::{open, seal, stamp};
    use crate::machine::tier::load::{Load, NothingStands};
    use crate::machine::tier::mark::{Age, Mark, Note};
    use crate::machine::tier::verb::{Announce, Granted};
    use crate::machine::token::Roll;

    const SECOND: Duration = Duration::from_secs(1);
    const LIFE: Duration = Duration::from_secs(60);
    const WINDOW: Duration = Duration::from_secs(600);
    const KEY: u32 = 7;

    type Table = Shard<u32, &'static str, DefaultHashBuilder>;

    struct World {
        table: Table,
        policy: Policy,
        now: Timestamp,
        events: Vec<Event>,
    }

    impl World {
        fn new(kind: Kind) -> Self {
            let mut policy = Policy::new(kind);
            policy.ttl = LIFE;
            policy.stale_for = WINDOW;
            policy.jitter = Jitter {
                percent: 10,
                at_most: SECOND,
            };
            Self {
                table: Shard::new(DefaultHashBuilder::default()),
                policy,
                now: Timestamp::default() + 1000 * SECOND,
                events: Vec::new(),
            }
        }

        fn ask<T>(
            &mut self,
            ask: impl FnOnce(&mut Table, &Context<'_>, &mut Effects<u32, &'static str>) -> T,
        ) -> T {
            let context = Context {
                now: self.now,
                // Nothing is taken off by the jitter.
                roll: Roll::Bits(0),
                policy: &self.policy,
                generations: &NOTHING_RAISED,
            };
            let mut effects = Effects::default();
            let answer = ask(&mut self.table, &context, &mut effects);
            effects.carry_out(|event| self.events.push(event));
            answer
        }

        fn join(&mut self) -> Ticket {
            let call = Call::new();
            let (ticket, _) =
                self.ask(|table, context, effects| table.join(KEY, 0, call, context, effects));
            ticket
        }

        fn refresh(&mut self, aim: Aim) -> Ticket {
            let call = Call::new();
            let ticket = self.ask(|table, context, effects| {
                table.open_refresh(KEY, 0, call, aim, context, effects)
            });
            ticket.expect("nobody refreshes it")
        }

        fn tell(&mut self, ticket: &Ticket, reply: Reply<&'static str>) -> Step<&'static str> {
            self.ask(|table, context, effects| table.step(ticket, context, reply, effects))
        }

        fn standing(&mut self, ticket: &Ticket) -> Option<Stands<&'static str>> {
            self.ask(|table, context, _| table.standing(ticket, context))
        }

        /// A flight that finds this in L1 and that in L2, holds the lease, and loads.
        fn loads(
            &mut self,
            in_l1: Option<Entry<&'static str>>,
            in_l2: Option<Seen<&'static str>>,
        ) -> Ticket {
            let ticket = self.join();
            assert!(matches!(self.tell(&ticket, Reply::Begin), Step::ReadLocal));
            let step = self.tell(&ticket, Reply::Local(in_l1));
            assert!(matches!(step, Step::Ask(Need::Read)), "{step:?}");
            let step = self.tell(&ticket, Reply::Remote(Ok(in_l2.clone())));
            assert!(matches!(step, Step::Ask(Need::Lease { .. })), "{step:?}");
            let step = self.tell(&ticket, Reply::Leased(Ok((Granted::Yes, in_l2))));
            assert!(matches!(step, Step::Ask(Need::Load)), "{step:?}");
            ticket
        }

        /// The same whose loader is shown something, and says that it is unchanged.
        fn is_unchanged(&mut self, load: Load<&'static str>) -> (Ticket, Step<&'static str>) {
            let ticket = self.loads(None, Some(stale()));
            let stands = self.standing(&ticket).expect("it stands there");
            let step = self.tell(&ticket, Reply::Loaded(Ok(stands.put_back(load))));
            (ticket, step)
        }
    }

    static NOTHING_RAISED: Generations = Generations::new();

    fn header(life: Duration, stale: Duration) -> Header {
        let mut bytes = Vec::new();
        open(&mut bytes, Some(1));
        seal(&mut bytes, life, stale);
        stamp(&mut bytes, 1000);
        Header::of(&bytes).expect("it is ours")
    }

    fn mark() -> Option<Mark> {
        Mark::new(b"v1")
    }

    /// Five seconds past its life.
    fn stale() -> Seen<&'static str> {
        Seen {
            value: Some("stood"),
            left: Duration::ZERO,
            over: 5 * SECOND,
            window: Some(WINDOW),
            cost: SECOND,
            age: Some(LIFE),
            mark: mark(),
            tags: Tags::NONE,
            born: None,
            header: Some(header(LIFE, WINDOW)),
        }
    }

    /// Thirty seconds before its end.
    fn fresh() -> Seen<&'static str> {
        Seen {
            left: 30 * SECOND,
            over: Duration::ZERO,
            age: Some(30 * SECOND),
            ..stale()
        }
    }

    fn extension(step: Step<&'static str>) -> Extension {
        match step {
            Step::Ask(Need::Extend(extension)) => *extension,
            step => panic!("{step:?}"),
        }
    }

    fn kept(step: Step<&'static str>) -> Entry<&'static str> {
        match step {
            Step::WriteLocal { entry, .. } => entry,
            step => panic!("{step:?}"),
        }
    }

    #[test]
    fn a_loader_is_shown_what_stands_in_l2() {
        let mut world = World::new(Kind::Both);
        let ticket = world.loads(None, Some(stale()));
        world.now = world.now + SECOND;
        let stands = world.standing(&ticket);
        let shown = Stands {
            value: "stood",
            age: Some(66 * SECOND),
            mark: mark(),
        };
        assert_eq!(stands, Some(shown));
    }

    /// L1 often has it for a little longer, but L2 can renew it only where it stands.
    #[test]
    fn what_l2_showed_is_shown_before_what_l1_has() {
        let mut world = World::new(Kind::Both);
        let end = world.now.before(SECOND);
        let in_l1 = Entry::new(Some("in l1"), end).stale_until(end + 2 * WINDOW);
        let ticket = world.loads(Some(in_l1.clone()), Some(stale()));
        assert_eq!(world.standing(&ticket).map(|it| it.value), Some("stood"));
        let mut world = World::new(Kind::Both);
        world.policy.hears = true;
        let ticket = world.loads(Some(in_l1), None);
        let stands = world.standing(&ticket).expect("L1 has it");
        assert_eq!((stands.value, stands.age), ("in l1", None));
    }

    #[test]
    fn what_is_unchanged_is_extended_and_kept_with_its_mark() {
        let mut world = World::new(Kind::Both);
        let (ticket, step) = world.is_unchanged(Load::unchanged());
        let extension = extension(step);
        assert_eq!(extension.header, header(LIFE, WINDOW));
        assert_eq!(extension.times.life, LIFE);
        assert_eq!(extension.announce, Announce::No);
        let step = world.tell(&ticket, Reply::Extended(Ok(Extended::Stored)));
        let entry = kept(step);
        assert_eq!(
            (entry.value(), entry.mark()),
            (Some(&"stood"), Some(&b"v1"[..]))
        );
        assert_eq!(entry.expires(), world.now + LIFE);
        assert_eq!(
            entry.note().map(|note| note.age()),
            Some(Age::born(world.now))
        );
        let said = |event: &&Event| matches!(event, Event::Unchanged | Event::Loaded { .. });
        assert_eq!(world.events.iter().filter(said).count(), 2);
    }

    #[test]
    fn what_cannot_be_extended_is_filled() {
        let mut world = World::new(Kind::Both);
        let (ticket, step) = world.is_unchanged(Load::unchanged());
        let _ = extension(step);
        world.now = world.now + SECOND;
        let step = world.tell(&ticket, Reply::Extended(Ok(Extended::Unlike)));
        let Step::Ask(Need::Fill(filling)) = step else {
            panic!("{step:?}")
        };
        assert_eq!((filling.value, filling.mark), (Some("stood"), mark()));
        let life = LIFE - SECOND;
        assert_eq!(
            filling.times.life, life,
            "its life began when the load ended"
        );
        let step = world.tell(&ticket, Reply::Stored(Ok(Filled::Stored)));
        assert_eq!(kept(step).mark(), Some(&b"v1"[..]));
    }

    #[test]
    fn an_extension_that_is_refused_is_a_fill_that_is_refused() {
        let mut world = World::new(Kind::Both);
        let (ticket, step) = world.is_unchanged(Load::unchanged());
        let _ = extension(step);
        let step = world.tell(&ticket, Reply::Extended(Ok(Extended::Refused)));
        assert!(
            matches!(step, Step::Finish { release: None, .. }),
            "{step:?}"
        );
        assert!(
            world
                .events
                .iter()
                .any(|event| matches!(event, Event::FillRefused))
        );
    }

    /// It may find something else, and then it leaves the lease.
    #[test]
    fn after_an_extension_without_an_answer_the_lease_is_given_back() {
        let mut world = World::new(Kind::Both);
        let (ticket, step) = world.is_unchanged(Load::unchanged());
        let token = extension(step).token;
        let step = world.tell(&ticket, Reply::Extended(Err(Fault::Timeout)));
        let Step::WriteLocal { write, entry } = step else {
            panic!("{step:?}")
        };
        assert_eq!(entry.value(), Some(&"stood"));
        let step = world.tell(&ticket, Reply::Kept(write));
        let Step::Finish { release, .. } = step else {
            panic!("{step:?}")
        };
        assert_eq!(release.map(|release| release.token), Some(token));
    }

    #[test]
    fn another_life_window_or_mark_is_filled() {
        let loads = [
            Load::unchanged().ttl(2 * LIFE),
            Load::unchanged().ttl(SECOND),
            Load::unchanged().stale_for(2 * WINDOW),
            Load::unchanged().stale_for(Duration::ZERO),
            Load::unchanged().mark("v2"),
        ];
        for load in loads {
            let (_, step) = World::new(Kind::Both).is_unchanged(load.clone());
            let filled = matches!(step, Step::Ask(Need::Fill(_)));
            assert!(filled, "{load:?}: {step:?}");
        }
        let (_, step) = World::new(Kind::Both).is_unchanged(Load::unchanged().mark("v1"));
        let _ = extension(step);
    }

    /// The jitter has taken more off the first life than it takes off the second one.
    #[test]
    fn within_the_jitter_a_shorter_life_is_good_enough() {
        for (life, extended) in [(59, true), (58, false)] {
            let life = life * SECOND;
            let mut world = World::new(Kind::Both);
            let seen = Seen {
                header: Some(header(life, WINDOW)),
                ..stale()
            };
            let ticket = world.loads(None, Some(seen));
            let stands = world.standing(&ticket).expect("it stands there");
            let load = stands.put_back(Load::unchanged());
            match world.tell(&ticket, Reply::Loaded(Ok(load))) {
                Step::Ask(Need::Extend(extension)) if extended => {
                    assert_eq!(extension.times.life, life, "no more than the header says");
                    let step = world.tell(&ticket, Reply::Extended(Ok(Extended::Stored)));
                    assert_eq!(kept(step).expires(), world.now + life);
                }
                Step::Ask(Need::Fill(filling)) if !extended => {
                    assert_eq!(filling.times.life, LIFE);
                }
                step => panic!("{life:?}: {step:?}"),
            }
        }
    }

    #[test]
    fn unchanged_where_nothing_stands_is_an_error_that_says_so() {
        let mut world = World::new(Kind::Both);
        let ticket = world.loads(None, None);
        assert_eq!(world.standing(&ticket), None);
        let step = world.tell(&ticket, Reply::Loaded(Ok(Load::unchanged())));
        let Step::Finish { answer, .. } = step else {
            panic!("{step:?}")
        };
        let error = answer.outcome.as_ref().err();
        let error = error.and_then(Error::load_as::<NothingStands>);
        assert_eq!(error, Some(&NothingStands));
    }

    /// A change has ended: what it removed is nothing that stands.
    #[test]
    fn a_superseded_flight_shows_nothing() {
        let mut world = World::new(Kind::Both);
        let ticket = world.loads(None, Some(stale()));
        world.ask(|table, _, effects| {
            let sweep = table.supersede(&KEY, effects);
            table.swept(&KEY, sweep);
        });
        assert_eq!(world.standing(&ticket), None);
    }

    /// What was shown before is answered, but kept in no tier of this node: L2 judges by the lease.
    #[test]
    fn what_a_change_overtakes_after_it_was_shown_stays_out_of_l1() {
        let mut world = World::new(Kind::Both);
        let ticket = world.loads(None, Some(stale()));
        let stands = world.standing(&ticket).expect("it stands there");
        world.ask(|table, _, effects| {
            let sweep = table.supersede(&KEY, effects);
            table.swept(&KEY, sweep);
        });
        let load = stands.put_back(Load::unchanged());
        let _ = extension(world.tell(&ticket, Reply::Loaded(Ok(load))));
        let step = world.tell(&ticket, Reply::Extended(Ok(Extended::Refused)));
        let Step::Finish { answer, .. } = step else {
            panic!("{step:?}")
        };
        assert!(matches!(answer.outcome, Ok(Cached::Hit("stood"))));
    }

    #[test]
    fn a_refresh_shows_what_is_fresh_and_tells_of_it() {
        for window in [WINDOW, Duration::ZERO] {
            let mut world = World::new(Kind::Both);
            world.policy.stale_for = window;
            let ticket = world.refresh(Aim::Load);
            let step = world.tell(&ticket, Reply::Begin);
            assert!(matches!(step, Step::Ask(Need::Lease { .. })), "{step:?}");
            let seen = Seen {
                window: Some(window),
                header: Some(header(LIFE, window)),
                ..fresh()
            };
            let step = world.tell(&ticket, Reply::Leased(Ok((Granted::Yes, Some(seen)))));
            assert!(matches!(step, Step::Ask(Need::Load)), "{step:?}");
            let stands = world.standing(&ticket).expect("it is fresh");
            assert_eq!(stands.age, Some(30 * SECOND));
            let load = stands.put_back(Load::unchanged());
            let step = world.tell(&ticket, Reply::Loaded(Ok(load)));
            assert_eq!(extension(step).announce, Announce::Yes);
        }
    }

    #[test]
    fn without_an_l2_a_refresh_shows_what_l1_has() {
        let mut world = World::new(Kind::Local);
        let ticket = world.refresh(Aim::Load);
        assert!(matches!(world.tell(&ticket, Reply::Begin), Step::ReadLocal));
        let age = Age::born(world.now.before(SECOND));
        let note = mark().map(|mark| Note::new(mark, age));
        let entry = Entry::new(Some("stood"), world.now + SECOND).noted(note);
        let step = world.tell(&ticket, Reply::Local(Some(entry)));
        assert!(matches!(step, Step::Ask(Need::Load)), "{step:?}");
        let stands = world.standing(&ticket).expect("it is fresh");
        assert_eq!((stands.age, stands.mark.clone()), (Some(SECOND), mark()));
        let load = stands.put_back(Load::unchanged());
        let step = world.tell(&ticket, Reply::Loaded(Ok(load)));
        let entry = kept(step);
        assert_eq!(
            (entry.expires(), entry.mark()),
            (world.now + LIFE, Some(&b"v1"[..]))
        );
    }

    #[test]
    fn an_eager_load_shows_what_is_due() {
        let mut world = World::new(Kind::Local);
        world.policy.eager = true;
        let ticket = world.refresh(Aim::Eager);
        assert!(matches!(world.tell(&ticket, Reply::Begin), Step::ReadLocal));
        let entry = Entry::new(Some("due"), world.now + SECOND).with_lead(2 * SECOND);
        let step = world.tell(&ticket, Reply::Local(Some(entry)));
        assert!(matches!(step, Step::Ask(Need::Load)), "{step:?}");
        let stands = world.standing(&ticket).expect("it is due");
        assert_eq!(stands.value, "due");
        let load = stands.put_back(Load::unchanged());
        let step = world.tell(&ticket, Reply::Loaded(Ok(load)));
        assert_eq!(kept(step).expires(), world.now + LIFE);
    }

    #[test]
    fn a_stale_value_that_stays_in_l1_keeps_its_mark() {
        let mut world = World::new(Kind::Both);
        let ticket = world.loads(None, Some(stale()));
        let step = world.tell(&ticket, Reply::Loaded(Err(Error::Overloaded)));
        let entry = kept(step);
        assert!(entry.is_stale() && entry.mark() == Some(&b"v1"[..]));
    }
}
