//! Looks at L2: what stands under keys, and what was raised (PROTOCOL.md, T2); one key more closely, for
//! people.

use core::future::Future;
use core::time::Duration;

use crate::driver::link::log::{Log, Look};
use crate::driver::link::outcomes::{Outcomes, only};
use crate::driver::link::{Link, Sending};
use crate::machine::error::Fault;
use crate::machine::tier::inspection::{InL2, L2Entry};
use crate::machine::tier::verb::{Announce, Verb};
use crate::ports::bus::BusState;
use crate::ports::remote::{
    Ensure, Ensured, Found, Inspected, Life, Mark, NewsPage, Raise, Raised, Scope,
};

impl<K, V: Send + Sync + 'static> Link<K, V> {
    /// What stands under a key and beside it.
    pub(in crate::driver) async fn look(&self, text: &str) -> InL2 {
        match self.inspect(text).await {
            Ok(seen) => InL2::Answered {
                entry: seen.found.map(|found| self.entry(&found, seen.kept)),
                lease: seen.lease,
            },
            Err(fault) => InL2::Away(fault),
        }
    }

    async fn inspect(&self, key: &str) -> Result<Inspected, Fault> {
        let inspect = async { vec![self.remote.inspect(key, self.format.wire).await] };
        self.send_one(Verb::Inspect, key, inspect).await
    }

    /// An entry, and whether it can be read.
    fn entry(&self, found: &Found, kept: Option<Duration>) -> L2Entry {
        let (clock, kept) = match found.life {
            Life::Clock(clock) => (Some(clock), kept),
            Life::Left(left) => (None, kept.or(Some(left))),
        };
        let mut entry = L2Entry::of(&found.bytes, self.format.wire, clock, kept);
        self.format.complete(&mut entry, &found.bytes);
        if entry.unreadable.is_none() {
            entry.unreadable = self.format.decode_found(found).err();
        }
        entry
    }
}

/// Reading, and the verbs of the log.
impl<K, V> Link<K, V> {
    /// And the highest number of the log, if that is to be looked at: it goes with the answers, which
    /// are not believed before all raises up to it are known.
    pub(in crate::driver) async fn read(
        &self,
        keys: &[&str],
    ) -> (Outcomes<Option<Found>>, Result<Option<Look>, Fault>) {
        let Some(log) = self.log.as_ref().filter(|log| self.looks_at(log)) else {
            return (self.read_only(keys).await, Ok(None));
        };
        let now = self.runtime.coarse();
        let asked = log.ask(now);
        let list = log.touches(now);
        let mut outcomes = match (keys, list) {
            ([key], None) => self.read_only(&[key, &log.top]).await,
            (keys, list) => {
                let beside = [&*log.top].into_iter().chain(list);
                let all: Vec<&str> = keys.iter().copied().chain(beside).collect();
                self.read_only(&all).await
            }
        };
        outcomes.truncate(keys.len() + 1);
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
    pub(in crate::driver) async fn look_at_log(&self, log: &Log) -> Result<Look, Fault> {
        let asked = log.ask(self.runtime.coarse());
        let found = only(self.read_only(&[&log.top]).await)?;
        Ok(log.seen(asked, found))
    }

    /// The same beside another verb, if it is to be looked at.
    ///
    /// # Errors
    /// Nobody knows what was raised.
    pub(in crate::driver) async fn look_beside(&self) -> Result<Option<Look>, Fault> {
        match self.log.as_ref().filter(|log| self.looks_at(log)) {
            Some(log) => self.look_at_log(log).await.map(Some),
            None => Ok(None),
        }
    }

    /// Whether this node may have missed raises for a while.
    pub(in crate::driver) fn is_behind(&self, log: &Log) -> bool {
        let up = (self.hub.as_ref()).is_some_and(|hub| hub.state() == BusState::Up);
        log.is_due(up, self.runtime.coarse())
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
    pub(in crate::driver) async fn raise(
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

    /// A page of the marks of the namespace since then.
    pub(in crate::driver) async fn news(
        &self,
        namespace: &str,
        since: Mark,
    ) -> Result<NewsPage, Fault> {
        let asking = async { vec![self.remote.news(namespace, since).await] };
        self.send_to_log(Verb::News, asking).await
    }

    /// Sees to it that the log has these marks, and tells of what was raised. Returns its highest number.
    pub(in crate::driver) async fn ensure(
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
        let Ensured { top, raised } = self.send_to_log(Verb::Ensure, ensuring).await?;
        if let Some(event) = raised {
            self.announcer.tell_raise(namespace, &event);
        }
        Ok(top)
    }

    async fn send_to_log<T>(
        &self,
        verb: Verb,
        operation: impl Future<Output = Outcomes<T>>,
    ) -> Result<T, Fault> {
        let top = self.log.as_ref().map_or("", |log| &log.top);
        self.send_one(verb, top, operation).await
    }
}
