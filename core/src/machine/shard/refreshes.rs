//! The flights of refreshes. They are joined and superseded like any other, but only the refresh
//! itself leads until it gives up.

use core::hash::{BuildHasher, Hash};

use crate::machine::effects::Effects;
use crate::machine::policy::call::Call;
use crate::machine::policy::pace::{Aim, RefreshOutcome};
use crate::machine::shard::{Context, Shard};
use crate::machine::table::flight::Ticket;

impl<K: Hash + Eq + Clone, V: Clone, S: BuildHasher> Shard<K, V, S> {
    /// Opens a flight that refreshes `key`; `None` if one is under way already, whatever it is for.
    pub fn open_refresh(
        &mut self,
        key: K,
        bucket: u16,
        call: Call,
        aim: Aim,
        context: &Context<'_>,
        effects: &mut Effects<K, V>,
    ) -> Option<Ticket> {
        let slot = self.slots.find(&key);
        if slot.is_some_and(|slot| self.slots.look(slot).flight.is_some()) {
            effects.spent_keys.push(key);
            return None;
        }
        let call = call.refreshing(aim);
        Some(self.join(key, bucket, call, context, effects).0)
    }

    /// Whether the key's flight is a refresh: a reader need not wait for it while L2 has the old
    /// value. The key is given by its hash, which the shard's hasher made, and by what it equals.
    pub fn is_refreshing(&self, hash: u64, is_key: impl Fn(&K) -> bool) -> bool {
        let slot = self.slots.find_by(hash, is_key);
        let flight = slot.and_then(|slot| self.slots.look(slot).flight);
        flight.is_some_and(|flight| self.flights[flight].lookup.outcome().is_some())
    }

    /// What became of a refresh, once its flight is over; `None` for any other flight.
    pub fn outcome(&self, ticket: &Ticket) -> Option<RefreshOutcome> {
        self.flights[ticket.flight].lookup.outcome()
    }
}

#[cfg(test)]
mod tests {
    use core::task::Waker;
    use core::time::Duration;

    use super::*;
    use crate::machine::error::{Error, Fault};
    use crate::machine::generations::tags::Tags;
    use crate::machine::lookup::step::{Need, Reply, Seen, Step};
    use crate::machine::policy::Kind;
    use crate::machine::shard::stage::{KEY, Stage};
    use crate::machine::table::flight::{Role, Turn};
    use crate::machine::tier::load::Load;
    use crate::machine::tier::verb::{Filled, Granted};
    use crate::machine::time::Timestamp;

    const SECOND: Duration = Duration::from_secs(1);

    impl Stage {
        fn open(&mut self, aim: Aim) -> Option<Ticket> {
            self.open_with(Call::new(), aim)
        }

        fn open_with(&mut self, call: Call, aim: Aim) -> Option<Ticket> {
            self.ask(|shard, context, effects| {
                shard.open_refresh(KEY, 0, call, aim, context, effects)
            })
        }

        fn join(&mut self) -> (Ticket, Role) {
            self.ask(|shard, context, effects| shard.join(KEY, 0, Call::new(), context, effects))
        }

        fn leave(&mut self, ticket: Ticket) {
            self.ask(|shard, context, effects| shard.leave(ticket, context, effects));
        }

        fn supersede(&mut self) {
            let sweep = self.ask(|shard, _, effects| shard.supersede(&KEY, effects));
            self.shard.swept(&KEY, sweep);
        }

        fn turn(&mut self, ticket: &Ticket) -> Turn<&'static str> {
            self.ask(|shard, context, effects| {
                shard.poll(ticket, context, Waker::noop().clone(), effects)
            })
        }

        fn is_refreshing(&self) -> bool {
            self.shard
                .is_refreshing(self.shard.slots.hash(&KEY), |key| *key == KEY)
        }
    }

    fn leased(granted: bool, age: Option<Duration>) -> Reply<&'static str> {
        let seen = age.map(|age| Seen {
            value: Some("stood"),
            left: 60 * SECOND,
            over: Duration::ZERO,
            window: None,
            cost: Duration::ZERO,
            age: Some(age),
            mark: None,
            tags: Tags::NONE,
            born: None,
            header: None,
        });
        let granted = if granted { Granted::Yes } else { Granted::No };
        Reply::Leased(Ok((granted, seen)))
    }

    const YOUNG: Aim = Aim::Younger(Duration::from_secs(10));

    #[test]
    fn an_old_value_is_loaded_anew_under_the_lease() {
        let mut world = Stage::new(Kind::Both);
        let ticket = world.open(YOUNG).unwrap();
        assert!(matches!(
            world.tell(&ticket, Reply::Begin),
            Step::Ask(Need::Lease { .. })
        ));
        assert!(matches!(
            world.tell(&ticket, leased(true, Some(10 * SECOND))),
            Step::Ask(Need::Load)
        ));
        let loaded = Reply::Loaded(Ok(Load::from("new")));
        assert!(matches!(
            world.tell(&ticket, loaded),
            Step::Ask(Need::Fill(_))
        ));
        let Step::WriteLocal { write, entry } =
            world.tell(&ticket, Reply::Stored(Ok(Filled::Stored)))
        else {
            panic!("it is kept")
        };
        assert_eq!(entry.value(), Some(&"new"));
        let last = world.tell(&ticket, Reply::Kept(write));
        assert!(matches!(last, Step::Finish { release: None, .. }));
        assert_eq!(world.shard.outcome(&ticket), Some(RefreshOutcome::Loaded));
        world.leave(ticket);
        assert_eq!(world.shard.activity(), Default::default());
    }

    #[test]
    fn a_young_value_is_copied_and_the_lease_given_back() {
        let mut world = Stage::new(Kind::Both);
        let ticket = world.open(YOUNG).unwrap();
        let _ = world.tell(&ticket, Reply::Begin);
        let Step::WriteLocal { write, entry } = world.tell(&ticket, leased(true, Some(9 * SECOND)))
        else {
            panic!("it is kept")
        };
        assert_eq!(entry.value(), Some(&"stood"));
        let last = world.tell(&ticket, Reply::Kept(write));
        assert!(matches!(
            last,
            Step::Finish {
                release: Some(_),
                ..
            }
        ));
        assert_eq!(
            world.shard.outcome(&ticket),
            Some(RefreshOutcome::Copied(Some(9 * SECOND)))
        );
        world.leave(ticket);
    }

    #[test]
    fn whose_turn_it_is_loads_and_the_others_copy() {
        let mut world = Stage::new(Kind::Both);
        let ticket = world.open(Aim::of_lock(true)).unwrap();
        let _ = world.tell(&ticket, Reply::Begin);
        assert!(matches!(
            world.tell(&ticket, leased(true, Some(Duration::ZERO))),
            Step::Ask(Need::Load)
        ));
        world.leave(ticket);
        let ticket = world.open(Aim::of_lock(false)).unwrap();
        assert!(matches!(
            world.tell(&ticket, Reply::Begin),
            Step::Ask(Need::Read)
        ));
        assert!(matches!(
            world.tell(&ticket, Reply::Remote(Ok(None))),
            Step::GiveUp
        ));
        world.leave(ticket);
        assert_eq!(world.shard.activity(), Default::default());
    }

    #[test]
    fn without_the_lease_nothing_is_loaded() {
        let mut world = Stage::new(Kind::Both);
        let ticket = world.open(YOUNG).unwrap();
        let _ = world.tell(&ticket, Reply::Begin);
        // Another node has it for as long as anybody waits.
        loop {
            match world.tell(&ticket, leased(false, Some(10 * SECOND))) {
                Step::Ask(Need::Pause(pause)) => world.now = world.now + pause,
                step => {
                    assert!(matches!(step, Step::GiveUp), "{step:?}");
                    break;
                }
            }
            assert!(matches!(
                world.tell(&ticket, Reply::Paused),
                Step::Ask(Need::Lease { .. })
            ));
        }
        assert_eq!(world.shard.outcome(&ticket), Some(RefreshOutcome::Passed));
        assert_eq!(world.now.since(Timestamp::default()), 2 * SECOND);
        world.leave(ticket);
        // L2 fails.
        let ticket = world.open(YOUNG).unwrap();
        let _ = world.tell(&ticket, Reply::Begin);
        let failed = Reply::Leased(Err(Fault::Timeout));
        assert!(matches!(world.tell(&ticket, failed), Step::GiveUp));
        assert_eq!(world.shard.outcome(&ticket), Some(RefreshOutcome::Failed));
        world.leave(ticket);
        // There is no L2 to ask: what L1 has is looked at, to show it to the loader.
        for (kind, call) in [
            (Kind::Local, Call::new()),
            (Kind::Both, Call::new().skip_remote()),
        ] {
            let mut world = Stage::new(kind);
            let ticket = world.open_with(call, YOUNG).unwrap();
            let step = world.tell(&ticket, Reply::Begin);
            assert!(matches!(step, Step::ReadLocal), "{step:?}");
            let step = world.tell(&ticket, Reply::Local(None));
            assert!(matches!(step, Step::Ask(Need::Load)), "{step:?}");
        }
    }

    #[test]
    fn a_change_before_the_load_ends_the_refresh() {
        let mut world = Stage::new(Kind::Both);
        let ticket = world.open(YOUNG).unwrap();
        let _ = world.tell(&ticket, Reply::Begin);
        world.supersede();
        assert!(!world.is_refreshing());
        assert!(matches!(
            world.tell(&ticket, leased(true, None)),
            Step::GiveUp
        ));
        assert_eq!(world.shard.outcome(&ticket), Some(RefreshOutcome::Passed));
    }

    #[test]
    fn a_change_during_the_load_keeps_it_out_of_l1() {
        let mut world = Stage::new(Kind::Both);
        let ticket = world.open(YOUNG).unwrap();
        let _ = world.tell(&ticket, Reply::Begin);
        let _ = world.tell(&ticket, leased(true, None));
        world.supersede();
        let loaded = Reply::Loaded(Ok(Load::from("old")));
        assert!(matches!(
            world.tell(&ticket, loaded),
            Step::Ask(Need::Fill(_))
        ));
        assert!(matches!(
            world.tell(&ticket, Reply::Stored(Ok(Filled::Refused))),
            Step::Finish { release: None, .. }
        ));
    }

    #[test]
    fn a_failed_load_gives_the_lease_back() {
        let mut world = Stage::new(Kind::Both);
        let ticket = world.open(YOUNG).unwrap();
        let _ = world.tell(&ticket, Reply::Begin);
        let _ = world.tell(&ticket, leased(true, Some(10 * SECOND)));
        let failed = Reply::Loaded(Err(Error::Closed));
        assert!(matches!(
            world.tell(&ticket, failed),
            Step::Finish {
                release: Some(_),
                ..
            }
        ));
        assert_eq!(world.shard.outcome(&ticket), Some(RefreshOutcome::Failed));
    }

    #[test]
    fn a_refresh_does_not_begin_beside_another_flight() {
        let mut world = Stage::new(Kind::Both);
        let (reader, role) = world.join();
        assert_eq!(role, Role::Lead);
        assert!(world.open(YOUNG).is_none() && !world.is_refreshing());
        assert_eq!(world.shard.outcome(&reader), None);
        world.leave(reader);
        let refresh = world.open(YOUNG).unwrap();
        assert!(world.open(YOUNG).is_none() && world.is_refreshing());
        world.leave(refresh);
    }

    #[test]
    fn who_waits_leads_when_a_refresh_gives_up() {
        let mut world = Stage::new(Kind::Both);
        let refresh = world.open(YOUNG).unwrap();
        let _ = world.tell(&refresh, Reply::Begin);
        let (reader, role) = world.join();
        assert_eq!(role, Role::Follow);
        let failed = Reply::Leased(Err(Fault::Timeout));
        assert!(matches!(world.tell(&refresh, failed), Step::GiveUp));
        world.leave(refresh);
        assert!(matches!(world.turn(&reader), Turn::Lead));
        assert!(!world.is_refreshing());
        assert!(matches!(world.tell(&reader, Reply::Begin), Step::ReadLocal));
        // The flight knows that L2 does not answer.
        assert!(matches!(
            world.tell(&reader, Reply::Local(None)),
            Step::Ask(Need::Load)
        ));
    }
}
