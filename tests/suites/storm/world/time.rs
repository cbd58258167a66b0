//! Virtual time: an executor on one thread that polls a ready task of its seed's choice, and moves
//! the clock when none is ready.

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use fastrand::Rng;
use jetcache_core::{Runtime, Task, Timestamp};

/// A task's number.
pub(crate) type Id = usize;

#[derive(Clone)]
pub(crate) struct World(Arc<Mutex<Inner>>);

struct Inner {
    now: Timestamp,
    rng: Rng,
    /// What the caches roll. Dice of their own, and new ones at each tick, so that one roll more does not
    /// change the storm: how often a batch rolls depends on how its keys fall into shards.
    rolls: Rng,
    rolled: u64,
    seed: u64,
    tick: u64,
    tasks: BTreeMap<Id, Task>,
    next: Id,
    /// The task that is polled now, and those inside of which it is polled.
    current: Id,
    aside: BTreeSet<Id>,
    /// Tasks that are not polled.
    silent: BTreeSet<Id>,
    ready: Arc<Mutex<BTreeSet<Id>>>,
    timers: BTreeMap<(Timestamp, u64), Waker>,
}

struct Bell {
    id: Id,
    ready: Arc<Mutex<BTreeSet<Id>>>,
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.ready.lock().unwrap().insert(self.id);
    }
}

impl World {
    pub(crate) fn new(seed: u64) -> Self {
        Self(Arc::new(Mutex::new(Inner {
            now: Timestamp::from_nanos(1),
            rng: Rng::with_seed(seed),
            rolls: Rng::with_seed(!seed),
            rolled: 0,
            seed,
            tick: 0,
            tasks: BTreeMap::new(),
            next: 0,
            current: 0,
            aside: BTreeSet::new(),
            silent: BTreeSet::new(),
            ready: Arc::default(),
            timers: BTreeMap::new(),
        })))
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap()
    }

    pub(crate) fn time(&self) -> Timestamp {
        self.inner().now
    }

    /// Counts an event, and returns its number.
    pub(crate) fn tick(&self) -> u64 {
        let mut inner = self.inner();
        inner.tick += 1;
        inner.tick
    }

    /// The number of the last event.
    pub(crate) fn ticks(&self) -> u64 {
        self.inner().tick
    }

    /// The task that is polled now.
    pub(crate) fn current(&self) -> Id {
        self.inner().current
    }

    pub(crate) fn below(&self, end: u64) -> u64 {
        self.inner().rng.u64(..end.max(1))
    }

    pub(crate) fn percent(&self, of: u64) -> bool {
        self.below(100) < of
    }

    pub(crate) fn begin(&self, task: impl Future<Output = ()> + Send + 'static) -> Id {
        let mut inner = self.inner();
        let id = inner.next;
        inner.next += 1;
        inner.tasks.insert(id, Box::pin(task));
        inner.ready.lock().unwrap().insert(id);
        id
    }

    /// Drops a task. Returns whether it was still there.
    pub(crate) fn cancel(&self, id: Id) -> bool {
        let task = self.inner().tasks.remove(&id);
        // It is dropped after the lock is released: its guards may use the world.
        task.is_some()
    }

    /// Takes a task away without dropping it.
    pub(crate) fn forget(&self, id: Id) {
        std::mem::forget(self.inner().tasks.remove(&id));
    }

    /// How many tasks there are.
    pub(crate) fn tasks(&self) -> usize {
        self.inner().tasks.len()
    }

    pub(crate) fn is_done(&self, id: Id) -> bool {
        !self.inner().tasks.contains_key(&id)
    }

    /// Polls one task that is ready and not silent, or moves the clock to the next timer. Returns
    /// whether there was anything to do before `end`.
    pub(crate) fn step(&self, silent: &BTreeSet<Id>, end: Timestamp) -> bool {
        self.inner().silent.clone_from(silent);
        self.go(end)
    }

    /// Lets another task go on in the middle of the current poll, as another thread would.
    pub(crate) fn step_aside(&self, end: Timestamp) -> bool {
        let me = self.current();
        let first = self.inner().aside.insert(me);
        let went = self.go(end);
        let mut inner = self.inner();
        inner.current = me;
        if first {
            inner.aside.remove(&me);
        }
        went
    }

    fn go(&self, end: Timestamp) -> bool {
        let Some(id) = self.choose() else {
            return self.wait(end);
        };
        let (task, bell) = {
            let mut inner = self.inner();
            let ready = Arc::clone(&inner.ready);
            ready.lock().unwrap().remove(&id);
            inner.tick += 1;
            inner.current = id;
            (inner.tasks.remove(&id), Bell { id, ready })
        };
        let Some(mut task) = task else {
            return true;
        };
        let waker = Waker::from(Arc::new(bell));
        match task.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(()) => drop(task),
            Poll::Pending => {
                self.inner().tasks.insert(id, task);
            }
        }
        true
    }

    fn choose(&self) -> Option<Id> {
        let mut inner = self.inner();
        let ready: Vec<Id> = {
            let ready = inner.ready.lock().unwrap();
            let polled = |id: &&Id| !inner.silent.contains(id) && !inner.aside.contains(id);
            ready.iter().filter(polled).copied().collect()
        };
        let at = inner.rng.usize(..ready.len().max(1));
        ready.get(at).copied()
    }

    fn wait(&self, end: Timestamp) -> bool {
        let mut inner = self.inner();
        let Some((&(when, _), _)) = inner.timers.first_key_value() else {
            return false;
        };
        if when > end {
            return false;
        }
        inner.now = inner.now.max(when);
        while let Some(first) = inner.timers.first_entry() {
            if first.key().0 > when {
                break;
            }
            first.remove().wake();
        }
        true
    }
}

impl Runtime for World {
    fn now(&self) -> Timestamp {
        self.time()
    }

    fn roll(&self) -> u128 {
        let mut inner = self.inner();
        if inner.rolled != inner.tick {
            inner.rolled = inner.tick;
            inner.rolls =
                Rng::with_seed(!inner.seed ^ inner.tick.wrapping_mul(0x9E37_79B9_7F4A_7C15));
        }
        inner.rolls.u128(..)
    }

    fn sleep(&self, span: Duration) -> impl Future<Output = ()> + Send + 'static {
        Sleep {
            world: self.clone(),
            until: self.time() + span,
        }
    }

    fn spawn(&self, task: Task) -> Result<(), Task> {
        self.begin(task);
        Ok(())
    }
}

struct Sleep {
    world: World,
    until: Timestamp,
}

impl Future for Sleep {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let mut inner = self.world.inner();
        if inner.now >= self.until {
            return Poll::Ready(());
        }
        inner.tick += 1;
        let key = (self.until, inner.tick);
        inner.timers.insert(key, cx.waker().clone());
        Poll::Pending
    }
}
