//! The way to L2: its verbs, each under the cache's timeout.

pub(super) mod announce;
pub(super) mod format;
pub(super) mod gate;
pub(super) mod guard;
pub(super) mod log;
mod look;
pub(super) mod namespaces;
pub(super) mod outcomes;
mod pass;
pub(super) mod primary;
pub(super) mod text;
pub(super) mod trip;

use core::fmt;
use core::future::Future;
use core::iter::zip;
use core::time::Duration;
use std::sync::Arc;

use futures_util::future::join;
use tracing::Instrument;

use crate::driver::bus::hub::Hub;
use crate::driver::link::announce::{Announcer, merge, split};
use crate::driver::link::format::Format;
use crate::driver::link::gate::{Gate, PING};
use crate::driver::link::log::{Log, Look};
use crate::driver::link::outcomes::{Outcomes, failed, only, survived};
use crate::driver::link::pass::Pass;
use crate::driver::link::primary::Primary;
use crate::driver::link::text::Texts;
use crate::driver::link::trip::Trip;
use crate::driver::shared::journal::Journal;
use crate::driver::world::erased::{AnyRemote, AnyRuntime, Boxed};
use crate::driver::world::timeout::timeout;
use crate::machine::error::Fault;
use crate::machine::tier::verb::{Announce, Verb};
use crate::machine::tier::wire::Wire;
use crate::machine::time::Timestamp;
use crate::machine::token::Token;
use crate::ports::bus::{BusState, Kind};
use crate::ports::remote::{
    Claim, Claimed, Ensure, Extend, Extended, Fill, Filled, Found, Hold, LeaseAsk, Leased, Mark,
    Placed, Put, Raise, Raised, Scope, Settle,
};

/// The L2 of one cache.
pub(super) struct Link<K, V> {
    pub(super) texts: Texts<K>,
    pub(super) format: Format<V>,
    pub(super) remote: Arc<dyn AnyRemote>,
    pub(super) announcer: Announcer,
    pub(super) hub: Option<Arc<Hub>>,
    pub(super) journal: Arc<Journal>,
    pub(super) runtime: Arc<dyn AnyRuntime>,
    pub(super) timeout: Duration,
    /// The breakers of its servers, if they have any.
    pub(super) gate: Option<Arc<Gate>>,
    /// The log of raises, if L2 keeps one.
    pub(super) log: Option<Log>,
    /// Its primary, if the last changes are made again when there is a new one.
    pub(super) primary: Option<Arc<Primary>>,
}

impl<K, V> Link<K, V> {
    /// And the highest number of the log, if that is to be looked at: it goes with the answers, which
    /// are not believed before all raises up to it are known.
    pub(super) async fn read(
        &self,
        keys: &[&str],
    ) -> (Outcomes<Option<Found>>, Result<Option<Look>, Fault>) {
        let Some(log) = self.log.as_ref().filter(|log| self.looks_at(log)) else {
            return (self.read_only(keys).await, Ok(None));
        };
        let asked = log.ask(self.runtime.coarse());
        let mut outcomes = match keys {
            [key] => self.read_only(&[key, &log.top]).await,
            keys => self.read_only(&[keys, &[&*log.top]].concat()).await,
        };
        match outcomes.pop() {
            Some(Ok(found)) => (outcomes, Ok(Some(log.seen(asked, found)))),
            Some(Err(fault)) => (outcomes, Err(fault)),
            None => (outcomes, Ok(None)),
        }
    }

    async fn read_only(&self, keys: &[&str]) -> Outcomes<Option<Found>> {
        let verb: Sending<&str, Option<Found>> = |remote, keys, wire| remote.read(keys, wire);
        self.send(Verb::Read, &*self.remote, keys, |key| key, verb)
            .await
    }

    /// The highest number of the log alone.
    ///
    /// # Errors
    /// A fault of L2.
    pub(super) async fn look_at_log(&self, log: &Log) -> Result<Look, Fault> {
        let asked = log.ask(self.runtime.coarse());
        let found = only(self.read_only(&[&log.top]).await)?;
        Ok(log.seen(asked, found))
    }

    /// The same beside another verb, if it is to be looked at.
    ///
    /// # Errors
    /// Nobody knows what was raised.
    pub(super) async fn look_beside(&self) -> Result<Option<Look>, Fault> {
        match self.log.as_ref().filter(|log| self.looks_at(log)) {
            Some(log) => self.look_at_log(log).await.map(Some),
            None => Ok(None),
        }
    }

    /// Whether the highest number of the log goes with the next answer: always where it costs no other
    /// command, since it is on the same server.
    fn looks_at(&self, log: &Log) -> bool {
        // Of a raise that nobody acknowledged only L2 itself tells.
        let up = || (self.hub.as_ref()).is_some_and(|hub| hub.state() == BusState::Up);
        let told = || self.announcer.is_l2() && up();
        !self.is_many_servers() || log.is_due(told(), self.runtime.coarse())
    }

    /// Raises scopes of the namespace, and tells of it if L2 does that.
    pub(super) async fn raise(
        &self,
        namespace: &str,
        clock: Mark,
        scopes: &[Scope],
    ) -> Result<Raised, Fault> {
        let raise = Raise {
            namespace,
            clock,
            scopes,
        };
        let remote = self.announcer.remote(&*self.remote, Announce::Yes);
        let raising = async { vec![remote.raise(raise).await] };
        self.send_to_log(Verb::Raise, raising).await
    }

    /// The marks of the namespace since then.
    pub(super) async fn news(
        &self,
        namespace: &str,
        since: Mark,
    ) -> Result<Vec<(Scope, Mark)>, Fault> {
        let asking = async { vec![self.remote.news(namespace, since).await] };
        self.send_to_log(Verb::News, asking).await
    }

    /// Sees to it that the log has these marks. Returns its highest number.
    pub(super) async fn ensure(
        &self,
        namespace: &str,
        clock: Mark,
        marks: &[(Scope, Mark)],
    ) -> Result<Mark, Fault> {
        let ensure = Ensure {
            namespace,
            clock,
            marks,
        };
        let remote = self.announcer.remote(&*self.remote, Announce::Yes);
        let ensuring = async { vec![remote.ensure(ensure).await] };
        self.send_to_log(Verb::Ensure, ensuring).await
    }

    async fn send_to_log<T>(
        &self,
        verb: Verb,
        operation: impl Future<Output = Outcomes<T>>,
    ) -> Result<T, Fault> {
        let top = self.log.as_ref().map_or("", |log| &log.top);
        self.send_one(verb, top, operation).await
    }

    /// Without a timeout: who stops waiting leaves a task that still listens for the reply.
    pub(super) fn lease(&self, asks: Arc<[Ask]>) -> Boxed<'static, Outcomes<Leased>> {
        let remote = Arc::clone(&self.remote);
        let wire = self.format.wire;
        let (gate, primary) = (self.gate.clone(), self.primary.clone());
        Box::pin(async move {
            let asks: Vec<_> = asks.iter().map(Ask::lease).collect();
            let pass = Pass::of(gate.as_deref(), primary.as_deref(), &asks, |ask| ask.key);
            let asked = pass.asked(&asks);
            if asked.is_empty() {
                return pass.outcomes(Vec::new());
            }
            let leasing = async { remote.lease(asked, wire).await };
            let outcomes = survived(asked.len(), leasing).await;
            pass.note(asked, &outcomes);
            pass.outcomes(outcomes)
        })
    }

    /// Whether each lease stands for another while.
    pub(super) async fn renew(&self, asks: &[Ask]) -> Outcomes<bool> {
        let asks: Vec<_> = asks.iter().map(Ask::lease).collect();
        let verb: Sending<LeaseAsk<'_>, bool> = |remote, asks, _| remote.renew(asks);
        self.send(Verb::Renew, &*self.remote, &asks, |ask| ask.key, verb)
            .await
    }

    /// Who asked for leases waits no longer.
    pub(super) fn note_late(&self, asks: &[Ask], sent: Timestamp) {
        if let Some(gate) = &self.gate {
            let late: Outcomes<()> = failed(asks.len(), &Fault::Timeout);
            gate.note(asks.iter().map(|ask| &*ask.key), &late, sent);
        }
    }

    pub(super) async fn fill(&self, fills: &[(Announce, Fill<'_>)]) -> Outcomes<Filled> {
        let kind =
            |fill: &Fill<'_>, filled: &Filled| (*filled == Filled::Stored).then_some(fill.kind);
        let verb: Sending<Fill<'_>, Filled> = |remote, fills, wire| remote.fill(fills, wire);
        self.change(Verb::Fill, fills, verb, |fill| fill.key, kind)
            .await
    }

    pub(super) async fn extend(&self, extends: &[(Announce, Extend<'_>)]) -> Outcomes<Extended> {
        let kind = |extend: &Extend<'_>, extended: &Extended| {
            (*extended == Extended::Stored).then_some(extend.kind)
        };
        let verb: Sending<Extend<'_>, Extended> = |remote, extends, _| remote.extend(extends);
        self.change(Verb::Extend, extends, verb, |extend| extend.key, kind)
            .await
    }

    /// Nobody is told of a claim: the others are told of what follows.
    pub(super) async fn claim(&self, claims: &[Claim<'_>]) -> Outcomes<Claimed> {
        let verb: Sending<Claim<'_>, Claimed> = |remote, claims, wire| remote.claim(claims, wire);
        self.send(Verb::Claim, &*self.remote, claims, |claim| claim.key, verb)
            .await
    }

    pub(super) async fn put(&self, puts: &[(Announce, Put<'_>)]) -> Outcomes<Placed> {
        let kind = |put: &Put<'_>, placed: &Placed| match placed {
            Placed::Stored => Some(Kind::Set),
            // The others may still have what is older.
            Placed::Overtaken | Placed::Refused => put.condition.is_none().then_some(Kind::Delete),
        };
        let verb: Sending<Put<'_>, Placed> = |remote, puts, wire| remote.put(puts, wire);
        self.change(Verb::Put, puts, verb, |put| put.key, kind)
            .await
    }

    pub(super) async fn settle(&self, settles: &[(Announce, Settle<'_>)]) -> Outcomes<Filled> {
        let kind = |_: &Settle<'_>, filled: &Filled| match filled {
            Filled::Stored => Some(Kind::Set),
            Filled::Refused => Some(Kind::Delete),
        };
        let verb: Sending<Settle<'_>, Filled> =
            |remote, settles, wire| remote.settle(settles, wire);
        self.change(Verb::Settle, settles, verb, |settle| settle.key, kind)
            .await
    }

    pub(super) async fn remove(&self, keys: &[(Announce, &str)]) -> Outcomes<()> {
        let kind = |_: &&str, (): &()| Some(Kind::Delete);
        let verb: Sending<&str, ()> = |remote, keys, _| remote.remove(keys);
        self.change(Verb::Remove, keys, verb, |key| key, kind).await
    }

    /// Never told: each node does it by itself.
    pub(super) async fn unload(&self, keys: &[&str]) -> Outcomes<()> {
        let verb: Sending<&str, ()> = |remote, keys, _| remote.unload(keys);
        self.send(Verb::Unload, &*self.remote, keys, |key| key, verb)
            .await
    }

    /// Sends what is announced and what is not, side by side.
    async fn change<I: Copy, T>(
        &self,
        verb: Verb,
        items: &[(Announce, I)],
        sending: Sending<I, T>,
        key: fn(&I) -> &str,
        kind: fn(&I, &T) -> Option<Kind>,
    ) -> Outcomes<T> {
        let (told, kept) = split(items);
        let send = async |announce, items: &[I]| {
            let remote = self.announcer.remote(&*self.remote, announce);
            let outcomes = self.send(verb, remote, items, key, sending).await;
            let said = zip(items, &outcomes).filter_map(|(item, outcome)| {
                Some((kind(item, outcome.as_ref().ok()?)?, key(item)))
            });
            self.announcer.tell(announce, said);
            outcomes
        };
        match (told.is_empty(), kept.is_empty()) {
            (false, true) => send(Announce::Yes, &told).await,
            (true, false) => send(Announce::No, &kept).await,
            // Seldom: boxed, so that the usual way does not carry two of them.
            (_, _) => {
                let both = join(send(Announce::Yes, &told), send(Announce::No, &kept));
                merge(items, Box::pin(both).await)
            }
        }
    }

    /// A round trip to L2 begins.
    pub(super) fn trip(&self, verb: Verb, keys: usize) -> Trip<'_> {
        Trip::begin(&self.journal, verb, keys)
    }

    /// A release that is lost costs readers of the key `lease_wait`, until the lease ends.
    pub(super) async fn release(&self, holds: &[Hold<'_>]) {
        let verb: Sending<Hold<'_>, ()> = |remote, holds, _| remote.release(holds);
        let _ = self
            .send(Verb::Release, &*self.remote, holds, |hold| hold.key, verb)
            .await;
    }

    /// Takes the lock of jetcache-go's refreshes. Whether this token has it now.
    pub(super) async fn lock(
        &self,
        name: &str,
        token: Token,
        life: Duration,
    ) -> Result<bool, Fault> {
        let lock = async { vec![self.remote.lock(name, token, life).await] };
        self.send_one(Verb::Lock, name, lock).await
    }

    /// A lock that is not given back ends by itself.
    pub(super) async fn unlock(&self, name: &str, token: Token) {
        let unlock = async { vec![self.remote.unlock(name, token).await] };
        let _ = self.send_one(Verb::Unlock, name, unlock).await;
    }

    /// Asks L2 for a sign of life, whatever its breakers say, and tells them.
    pub(super) async fn ping(&self) -> Result<Duration, Fault> {
        let begun = self.runtime.now();
        match &self.gate {
            Some(gate) => gate.ping().await?,
            None => {
                let (keys, wire) = ([PING], self.format.wire);
                let read = async { self.remote.read(&keys, wire).await };
                match only(self.bounded(Verb::Read, 1, read).await) {
                    Ok(_) | Err(Fault::Refused(_)) => {}
                    Err(fault) => return Err(fault),
                }
            }
        }
        Ok(self.runtime.now().since(begun))
    }

    /// Whether its only server tells of changes itself, so that a subscription which stands hears of
    /// those that its primary has.
    pub(super) fn is_told_by_primary(&self) -> bool {
        self.announcer.is_l2() && !self.is_many_servers()
    }

    /// Whether L2 is a store of several servers, of which one may be replaced.
    pub(super) fn is_many_servers(&self) -> bool {
        self.remote.server_of(&self.texts.prefix).is_some()
    }

    fn pass<I: Copy>(&self, items: &[I], key: fn(&I) -> &str) -> Pass<'_, I> {
        Pass::of(self.gate.as_deref(), self.primary.as_deref(), items, key)
    }

    /// Sends what the breakers let pass.
    async fn send<I: Copy, T>(
        &self,
        verb: Verb,
        remote: &dyn AnyRemote,
        items: &[I],
        key: fn(&I) -> &str,
        sending: Sending<I, T>,
    ) -> Outcomes<T> {
        let pass = self.pass(items, key);
        let asked = pass.asked(items);
        if asked.is_empty() {
            return pass.outcomes(Vec::new());
        }
        let sent = async { sending(remote, asked, self.format.wire).await };
        let outcomes = self.bounded(verb, asked.len(), sent).await;
        pass.note(asked, &outcomes);
        pass.outcomes(outcomes)
    }

    async fn send_one<T>(
        &self,
        verb: Verb,
        key: &str,
        operation: impl Future<Output = Outcomes<T>>,
    ) -> Result<T, Fault> {
        let keys = [key];
        let pass = self.pass(&keys, |key| key);
        if pass.asked(&keys).is_empty() {
            return only(pass.outcomes(Vec::new()));
        }
        let outcomes = self.bounded(verb, 1, operation).await;
        pass.note(&keys, &outcomes);
        only(outcomes)
    }

    async fn bounded<T>(
        &self,
        verb: Verb,
        count: usize,
        operation: impl Future<Output = Outcomes<T>>,
    ) -> Outcomes<T> {
        let trip = self.trip(verb, count);
        let operation = survived(count, operation).instrument(trip.span());
        let outcomes = timeout(&*self.runtime, self.timeout, operation).await;
        let outcomes = outcomes.unwrap_or_else(|| failed(count, &Fault::Timeout));
        trip.note(&outcomes);
        if let Some(hub) = &self.hub {
            hub.note_l2(outcomes.iter().any(Result::is_ok));
        }
        outcomes
    }
}

impl<K, V> fmt::Debug for Link<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Link")
            .field("prefix", &self.texts)
            .finish_non_exhaustive()
    }
}

/// A verb of L2 that changes keys.
type Sending<I, T> = for<'a> fn(&'a dyn AnyRemote, &'a [I], Wire) -> Boxed<'a, Outcomes<T>>;

/// A lease that is asked for, and the shard of its key.
#[derive(Debug)]
pub(super) struct Ask {
    pub(super) key: Arc<str>,
    pub(super) shard: usize,
    pub(super) token: Token,
    pub(super) life: Duration,
}

impl Ask {
    fn lease(&self) -> LeaseAsk<'_> {
        LeaseAsk {
            key: &self.key,
            token: self.token,
            life: self.life,
        }
    }
}
