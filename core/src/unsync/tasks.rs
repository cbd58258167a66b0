//! The cache of the tasks of one thread.

use alloc::borrow::ToOwned;
use core::borrow::Borrow;
use core::fmt;
use core::future::Future;
use core::hash::Hash;

use crate::machine::change::Reach;
use crate::machine::error::{Error, Limit};
use crate::machine::event::Event;
use crate::machine::lookup::step::Reply;
use crate::machine::policy::call::Call;
use crate::machine::stats::Stats;
use crate::machine::stats::activity::Activity;
use crate::machine::tier::entry::Cached;
use crate::machine::tier::load::Load;
use crate::machine::time::Timestamp;
use crate::ports::loader::LoadError;
use crate::unsync::level2::{Level2, Nothing};
use crate::unsync::seat::{Seat, SharedAnswer};
use crate::unsync::shared::Shared;
use crate::unsync::state::State;
use crate::unsync::state::lookup::{Next, answered, brought};
use crate::unsync::timer::Timer;
use crate::unsync::within::within;

/// A cache that the tasks of one executor share, by reference or by `Rc`: callers of one key share one
/// load, and whoever leads it and is dropped hands over to the next.
///
/// Loaders are awaited. L2 is not: while a [`Store`](crate::unsync::Store) works, all tasks wait.
///
/// `Clone`, `Hash` and `Eq` of keys and values, the store and its codec must not call the cache.
pub struct Tasks<K, V, T, L = Nothing> {
    shared: Shared<K, V, T, L>,
}

impl<K: Hash + Eq + Clone, V: Clone, T: Timer, L: Level2<K, V>> Tasks<K, V, T, L> {
    pub(super) const fn of(state: State<K, V, L>, timer: T) -> Self {
        Self {
            shared: Shared::new(state, timer),
        }
    }

    /// The value of `key`, from L1, from L2, or from `loader`; `None` if it does not exist. Of all who ask
    /// for a key at a time, one runs its loader.
    ///
    /// # Errors
    /// [`Error::Load`] if the loader failed, [`Error::Timeout`] if it took longer than `load_timeout`, and
    /// nothing stale may be served.
    ///
    /// # Cancellation
    /// Dropping the future ends the load. The caller that has waited longest runs its own loader then.
    pub async fn get_or_load<Q, F, R, W>(&self, key: &Q, loader: F) -> Result<Option<V>, Error>
    where
        K: Borrow<Q>,
        Q: ToOwned<Owned = K> + Hash + Eq + ?Sized,
        F: FnOnce() -> R,
        R: Future<Output = Result<W, LoadError>>,
        W: Into<Load<V>>,
    {
        let loaded = self.get_or_load_cached(key, &Call::new(), loader).await?;
        Ok(loaded.hit())
    }

    /// [`get_or_load`](Self::get_or_load) with wishes of this call's own, and whether the value is stale:
    /// it answers [`Cached::Hit`], [`Cached::Stale`] or [`Cached::Absent`].
    ///
    /// # Errors
    /// Those of `get_or_load`, and [`Error::Config`] for wishes that cannot be.
    pub async fn get_or_load_cached<Q, F, R, W>(
        &self,
        key: &Q,
        call: &Call,
        loader: F,
    ) -> Result<Cached<V>, Error>
    where
        K: Borrow<Q>,
        Q: ToOwned<Owned = K> + Hash + Eq + ?Sized,
        F: FnOnce() -> R,
        R: Future<Output = Result<W, LoadError>>,
        W: Into<Load<V>>,
    {
        State::<K, V, L>::check(call)?;
        let now = self.shared.timer.moment().now;
        if let Some(hit) = self
            .shared
            .with(|state, rest| state.hit(key, call, now, rest))
        {
            return Ok(hit.into_cached());
        }
        let mut seat = Seat::join(&self.shared, key.to_owned(), call.clone());
        let mut loader = Some(loader);
        loop {
            let answer = match seat.turn().await {
                Some(answer) => Some(answer),
                None => self.lead(&seat, &mut loader).await,
            };
            if let Some(answer) = answer {
                return self.shared.with(|_, rest| answered(&answer, rest));
            }
        }
    }

    async fn lead<F, R, W>(
        &self,
        seat: &Seat<'_, K, V, T, L>,
        loader: &mut Option<F>,
    ) -> Option<SharedAnswer<V>>
    where
        F: FnOnce() -> R,
        R: Future<Output = Result<W, LoadError>>,
        W: Into<Load<V>>,
    {
        let mut reply = Reply::Begin;
        loop {
            reply = match seat.advance(reply) {
                Next::Load => {
                    let limit = self.shared.look().policy().load_timeout;
                    // Without one it was deposed after its loader had run out of time, and leads again.
                    let loaded = match loader.take() {
                        Some(loader) => within(self.shared.timer.sleep(limit), loader()).await,
                        None => None,
                    };
                    let too_late = || Err(Error::Timeout(Limit::Load(limit)));
                    seat.loaded(loaded.map_or_else(too_late, brought))
                }
                Next::Pause(pause) => {
                    self.shared.timer.sleep(pause).await;
                    Reply::Paused
                }
                Next::Over(led) => return led,
            };
        }
    }

    /// What L1 and L2 know about `key`. No loader runs and none is waited for.
    pub fn get<Q>(&self, key: &Q) -> Cached<V>
    where
        K: Borrow<Q>,
        Q: ToOwned<Owned = K> + Hash + Eq + ?Sized,
    {
        let mut clock = || self.shared.timer.moment();
        self.shared.with(|state, rest| {
            let call = Call::new();
            match state.hit(key, &call, clock().now, rest) {
                Some(hit) => hit.into_cached(),
                None => state.glance(&key.to_owned(), call, &mut clock, rest),
            }
        })
    }

    /// What L1 knows about `key`.
    pub fn peek<Q>(&self, key: &Q) -> Cached<V>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        let now = self.shared.timer.moment().now;
        let hit = (self.shared).with(|state, rest| state.hit(key, &Call::new(), now, rest));
        match hit {
            Some(hit) => hit.into_cached(),
            None => {
                self.shared.counts().count(&Event::LocalMiss);
                Cached::Miss
            }
        }
    }

    /// Puts `value` in the place of whatever the tiers hold for `key`. What a load that is under way brings
    /// is answered to those who wait for it already, and kept nowhere.
    ///
    /// # Errors
    /// [`Error::Encode`] and [`Error::TooLarge`] if L2 cannot hold it; then nothing has changed.
    pub fn insert(&self, key: K, value: V) -> Result<Reach, Error> {
        self.insert_with(key, value, &Call::new())
    }

    /// [`insert`](Self::insert) with wishes of this call's own. A skipped level loses the key.
    ///
    /// # Errors
    /// Those of `insert`, and [`Error::Config`] for wishes that cannot be.
    pub fn insert_with(&self, key: K, value: V, call: &Call) -> Result<Reach, Error> {
        let mut clock = || self.shared.timer.moment();
        self.shared
            .with(|state, rest| state.insert(&key, value, call, &mut clock, rest))
    }

    /// Removes `key` from both tiers. What a load that is under way brings is answered to those who wait
    /// for it already, and kept nowhere.
    pub fn invalidate<Q>(&self, key: &Q) -> Reach
    where
        K: Borrow<Q>,
        Q: ToOwned<Owned = K> + ?Sized,
    {
        let key = key.to_owned();
        let mut clock = || self.shared.timer.moment();
        self.shared
            .with(|state, rest| state.invalidate(&key, &mut clock, rest))
    }

    /// Removes everything from L1. Loads that are under way keep nothing there.
    pub fn clear_local(&self) {
        self.shared.with(State::clear_local);
    }

    /// Repeats the removals that L2 has not confirmed and whose turn has come. Returns when the next one's
    /// has: call it then, or now and again. Until they are confirmed L2 is not asked about their keys.
    pub fn run_pending(&self) -> Option<Timestamp> {
        let mut clock = || self.shared.timer.moment();
        self.shared
            .with(|state, rest| state.repair(&mut clock, rest))
    }

    /// What was counted since the cache was built.
    #[must_use]
    pub fn stats(&self) -> Stats {
        self.shared
            .counts()
            .read(self.shared.look().level1().evicted())
    }

    /// How much is under way.
    #[must_use]
    pub fn activity(&self) -> Activity {
        self.shared.look().table().activity()
    }

    /// How many entries L1 has.
    #[must_use]
    pub fn len(&self) -> usize {
        self.shared.look().level1().len()
    }

    /// Whether L1 has none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl<K, V, T, L> fmt::Debug for Tasks<K, V, T, L> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tasks").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use alloc::boxed::Box;
    use core::cell::Cell;
    use core::num::NonZeroUsize;
    use core::pin::Pin;
    use core::task::{Context, Poll, Waker};
    use core::time::Duration;

    use super::*;
    use crate::unsync::builder::Builder;
    use crate::unsync::level2::Bytes;
    use crate::unsync::stage::{Digits, SECOND, World};

    const KEY: u32 = 7;

    type Far<'a> = Tasks<u32, u32, &'a World, Bytes<&'a World, Digits>>;
    type Asking<'a> = Pin<Box<dyn Future<Output = Result<Option<u32>, Error>> + 'a>>;

    fn tasks(world: &World) -> Far<'_> {
        let settings = Builder::new(NonZeroUsize::new(4).unwrap());
        let settings = settings.stale_for(60 * SECOND).store(world, Digits);
        settings.build_tasks(world).unwrap()
    }

    fn poll(asking: &mut Asking<'_>) -> Poll<Result<Option<u32>, Error>> {
        asking
            .as_mut()
            .poll(&mut Context::from_waker(Waker::noop()))
    }

    /// The loader of a test: it counts how often it runs, and takes a second.
    #[derive(Default)]
    struct Source {
        runs: Cell<u32>,
        value: Cell<u32>,
    }

    impl Source {
        fn ask<'a>(&'a self, tasks: &'a Far<'_>, world: &'a World) -> Asking<'a> {
            Box::pin(tasks.get_or_load(&KEY, async || {
                self.runs.set(self.runs.get() + 1);
                let value = self.value.get();
                world.nap(SECOND).await;
                Ok(value)
            }))
        }
    }

    #[test]
    fn those_who_ask_for_a_key_share_one_load() {
        let (world, source) = (World::default(), Source::default());
        let tasks = tasks(&world);
        let mut asking = [(); 3].map(|()| source.ask(&tasks, &world));
        assert!(asking.iter_mut().all(|asking| poll(asking).is_pending()));
        world.pass(SECOND);
        for asking in &mut asking {
            assert!(matches!(poll(asking), Poll::Ready(Ok(Some(0)))));
        }
        assert_eq!((source.runs.get(), tasks.stats().coalesced), (1, 2));
        drop(asking);
        assert_eq!(tasks.activity(), Activity::default(), "nothing is left");
    }

    #[test]
    fn a_cancelled_leader_hands_over() {
        let (world, source) = (World::default(), Source::default());
        let tasks = tasks(&world);
        let (mut one, mut other) = (source.ask(&tasks, &world), source.ask(&tasks, &world));
        assert!(poll(&mut one).is_pending() && poll(&mut other).is_pending());
        drop(one);
        assert!(poll(&mut other).is_pending());
        world.pass(SECOND);
        assert!(matches!(poll(&mut other), Poll::Ready(Ok(Some(0)))));
        assert_eq!(source.runs.get(), 2);
    }

    #[test]
    fn who_leaves_alone_leaves_no_lease_behind() {
        let (world, source) = (World::default(), Source::default());
        let tasks = tasks(&world);
        let mut one = source.ask(&tasks, &world);
        assert!(poll(&mut one).is_pending());
        drop(one);
        let mut other = source.ask(&tasks, &world);
        assert!(poll(&mut other).is_pending());
        assert_eq!(source.runs.get(), 2, "it loads, and waits for nobody");
    }

    #[test]
    fn a_leader_that_is_not_polled_is_deposed() {
        let (world, source) = (World::default(), Source::default());
        let tasks = tasks(&world);
        let (mut silent, mut other) = (source.ask(&tasks, &world), source.ask(&tasks, &world));
        assert!(poll(&mut silent).is_pending() && poll(&mut other).is_pending());
        world.pass(11 * SECOND);
        assert!(poll(&mut other).is_pending(), "it leads");
        world.pass(SECOND);
        assert!(matches!(poll(&mut other), Poll::Ready(Ok(Some(0)))));
        assert!(matches!(poll(&mut silent), Poll::Ready(Ok(Some(0)))));
        assert_eq!((source.runs.get(), tasks.stats().deposed), (2, 1));
    }

    #[test]
    fn a_loader_that_takes_too_long_is_given_up() {
        let world = World::default();
        let tasks = tasks(&world);
        let never = || core::future::pending::<Result<u32, LoadError>>();
        let mut asking: Asking<'_> = Box::pin(tasks.get_or_load(&KEY, never));
        assert!(poll(&mut asking).is_pending());
        world.pass(10 * SECOND);
        let answer = poll(&mut asking);
        assert!(
            matches!(answer, Poll::Ready(Err(Error::Timeout(_)))),
            "{answer:?}"
        );
    }

    /// Its load began before the change: it is answered to who waits for it, and is in no tier.
    #[test]
    fn what_a_change_has_overtaken_is_kept_nowhere() {
        type Change = fn(&Far<'_>) -> Result<Reach, Error>;
        let change: [(&str, Change); 2] = [
            ("invalidate", |tasks| Ok(tasks.invalidate(&KEY))),
            ("insert", |tasks| tasks.insert(KEY, 2)),
        ];
        for (name, change) in change {
            let (world, source) = (World::default(), Source::default());
            let tasks = tasks(&world);
            let mut asking = source.ask(&tasks, &world);
            assert!(poll(&mut asking).is_pending());
            change(&tasks).unwrap();
            world.pass(SECOND);
            assert!(matches!(poll(&mut asking), Poll::Ready(Ok(Some(0)))));
            assert_ne!(tasks.get(&KEY), Cached::Hit(0), "{name}: in L1");
            tasks.clear_local();
            assert_ne!(tasks.get(&KEY), Cached::Hit(0), "{name}: in L2");
        }
    }

    #[test]
    fn who_asks_behind_a_change_gets_a_load_that_began_behind_it() {
        let (world, source) = (World::default(), Source::default());
        let tasks = tasks(&world);
        let mut before = source.ask(&tasks, &world);
        assert!(poll(&mut before).is_pending());
        source.value.set(1);
        tasks.invalidate(&KEY);
        let mut behind = source.ask(&tasks, &world);
        assert!(poll(&mut behind).is_pending());
        world.pass(SECOND);
        assert!(matches!(poll(&mut before), Poll::Ready(Ok(Some(0)))));
        assert!(matches!(poll(&mut behind), Poll::Ready(Ok(Some(1)))));
        tasks.clear_local();
        assert_eq!(tasks.get(&KEY), Cached::Hit(1), "L2 has the new one");
    }

    #[test]
    fn a_waiting_task_is_woken() {
        struct Count(core::sync::atomic::AtomicUsize);
        impl alloc::task::Wake for Count {
            fn wake(self: alloc::sync::Arc<Self>) {
                self.0.fetch_add(1, core::sync::atomic::Ordering::SeqCst);
            }
        }
        let (world, source) = (World::default(), Source::default());
        let tasks = tasks(&world);
        let (mut lead, mut follow) = (source.ask(&tasks, &world), source.ask(&tasks, &world));
        let count = alloc::sync::Arc::new(Count(0.into()));
        let waker = Waker::from(alloc::sync::Arc::clone(&count));
        assert!(poll(&mut lead).is_pending());
        let waits = follow.as_mut().poll(&mut Context::from_waker(&waker));
        assert!(waits.is_pending());
        world.pass(SECOND);
        assert!(poll(&mut lead).is_ready());
        assert!(count.0.load(core::sync::atomic::Ordering::SeqCst) > 0);
    }

    #[test]
    fn a_peek_asks_l1_alone() {
        let world = World::default();
        let tasks = tasks(&world);
        tasks.insert(KEY, 1).unwrap();
        assert_eq!(tasks.peek(&KEY), Cached::Hit(1));
        tasks.clear_local();
        world.asked.borrow_mut().clear();
        assert_eq!(tasks.peek(&KEY), Cached::Miss);
        assert!(world.asked.borrow().is_empty(), "L2 has it");
        assert_eq!(
            (tasks.stats().local_hits, tasks.stats().local_misses),
            (1, 1)
        );
    }

    #[test]
    fn a_stale_value_stands_in_for_a_load_that_fails() {
        let world = World::default();
        let tasks = tasks(&world);
        tasks.insert(KEY, 1).unwrap();
        world.pass(Duration::from_secs(3600));
        let call = Call::new();
        let away = async || Err::<u32, _>("away".into());
        let mut asking = Box::pin(tasks.get_or_load_cached(&KEY, &call, away));
        let answer = asking
            .as_mut()
            .poll(&mut Context::from_waker(Waker::noop()));
        assert!(
            matches!(answer, Poll::Ready(Ok(Cached::Stale(1)))),
            "{answer:?}"
        );
    }
}
