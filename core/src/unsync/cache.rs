//! The cache of one thread, behind `&mut`.

use alloc::borrow::ToOwned;
use core::borrow::Borrow;
use core::fmt;
use core::hash::Hash;

use crate::machine::change::Reach;
use crate::machine::counted::Arc;
use crate::machine::error::Error;
use crate::machine::event::Event;
use crate::machine::lookup::step::{Answer, Reply};
use crate::machine::policy::call::Call;
use crate::machine::shard::Ticket;
use crate::machine::stats::Stats;
use crate::machine::stats::activity::Activity;
use crate::machine::tier::entry::{Cached, Entry};
use crate::machine::tier::load::Load;
use crate::machine::time::Timestamp;
use crate::ports::loader::LoadError;
use crate::unsync::clock::{Clock, Moment};
use crate::unsync::level2::{Level2, Nothing};
use crate::unsync::state::lookup::{Next, answered, brought};
use crate::unsync::state::{Counts, Rest, State};

/// A cache of one thread: nothing in it waits, but L2 and the loaders block.
///
/// It is as [`Cache`](crate::Cache) is, for one caller at a time. With `std` it can be sent to another
/// thread, if its parts can.
///
/// A hit clones the value. Keys are hashed without a secret: whoever can choose them can make a lookup as
/// slow as one through all entries.
pub struct Cache<K, V, L = Nothing> {
    state: State<K, V, L>,
    counts: Counts,
}

impl<K: Hash + Eq + Clone, V: Clone, L: Level2<K, V>> Cache<K, V, L> {
    pub(super) const fn of(state: State<K, V, L>) -> Self {
        Self {
            state,
            counts: Counts::new(),
        }
    }

    /// The value of `key`, from L1, from L2, or from `loader`; `None` if it does not exist.
    ///
    /// The loader answers a value, or `None` for "does not exist", which is remembered too; or a
    /// [`Load`], which says how long to keep it.
    ///
    /// # Errors
    /// [`Error::Load`] if the loader failed and nothing stale may be served.
    pub fn get_or_load<Q, F, T>(
        &mut self,
        key: &Q,
        clock: &mut impl Clock,
        loader: F,
    ) -> Result<Option<V>, Error>
    where
        K: Borrow<Q>,
        Q: ToOwned<Owned = K> + Hash + Eq + ?Sized,
        F: FnOnce() -> Result<T, LoadError>,
        T: Into<Load<V>>,
    {
        let loaded = self.get_or_load_cached(key, &Call::new(), clock, loader)?;
        Ok(loaded.hit())
    }

    /// [`get_or_load`](Self::get_or_load) with wishes of this call's own, and whether the value is stale:
    /// it answers [`Cached::Hit`], [`Cached::Stale`] or [`Cached::Absent`].
    ///
    /// # Errors
    /// Those of `get_or_load`, and [`Error::Config`] for wishes that cannot be.
    pub fn get_or_load_cached<Q, F, T>(
        &mut self,
        key: &Q,
        call: &Call,
        clock: &mut impl Clock,
        loader: F,
    ) -> Result<Cached<V>, Error>
    where
        K: Borrow<Q>,
        Q: ToOwned<Owned = K> + Hash + Eq + ?Sized,
        F: FnOnce() -> Result<T, LoadError>,
        T: Into<Load<V>>,
    {
        State::<K, V, L>::check(call)?;
        let moment = clock.moment();
        if let Some(hit) = self.hit(key, call, moment.now) {
            return Ok(hit.into_cached());
        }
        let mut loader = Some(loader);
        let mut load = || brought(once(&mut loader));
        self.load_far(key.to_owned(), call.clone(), moment, clock, &mut load)
    }

    /// Apart from the loader's type, to be compiled once a cache and not once a call site.
    fn load_far(
        &mut self,
        key: K,
        call: Call,
        moment: Moment,
        clock: &mut dyn Clock,
        load: &mut dyn FnMut() -> Result<Load<V>, Error>,
    ) -> Result<Cached<V>, Error> {
        let mut seat = Seat::join(self, key, call, moment);
        let mut reply = Reply::Begin;
        loop {
            reply = match seat.advance(reply, clock) {
                Next::Load => {
                    let loaded = load();
                    seat.loaded(loaded, clock.moment())
                }
                // For another's lease, and there are no others.
                Next::Pause(_) => {
                    seat.cache.state.free(&seat.key);
                    Reply::Paused
                }
                Next::Over(Some(answer)) => return answered(&answer, &mut seat.rest),
                Next::Over(None) => return Err(Error::Closed),
            };
        }
    }

    /// What L1 and L2 know about `key`. No loader runs.
    pub fn get<Q>(&mut self, key: &Q, clock: &mut impl Clock) -> Cached<V>
    where
        K: Borrow<Q>,
        Q: ToOwned<Owned = K> + Hash + Eq + ?Sized,
    {
        let call = Call::new();
        if let Some(hit) = self.hit(key, &call, clock.moment().now) {
            return hit.into_cached();
        }
        self.with(|state, rest| state.glance(&key.to_owned(), call, clock, rest))
    }

    /// What L1 knows about `key`.
    pub fn peek<Q>(&mut self, key: &Q, now: Timestamp) -> Cached<V>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        match self.hit(key, &Call::new(), now) {
            Some(hit) => hit.into_cached(),
            None => {
                self.counts.count(&Event::LocalMiss);
                Cached::Miss
            }
        }
    }

    /// Puts `value` in the place of whatever the tiers hold for `key`.
    ///
    /// # Errors
    /// [`Error::Encode`] and [`Error::TooLarge`] if L2 cannot hold it; then nothing has changed.
    pub fn insert(&mut self, key: K, value: V, clock: &mut impl Clock) -> Result<Reach, Error> {
        self.insert_with(key, value, &Call::new(), clock)
    }

    /// [`insert`](Self::insert) with wishes of this call's own. A skipped level loses the key.
    ///
    /// # Errors
    /// Those of `insert`, and [`Error::Config`] for wishes that cannot be.
    pub fn insert_with(
        &mut self,
        key: K,
        value: V,
        call: &Call,
        clock: &mut impl Clock,
    ) -> Result<Reach, Error> {
        self.with(|state, rest| state.insert(&key, value, call, clock, rest))
    }

    /// Removes `key` from both tiers. When it returns no later call gets an older value from here,
    /// whatever L2 has said.
    pub fn invalidate<Q>(&mut self, key: &Q, clock: &mut impl Clock) -> Reach
    where
        K: Borrow<Q>,
        Q: ToOwned<Owned = K> + Hash + Eq + ?Sized,
    {
        let key = key.to_owned();
        self.with(|state, rest| state.invalidate(&key, clock, rest))
    }

    /// Changes what the cache is a copy of, by `writer`, and keeps what that answers; `None` means that
    /// the key does not exist any more. From before the writer begins to its end L2 has no value.
    ///
    /// # Errors
    /// [`Error::Load`] if the writer failed. Nobody knows what it has done, so the key is in no tier then.
    pub fn write_through<Q, F, T>(
        &mut self,
        key: &Q,
        clock: &mut impl Clock,
        writer: F,
    ) -> Result<Option<V>, Error>
    where
        K: Borrow<Q>,
        Q: ToOwned<Owned = K> + Hash + Eq + ?Sized,
        F: FnOnce() -> Result<T, LoadError>,
        T: Into<Load<V>>,
    {
        let key = key.to_owned();
        let mut writer = Some(writer);
        let mut write = || brought(once(&mut writer));
        self.with(|state, rest| state.write_through(&key, clock, rest, &mut write))
    }

    /// Removes everything from L1.
    pub fn clear_local(&mut self) {
        self.with(State::clear_local);
    }

    /// Repeats the removals that L2 has not confirmed and whose turn has come. Returns when the next one's
    /// has: call it then, or now and again. Until they are confirmed L2 is not asked about their keys.
    pub fn run_pending(&mut self, clock: &mut impl Clock) -> Option<Timestamp> {
        self.with(|state, rest| state.repair(clock, rest))
    }

    /// What was counted since the cache was built.
    #[must_use]
    pub fn stats(&self) -> Stats {
        self.counts.read(self.state.level1().evicted())
    }

    /// How much is under way: on one thread that is what L2 has not confirmed.
    #[must_use]
    pub fn activity(&self) -> Activity {
        self.state.table().activity()
    }

    /// How many entries L1 has.
    #[must_use]
    pub fn len(&self) -> usize {
        self.state.level1().len()
    }

    /// Whether L1 has none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.state.level1().is_empty()
    }

    fn hit<Q>(&mut self, key: &Q, call: &Call, now: Timestamp) -> Option<Entry<V>>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        self.with(|state, rest| state.hit(key, call, now, rest))
    }

    fn with<R>(&mut self, question: impl FnOnce(&mut State<K, V, L>, &mut Rest<K, V>) -> R) -> R {
        let mut rest = Rest::default();
        let answer = question(&mut self.state, &mut rest);
        rest.carry_out(&self.counts);
        answer
    }
}

/// Runs a loader or writer, which the machine asks for once.
fn once<T>(code: &mut Option<impl FnOnce() -> Result<T, LoadError>>) -> Result<T, LoadError> {
    let code = code.take().ok_or(RanAlready)?;
    code()
}

/// A type and no text: an error made of text links what formats text.
#[derive(Debug)]
struct RanAlready;

impl fmt::Display for RanAlready {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("it has run already")
    }
}

impl core::error::Error for RanAlready {}

/// The seat of the caller, who leads. It is left also if the loader panics.
struct Seat<'a, K: Hash + Eq + Clone, V: Clone, L: Level2<K, V>> {
    cache: &'a mut Cache<K, V, L>,
    rest: Rest<K, V>,
    key: K,
    /// There until it is left.
    ticket: Option<Ticket>,
    moment: Moment,
}

impl<'a, K: Hash + Eq + Clone, V: Clone, L: Level2<K, V>> Seat<'a, K, V, L> {
    fn join(cache: &'a mut Cache<K, V, L>, key: K, call: Call, moment: Moment) -> Self {
        let mut rest = Rest::default();
        let ticket = cache.state.join(&key, call, moment, &mut rest);
        Self {
            cache,
            rest,
            key,
            ticket: Some(ticket),
            moment,
        }
    }

    fn advance(&mut self, reply: Reply<V>, clock: &mut dyn Clock) -> Next<V> {
        match &self.ticket {
            Some(ticket) => {
                let state = &mut self.cache.state;
                state.advance(&self.key, ticket, reply, clock, &mut self.rest)
            }
            None => Next::Over(Some(Arc::new(Answer::endless(Err(Error::Closed))))),
        }
    }

    fn loaded(&mut self, loaded: Result<Load<V>, Error>, moment: Moment) -> Reply<V> {
        self.moment = moment;
        match &self.ticket {
            Some(ticket) => (self.cache.state).loaded(ticket, loaded, moment, &mut self.rest),
            None => Reply::Loaded(loaded),
        }
    }
}

impl<K: Hash + Eq + Clone, V: Clone, L: Level2<K, V>> Drop for Seat<'_, K, V, L> {
    fn drop(&mut self) {
        if let Some(ticket) = self.ticket.take() {
            (self.cache.state).leave(&self.key, ticket, self.moment, &mut self.rest);
        }
        core::mem::take(&mut self.rest).carry_out(&self.cache.counts);
    }
}

impl<K, V, L> fmt::Debug for Cache<K, V, L> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cache").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use alloc::string::String;
    use core::num::NonZeroUsize;
    use core::time::Duration;

    use super::*;
    use crate::machine::policy::Jitter;
    use crate::unsync::builder::Builder;
    use crate::unsync::level2::Bytes;
    use crate::unsync::stage::{Digits, SECOND, World};

    const LIFE: Duration = Duration::from_secs(60);
    const KEY: u32 = 7;

    type Near = Cache<u32, u32>;
    type Far<'a> = Cache<u32, u32, Bytes<&'a World, Digits>>;

    fn settings(capacity: usize) -> Builder<u32, u32> {
        let none = Jitter {
            percent: 0,
            at_most: Duration::ZERO,
        };
        Builder::new(NonZeroUsize::new(capacity).unwrap())
            .ttl(LIFE)
            .negative_ttl(10 * SECOND)
            .jitter(none)
    }

    fn near(capacity: usize) -> Near {
        settings(capacity).build().unwrap()
    }

    fn far(world: &World) -> Far<'_> {
        settings(1).store(world, Digits).build().unwrap()
    }

    fn ask<L: Level2<u32, u32>>(
        cache: &mut Cache<u32, u32, L>,
        world: &World,
        key: u32,
        loaded: Result<Option<u32>, &'static str>,
    ) -> Result<Option<u32>, Error> {
        cache.get_or_load(&key, &mut || world.moment(), || Ok(loaded?))
    }

    #[test]
    fn what_was_loaded_is_a_hit_until_its_life_ends() {
        let (world, mut cache) = (World::default(), near(4));
        assert_eq!(ask(&mut cache, &world, KEY, Ok(Some(1))).unwrap(), Some(1));
        world.pass(LIFE - SECOND);
        assert_eq!(ask(&mut cache, &world, KEY, Ok(Some(2))).unwrap(), Some(1));
        world.pass(SECOND);
        assert_eq!(ask(&mut cache, &world, KEY, Ok(Some(3))).unwrap(), Some(3));
        let stats = cache.stats();
        assert_eq!((stats.loads, stats.local_hits, stats.misses), (2, 1, 2));
    }

    #[test]
    fn a_life_begins_when_its_load_has_ended() {
        let (world, mut cache) = (World::default(), near(4));
        let slow = || {
            world.pass(LIFE);
            Ok(1)
        };
        (cache.get_or_load(&KEY, &mut || world.moment(), slow)).unwrap();
        world.pass(LIFE - SECOND);
        assert_eq!(cache.peek(&KEY, world.now()), Cached::Hit(1));
    }

    #[test]
    fn what_does_not_exist_is_remembered_for_its_own_time() {
        let (world, mut cache) = (World::default(), near(4));
        assert_eq!(ask(&mut cache, &world, KEY, Ok(None)).unwrap(), None);
        assert_eq!(ask(&mut cache, &world, KEY, Ok(Some(1))).unwrap(), None);
        assert_eq!(cache.peek(&KEY, world.now()), Cached::Absent);
        world.pass(10 * SECOND);
        assert_eq!(ask(&mut cache, &world, KEY, Ok(Some(1))).unwrap(), Some(1));
        assert_eq!(cache.stats().not_found, 1);
    }

    #[test]
    fn it_is_bounded_in_entries() {
        let (world, mut cache) = (World::default(), near(2));
        for key in 0..5 {
            ask(&mut cache, &world, key, Ok(Some(key))).unwrap();
        }
        assert_eq!((cache.len(), cache.stats().evicted), (2, Some(3)));
        assert_eq!(cache.activity(), Activity::default(), "nothing is left");
    }

    #[test]
    fn what_cannot_be_loaded_anew_is_served_stale_in_its_window() {
        let world = World::default();
        let mut cache = settings(4).stale_for(LIFE).build().unwrap();
        ask(&mut cache, &world, KEY, Ok(Some(1))).unwrap();
        world.pass(LIFE);
        assert_eq!(cache.peek(&KEY, world.now()), Cached::Miss);
        assert_eq!(ask(&mut cache, &world, KEY, Err("away")).unwrap(), Some(1));
        assert_eq!(cache.peek(&KEY, world.now()), Cached::Stale(1));
        world.pass(LIFE);
        let error = ask(&mut cache, &world, KEY, Err("away")).unwrap_err();
        assert!(matches!(error, Error::Load(_)), "{error}");
    }

    #[test]
    fn a_loader_that_fails_is_the_callers_error_and_is_run_again() {
        let (world, mut cache) = (World::default(), near(4));
        assert!(ask(&mut cache, &world, KEY, Err("away")).is_err());
        assert_eq!(ask(&mut cache, &world, KEY, Ok(Some(1))).unwrap(), Some(1));
    }

    #[test]
    fn a_changed_key_is_not_served_as_it_was() {
        let (world, mut cache) = (World::default(), near(4));
        let mut clock = || world.moment();
        ask(&mut cache, &world, KEY, Ok(Some(1))).unwrap();
        assert_eq!(cache.invalidate(&KEY, &mut clock), Reach::Everywhere);
        assert_eq!(cache.peek(&KEY, world.now()), Cached::Miss);
        cache.insert(KEY, 2, &mut clock).unwrap();
        assert_eq!(cache.peek(&KEY, world.now()), Cached::Hit(2));
        let written = cache.write_through(&KEY, &mut clock, || Ok(3));
        assert_eq!(written.unwrap(), Some(3));
        assert_eq!(cache.peek(&KEY, world.now()), Cached::Hit(3));
        let failed = cache.write_through::<_, _, u32>(&KEY, &mut clock, || Err("full".into()));
        assert!(failed.is_err());
        assert_eq!(cache.peek(&KEY, world.now()), Cached::Miss);
        ask(&mut cache, &world, KEY, Ok(Some(4))).unwrap();
        cache.clear_local();
        assert!(cache.is_empty());
    }

    #[test]
    fn l2_answers_what_l1_has_evicted() {
        let world = World::default();
        let mut cache = far(&world);
        for key in 0..3 {
            ask(&mut cache, &world, key, Ok(Some(key))).unwrap();
        }
        world.pass(10 * SECOND);
        assert_eq!(ask(&mut cache, &world, 0, Err("away")).unwrap(), Some(0));
        assert_eq!(cache.get(&1, &mut || world.moment()), Cached::Hit(1));
        assert_eq!(cache.stats().remote_hits, 2);
        // And no longer than it lives: it was loaded ten seconds ago.
        world.pass(LIFE - 11 * SECOND);
        assert_eq!(cache.peek(&1, world.now()), Cached::Hit(1));
        world.pass(SECOND);
        assert_eq!(cache.peek(&1, world.now()), Cached::Miss);
        assert_eq!(cache.get(&1, &mut || world.moment()), Cached::Miss);
    }

    #[test]
    fn l2_remembers_what_does_not_exist() {
        let world = World::default();
        let mut cache = far(&world);
        for key in 0..2 {
            ask(&mut cache, &world, key, Ok(None)).unwrap();
        }
        assert_eq!(ask(&mut cache, &world, 0, Err("away")).unwrap(), None);
    }

    #[test]
    fn l2_serves_stale_what_cannot_be_loaded_anew() {
        let world = World::default();
        let settings = settings(1).stale_for(LIFE).store(&world, Digits);
        let mut cache = settings.build().unwrap();
        for key in 0..2 {
            ask(&mut cache, &world, key, Ok(Some(key))).unwrap();
        }
        world.pass(LIFE + SECOND);
        let call = Call::new();
        let mut clock = || world.moment();
        let mut away = |cache: &mut Far<'_>| {
            cache.get_or_load_cached(&0, &call, &mut clock, || Err::<u32, _>("away".into()))
        };
        assert_eq!(away(&mut cache).unwrap(), Cached::Stale(0));
        world.pass(LIFE - SECOND);
        assert!(away(&mut cache).is_err(), "its window is over");
    }

    #[test]
    fn a_flipped_bit_is_a_miss() {
        let world = World::default();
        let mut cache = far(&world);
        ask(&mut cache, &world, KEY, Ok(Some(1))).unwrap();
        cache.clear_local();
        world.damage();
        assert_eq!(ask(&mut cache, &world, KEY, Ok(Some(2))).unwrap(), Some(2));
        assert_eq!(cache.stats().undecodable, 1);
    }

    #[test]
    fn an_l2_that_is_away_is_nobodys_error() {
        let world = World::default();
        let mut cache = far(&world);
        world.cut.set(true);
        assert_eq!(ask(&mut cache, &world, KEY, Ok(Some(1))).unwrap(), Some(1));
        assert_eq!(*world.asked.borrow(), ["read"], "one fault, one wait");
        assert_eq!(cache.stats().remote_faults, 1);
    }

    #[test]
    fn a_change_that_l2_has_not_confirmed_is_not_believed_until_a_removal_is() {
        let world = World::default();
        let mut cache = far(&world);
        let mut clock = || world.moment();
        ask(&mut cache, &world, KEY, Ok(Some(1))).unwrap();
        world.cut.set(true);
        assert_eq!(cache.invalidate(&KEY, &mut clock), Reach::Pending);
        world.cut.set(false);
        assert!(world.holds("7"), "the old value stands there");
        assert_eq!(cache.get(&KEY, &mut clock), Cached::Miss);
        assert_eq!(ask(&mut cache, &world, KEY, Ok(Some(2))).unwrap(), Some(2));
        assert_eq!(cache.activity().unconfirmed, 1);
        let next = cache.run_pending(&mut clock).expect("it is to be repeated");
        world.pass(next.since(world.now()));
        assert_eq!(cache.run_pending(&mut clock), None);
        assert!(!world.holds("7"));
        assert_eq!(cache.activity().unconfirmed, 0);
    }

    #[test]
    fn an_insert_of_which_nobody_knows_is_removed() {
        let world = World::default();
        let mut cache = far(&world);
        let mut clock = || world.moment();
        world.mute.set(true);
        assert_eq!(cache.insert(KEY, 1, &mut clock).unwrap(), Reach::Pending);
        world.mute.set(false);
        world.pass(LIFE);
        assert_eq!(cache.run_pending(&mut clock), None);
        assert!(!world.holds("7"));
    }

    #[test]
    fn what_l2_cannot_hold_changes_nothing() {
        let world = World::default();
        let settings = settings(4).store(&world, Digits).max_value_size(3);
        let mut cache = settings.build().unwrap();
        let mut clock = || world.moment();
        cache.insert(KEY, 1, &mut clock).unwrap();
        let encode = cache.insert(KEY, 13, &mut clock);
        assert!(matches!(encode, Err(Error::Encode(_))), "{encode:?}");
        let long = cache.insert(KEY, 1000, &mut clock);
        assert!(matches!(long, Err(Error::TooLarge { size: 4, limit: 3 })));
        assert_eq!(cache.peek(&KEY, world.now()), Cached::Hit(1));
        // A loaded one is answered, and kept in L1.
        cache.invalidate(&KEY, &mut clock);
        assert_eq!(
            ask(&mut cache, &world, KEY, Ok(Some(1000))).unwrap(),
            Some(1000)
        );
        assert_eq!(cache.peek(&KEY, world.now()), Cached::Hit(1000));
        assert!(!world.holds("7"));
    }

    #[test]
    fn what_was_written_stands_in_l2_and_a_failed_writer_leaves_nothing_there() {
        let world = World::default();
        let mut cache = far(&world);
        let mut clock = || world.moment();
        let mut held = true;
        let writer = || {
            held = world.holds("7");
            Ok(2)
        };
        cache.insert(KEY, 1, &mut clock).unwrap();
        cache.write_through(&KEY, &mut clock, writer).unwrap();
        assert!(!held, "while it writes L2 has nothing");
        cache.clear_local();
        assert_eq!(cache.get(&KEY, &mut clock), Cached::Hit(2));
        let failed = cache.write_through::<_, _, u32>(&KEY, &mut clock, || Err("full".into()));
        assert!(failed.is_err() && !world.holds("7"));
    }

    #[test]
    fn tags_are_refused_where_nobody_raises_them() {
        let world = World::default();
        let mut cache = far(&world);
        let call = Call::new().tags(["red"]);
        let tagged = cache.insert_with(KEY, 1, &call, &mut || world.moment());
        assert!(matches!(tagged, Err(Error::Config(_))), "{tagged:?}");
    }

    #[test]
    fn a_call_has_its_wishes() {
        let world = World::default();
        let mut cache = far(&world);
        let mut clock = || world.moment();
        cache.insert(KEY, 1, &mut clock).unwrap();
        let mut with = |call: Call| cache.get_or_load_cached(&KEY, &call, &mut clock, || Ok(2));
        let beside = Call::new().skip_local().skip_remote().no_store();
        assert_eq!(with(beside).unwrap(), Cached::Hit(2));
        assert_eq!(
            with(Call::new()).unwrap(),
            Cached::Hit(1),
            "it was kept nowhere"
        );
        world.asked.borrow_mut().clear();
        assert_eq!(with(Call::new().skip_local()).unwrap(), Cached::Hit(1));
        assert_eq!(*world.asked.borrow(), ["read"]);
        assert!(matches!(with(Call::new().refresh()), Err(Error::Config(_))));
        let call = Call::new().ttl(Duration::ZERO);
        let refused = cache.insert_with(KEY, 1, &call, &mut || world.moment());
        assert!(matches!(refused, Err(Error::Config(_))), "{refused:?}");
    }

    #[cfg(feature = "std")]
    #[test]
    fn a_panic_leaves_nothing_behind() {
        let world = World::default();
        let mut cache = far(&world);
        let mut clock = || world.moment();
        let panics = std::panic::AssertUnwindSafe(|| {
            let _ = cache.get_or_load::<_, _, u32>(&KEY, &mut clock, || panic!("in a test"));
        });
        assert!(std::panic::catch_unwind(panics).is_err());
        assert_eq!(cache.activity(), Activity::default());
        let mut clock = || world.moment();
        cache.insert(KEY, 1, &mut clock).unwrap();
        let panics = std::panic::AssertUnwindSafe(|| {
            let _ = cache.write_through::<_, _, u32>(&KEY, &mut clock, || panic!("in a test"));
        });
        assert!(std::panic::catch_unwind(panics).is_err());
        let left = cache.activity();
        assert_eq!((left.changes, left.unconfirmed), (0, 1), "nobody knows");
        assert_eq!(cache.peek(&KEY, world.now()), Cached::Miss);
        assert_eq!(ask(&mut cache, &world, KEY, Ok(Some(1))).unwrap(), Some(1));
    }

    #[test]
    fn text_is_asked_for_by_reference() {
        let world = World::default();
        let settings = Builder::<String, u32>::new(NonZeroUsize::MIN).store(&world, Digits);
        let mut cache = settings.build().unwrap();
        let mut clock = || world.moment();
        cache.get_or_load("a", &mut clock, || Ok(1)).unwrap();
        assert_eq!(cache.get("a", &mut clock), Cached::Hit(1));
        assert!(world.holds("a"));
    }

    /// Which is what lets a plain program keep one behind a mutex of its own.
    #[test]
    fn it_can_be_sent_to_another_thread() {
        fn is_send<T: Send>() {}
        is_send::<Cache<String, String>>();
    }
}
