//! The caches of a node that are on its bus.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use portable_atomic::{AtomicU64, Ordering};

use crate::driver::link::gate::Bar;
use crate::driver::world::erased::Boxed;
use crate::machine::event::Event;
use crate::machine::shard::repairs::Heard;
use crate::machine::time::Timestamp;
use crate::ports::bus::Message;

/// A cache on the bus, and what it hears.
pub(crate) trait Hears: Send + Sync {
    /// Others have done this to these keys of its own.
    fn hear(self: Arc<Self>, keys: &[&str], what: Heard);
    /// Scopes were raised, by this node itself if the source is its own; the keys are the texts of a
    /// [`RaiseEvent`](crate::machine::generations::scope::RaiseEvent), each behind the prefix.
    fn hear_raises(self: Arc<Self>, raises: &[&Message], source: &str);
    /// A bus that watches L2 shows that these keys were changed: the highest number of its log may be
    /// among them.
    fn hear_of_log(self: Arc<Self>, keys: &[String]);
    /// How many removals by others it takes at once.
    fn room(&self) -> usize;
    /// Completes when there is room for more removals by others, or L2 is away.
    fn catch_up(self: Arc<Self>) -> Boxed<'static, ()>;
    /// Anything may have changed until now; from now on nothing is missed.
    fn hear_of_everything(self: Arc<Self>);
    /// The bus is down: from now on nothing is heard.
    fn go_blind(self: Arc<Self>, since: Timestamp);
    /// What keeps a bus on this server from dialling it: a breaker of this cache's L2, if that is the
    /// server.
    fn bar(&self, server: u64) -> Option<Bar>;
    /// Notes an event.
    fn note(&self, event: &Event);
}

#[derive(Default)]
pub(crate) struct Members {
    list: Mutex<Vec<Member>>,
    /// Grows whenever a cache comes or goes.
    membership: AtomicU64,
}

struct Member {
    number: u64,
    prefix: String,
    ears: Weak<dyn Hears>,
}

impl Members {
    /// Adds the cache whose keys begin with `prefix`. Returns its number.
    pub(crate) fn add(&self, prefix: &str, ears: Weak<dyn Hears>) -> u64 {
        let mut list = self.list();
        let number = self.membership.fetch_add(1, Ordering::SeqCst);
        list.push(Member {
            number,
            prefix: prefix.to_owned(),
            ears,
        });
        number
    }

    pub(crate) fn remove(&self, number: u64) {
        self.list().retain(|member| member.number != number);
        self.membership.fetch_add(1, Ordering::SeqCst);
    }

    /// The number of this membership: it changes whenever a cache comes or goes.
    pub(crate) fn membership(&self) -> u64 {
        self.membership.load(Ordering::SeqCst)
    }

    pub(crate) fn prefixes(&self) -> Vec<String> {
        let list = self.list();
        list.iter().map(|member| member.prefix.clone()).collect()
    }

    /// The prefixes of the caches that came since this membership, and those of them that still
    /// live.
    pub(crate) fn since(&self, membership: u64) -> (Vec<String>, Vec<Arc<dyn Hears>>) {
        let list = self.list();
        let new = || list.iter().filter(|member| member.number >= membership);
        let prefixes = new().map(|member| member.prefix.clone()).collect();
        (
            prefixes,
            new().filter_map(|member| member.ears.upgrade()).collect(),
        )
    }

    pub(crate) fn len(&self) -> usize {
        self.list().len()
    }

    /// The caches that still live, with their prefixes.
    pub(crate) fn ears(&self) -> Vec<(String, Arc<dyn Hears>)> {
        let list = self.list();
        let ears = |member: &Member| Some((member.prefix.clone(), member.ears.upgrade()?));
        list.iter().filter_map(ears).collect()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.list().is_empty()
    }

    fn list(&self) -> MutexGuard<'_, Vec<Member>> {
        // No user code runs under it.
        self.list.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
