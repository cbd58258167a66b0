//! The ports as trait objects: generic at the door, erased inside.

use core::fmt;
use core::future::Future;
use core::pin::Pin;
use core::time::Duration;
use std::sync::Arc;

use crate::machine::error::Fault;
use crate::machine::tier::load::Load;
use crate::machine::time::Timestamp;
use crate::machine::token::Token;
use crate::ports::batch_loader::{BatchLoader, Loads};
use crate::ports::bus::{Bus, Message, News, Subscription, Telling};
use crate::ports::loader::{LoadError, Loader};
use crate::ports::remote::{
    Claim, Claimed, Ensure, Ensured, Extend, Extended, Fill, Filled, Found, Herald, Hold,
    Inspected, LeaseAsk, Leased, Mark, NewsPage, Placed, Put, Raise, Raised, Remote, Settle, Wire,
};
use crate::ports::runtime::{Runtime, Task};
use crate::ports::standing::Standing;

pub(crate) type Boxed<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;
type Outcomes<'a, T> = Boxed<'a, Vec<Result<T, Fault>>>;

/// The verbs of [`Remote`] that this driver sends.
pub(crate) trait AnyRemote: Send + Sync {
    fn read<'a>(&'a self, keys: &'a [&'a str], wire: Wire) -> Outcomes<'a, Option<Found>>;
    fn lease<'a>(&'a self, asks: &'a [LeaseAsk<'a>], wire: Wire) -> Outcomes<'a, Leased>;
    fn renew<'a>(&'a self, asks: &'a [LeaseAsk<'a>]) -> Outcomes<'a, bool>;
    fn fill<'a>(&'a self, fills: &'a [Fill<'a>], wire: Wire) -> Outcomes<'a, Filled>;
    fn extend<'a>(&'a self, extends: &'a [Extend<'a>]) -> Outcomes<'a, Extended>;
    fn release<'a>(&'a self, holds: &'a [Hold<'a>]) -> Outcomes<'a, ()>;
    fn claim<'a>(&'a self, claims: &'a [Claim<'a>], wire: Wire) -> Outcomes<'a, Claimed>;
    fn put<'a>(&'a self, puts: &'a [Put<'a>], wire: Wire) -> Outcomes<'a, Placed>;
    fn settle<'a>(&'a self, settles: &'a [Settle<'a>], wire: Wire) -> Outcomes<'a, Filled>;
    fn remove<'a>(&'a self, keys: &'a [&'a str]) -> Outcomes<'a, ()>;
    fn unload<'a>(&'a self, keys: &'a [&'a str]) -> Outcomes<'a, ()>;
    fn lock<'a>(
        &'a self,
        name: &'a str,
        token: Token,
        life: Duration,
    ) -> Boxed<'a, Result<bool, Fault>>;
    fn unlock<'a>(&'a self, name: &'a str, token: Token) -> Boxed<'a, Result<(), Fault>>;
    fn inspect<'a>(&'a self, key: &'a str, wire: Wire) -> Boxed<'a, Result<Inspected, Fault>>;
    fn raise<'a>(&'a self, raise: Raise<'a>) -> Boxed<'a, Result<Raised, Fault>>;
    fn news<'a>(&'a self, namespace: &'a str, since: Mark) -> Boxed<'a, Result<NewsPage, Fault>>;
    fn ensure<'a>(&'a self, ensure: Ensure<'a>) -> Boxed<'a, Result<Ensured, Fault>>;
    fn keeps_log(&self) -> bool;
    fn server(&self) -> Option<u64>;
    fn server_of(&self, key: &str) -> Option<u64>;
    fn failovers(&self) -> Option<u64>;
    fn announcing(&self, herald: Herald) -> Option<Arc<dyn AnyRemote>>;
}

impl<R: Remote> AnyRemote for R {
    fn read<'a>(&'a self, keys: &'a [&'a str], wire: Wire) -> Outcomes<'a, Option<Found>> {
        Box::pin(Remote::read(self, keys, wire))
    }

    fn lease<'a>(&'a self, asks: &'a [LeaseAsk<'a>], wire: Wire) -> Outcomes<'a, Leased> {
        Box::pin(Remote::lease(self, asks, wire))
    }

    fn renew<'a>(&'a self, asks: &'a [LeaseAsk<'a>]) -> Outcomes<'a, bool> {
        Box::pin(Remote::renew(self, asks))
    }

    fn fill<'a>(&'a self, fills: &'a [Fill<'a>], wire: Wire) -> Outcomes<'a, Filled> {
        Box::pin(Remote::fill(self, fills, wire))
    }

    fn extend<'a>(&'a self, extends: &'a [Extend<'a>]) -> Outcomes<'a, Extended> {
        Box::pin(Remote::extend(self, extends))
    }

    fn release<'a>(&'a self, holds: &'a [Hold<'a>]) -> Outcomes<'a, ()> {
        Box::pin(Remote::release(self, holds))
    }

    fn claim<'a>(&'a self, claims: &'a [Claim<'a>], wire: Wire) -> Outcomes<'a, Claimed> {
        Box::pin(Remote::claim(self, claims, wire))
    }

    fn put<'a>(&'a self, puts: &'a [Put<'a>], wire: Wire) -> Outcomes<'a, Placed> {
        Box::pin(Remote::put(self, puts, wire))
    }

    fn settle<'a>(&'a self, settles: &'a [Settle<'a>], wire: Wire) -> Outcomes<'a, Filled> {
        Box::pin(Remote::settle(self, settles, wire))
    }

    fn remove<'a>(&'a self, keys: &'a [&'a str]) -> Outcomes<'a, ()> {
        Box::pin(Remote::remove(self, keys))
    }

    fn unload<'a>(&'a self, keys: &'a [&'a str]) -> Outcomes<'a, ()> {
        Box::pin(Remote::unload(self, keys))
    }

    fn lock<'a>(
        &'a self,
        name: &'a str,
        token: Token,
        life: Duration,
    ) -> Boxed<'a, Result<bool, Fault>> {
        Box::pin(Remote::lock(self, name, token, life))
    }

    fn unlock<'a>(&'a self, name: &'a str, token: Token) -> Boxed<'a, Result<(), Fault>> {
        Box::pin(Remote::unlock(self, name, token))
    }

    fn inspect<'a>(&'a self, key: &'a str, wire: Wire) -> Boxed<'a, Result<Inspected, Fault>> {
        Box::pin(Remote::inspect(self, key, wire))
    }

    fn raise<'a>(&'a self, raise: Raise<'a>) -> Boxed<'a, Result<Raised, Fault>> {
        Box::pin(async move { Remote::raise(self, &raise).await })
    }

    fn news<'a>(&'a self, namespace: &'a str, since: Mark) -> Boxed<'a, Result<NewsPage, Fault>> {
        Box::pin(Remote::news(self, namespace, since))
    }

    fn ensure<'a>(&'a self, ensure: Ensure<'a>) -> Boxed<'a, Result<Ensured, Fault>> {
        Box::pin(async move { Remote::ensure(self, &ensure).await })
    }

    fn keeps_log(&self) -> bool {
        Remote::keeps_log(self)
    }

    fn server(&self) -> Option<u64> {
        Remote::server(self)
    }

    fn server_of(&self, key: &str) -> Option<u64> {
        Remote::server_of(self, key)
    }

    fn failovers(&self) -> Option<u64> {
        Remote::failovers(self)
    }

    fn announcing(&self, herald: Herald) -> Option<Arc<dyn AnyRemote>> {
        let announcing = Remote::announcing(self, herald)?;
        Some(Arc::new(announcing))
    }
}

/// A [`Bus`] and its subscription.
pub(crate) trait AnyBus: Send + Sync {
    fn telling(&self) -> Telling;
    fn subscribe<'a>(
        &'a self,
        prefixes: &'a [String],
    ) -> Boxed<'a, Result<Box<dyn AnySubscription>, Fault>>;
    fn publish<'a>(&'a self, messages: &'a [Message]) -> Boxed<'a, Result<(), Fault>>;
}

pub(crate) trait AnySubscription: Send {
    fn next(&mut self) -> Boxed<'_, Result<News, Fault>>;
    fn extend<'a>(&'a mut self, prefixes: &'a [String]) -> Boxed<'a, Result<bool, Fault>>;
}

impl<B: Bus> AnyBus for B {
    fn telling(&self) -> Telling {
        Bus::telling(self)
    }

    fn subscribe<'a>(
        &'a self,
        prefixes: &'a [String],
    ) -> Boxed<'a, Result<Box<dyn AnySubscription>, Fault>> {
        Box::pin(async move {
            let subscription = Bus::subscribe(self, prefixes).await?;
            Ok(Box::new(subscription) as Box<dyn AnySubscription>)
        })
    }

    fn publish<'a>(&'a self, messages: &'a [Message]) -> Boxed<'a, Result<(), Fault>> {
        Box::pin(Bus::publish(self, messages))
    }
}

impl<S: Subscription> AnySubscription for S {
    fn next(&mut self) -> Boxed<'_, Result<News, Fault>> {
        Box::pin(Subscription::next(self))
    }

    fn extend<'a>(&'a mut self, prefixes: &'a [String]) -> Boxed<'a, Result<bool, Fault>> {
        Box::pin(Subscription::extend(self, prefixes))
    }
}

pub(crate) trait AnyRuntime: Send + Sync {
    fn now(&self) -> Timestamp;
    fn coarse(&self) -> Timestamp;
    fn roll(&self) -> u128;
    fn check(&self) -> Result<(), &'static str>;
    fn sleep(&self, span: Duration) -> Boxed<'static, ()>;
    fn spawn(&self, task: Task) -> Result<(), Task>;
    fn may_block(&self) -> Result<(), &'static str>;
    fn block_on(&self, call: Pin<&mut (dyn Future<Output = ()> + Send + '_)>);
}

impl<R: Runtime> AnyRuntime for R {
    fn coarse(&self) -> Timestamp {
        Runtime::coarse(self)
    }

    fn now(&self) -> Timestamp {
        Runtime::now(self)
    }

    fn roll(&self) -> u128 {
        Runtime::roll(self)
    }

    fn check(&self) -> Result<(), &'static str> {
        Runtime::check(self)
    }

    fn sleep(&self, span: Duration) -> Boxed<'static, ()> {
        Box::pin(Runtime::sleep(self, span))
    }

    fn spawn(&self, task: Task) -> Result<(), Task> {
        Runtime::spawn(self, task)
    }

    fn may_block(&self) -> Result<(), &'static str> {
        Runtime::may_block(self)
    }

    fn block_on(&self, call: Pin<&mut (dyn Future<Output = ()> + Send + '_)>) {
        Runtime::block_on(self, call);
    }
}

impl fmt::Debug for dyn AnyRuntime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Runtime")
    }
}

pub(crate) trait AnyLoader<K: 'static, V: 'static>: Send + Sync {
    fn load(&self, key: K, standing: Option<Standing<V>>) -> Boxed<'_, Result<Load<V>, LoadError>>;
}

impl<K: Send + 'static, V: 'static, L: Loader<K, V>> AnyLoader<K, V> for L {
    fn load(&self, key: K, standing: Option<Standing<V>>) -> Boxed<'_, Result<Load<V>, LoadError>> {
        Box::pin(Loader::load_if_changed(self, key, standing))
    }
}

pub(crate) trait AnyBatchLoader<K: 'static, V: 'static>: Send + Sync {
    fn load_many(&self, keys: Vec<K>) -> Boxed<'_, Result<Loads<K, V>, LoadError>>;
}

impl<K: Send + 'static, V: 'static, L: BatchLoader<K, V>> AnyBatchLoader<K, V> for L {
    fn load_many(&self, keys: Vec<K>) -> Boxed<'_, Result<Loads<K, V>, LoadError>> {
        Box::pin(BatchLoader::load_many(self, keys))
    }
}

/// A loader of many keys that loads one.
pub(crate) struct OneOfMany<K, V>(pub(crate) Arc<dyn AnyBatchLoader<K, V>>);

impl<K, V> Loader<K, V> for OneOfMany<K, V>
where
    K: Clone + Eq + Send + Sync + 'static,
    V: Send + 'static,
{
    async fn load(&self, key: K) -> Result<Load<V>, LoadError> {
        let loads = self.0.load_many(vec![key.clone()]).await?;
        // Of several for one key the last one counts.
        let mut last_first = loads.entries.into_iter().rev();
        last_first.find(|(loaded, _)| *loaded == key).map_or_else(
            || Ok(Load::from(None)),
            |(_, load)| Ok(load?.of_nothing_shown()?),
        )
    }
}
