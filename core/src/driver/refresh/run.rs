//! One refresh: a lookup of its own that the registered loader is at hand for.

use core::hash::Hash;
use core::panic::AssertUnwindSafe;
use std::sync::Arc;

use futures_util::FutureExt;

use crate::driver::flight::seat::{Led, Seat};
use crate::driver::link::{LOCK_SUFFIX, Link};
use crate::driver::shared::Shared;
use crate::machine::event::Event;
use crate::machine::policy::Call;
use crate::machine::policy::pace::{Aim, Outcome};
use crate::machine::schedule::Refresh;
use crate::machine::tier::wire::Wire;
use crate::machine::token::Token;

/// A refresh under way. Dropped before its end, with its runtime, it has failed.
pub(crate) struct Run<K, V>
where
    K: Hash + Eq + Clone + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
{
    shared: Arc<Shared<K, V>>,
    /// Where its key stands.
    table: usize,
    refresh: Option<Refresh<Arc<K>>>,
}

impl<K, V> Run<K, V>
where
    K: Hash + Eq + Clone + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
{
    pub(crate) fn new(shared: &Arc<Shared<K, V>>, table: usize, refresh: Refresh<Arc<K>>) -> Self {
        Self {
            shared: Arc::clone(shared),
            table,
            refresh: Some(refresh),
        }
    }

    pub(crate) async fn play(mut self) {
        let Some(refresh) = &self.refresh else {
            return;
        };
        let refreshed = AssertUnwindSafe(self.shared.refresh(refresh));
        let outcome = refreshed.catch_unwind().await;
        self.report(outcome.unwrap_or(Outcome::Failed));
    }

    fn report(&mut self, outcome: Outcome) {
        let (Some(refresh), Some(refreshing)) = (self.refresh.take(), &self.shared.refreshing)
        else {
            return;
        };
        let runtime = &self.shared.runtime;
        let (now, roll) = (runtime.now(), runtime.roll());
        let mut table = refreshing.table(self.table);
        let key = table.done(refresh, outcome, now, roll, &refreshing.pace);
        drop(table);
        drop(key);
        refreshing.sooner.notify(usize::MAX);
    }
}

impl<K, V> Drop for Run<K, V>
where
    K: Hash + Eq + Clone + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
{
    fn drop(&mut self) {
        self.report(Outcome::Failed);
    }
}

impl<K, V> Shared<K, V>
where
    K: Hash + Eq + Clone + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
{
    async fn refresh(self: &Arc<Self>, refresh: &Refresh<Arc<K>>) -> Outcome {
        let (key, call) = (refresh.key(), refresh.call());
        let text = match self.link.as_ref().map(|link| link.text(key)).transpose() {
            Ok(text) => text,
            Err(_) => return Outcome::Failed,
        };
        match (&self.link, &text) {
            (Some(link), Some(text)) if link.format.wire == Wire::JetcacheGo => {
                if call.skip_remote {
                    return self.refresh_by(key, None, call, Aim::Load).await;
                }
                self.refresh_in_turn(link, key, text, call).await
            }
            _ => self.refresh_by(key, text, call, refresh.aim()).await,
        }
    }

    /// In the jetcache-go format the services take turns by a lock, for a period.
    async fn refresh_in_turn(
        self: &Arc<Self>,
        link: &Link<K, V>,
        key: &Arc<K>,
        text: &Arc<str>,
        call: Call,
    ) -> Outcome {
        let Some(refreshing) = &self.refreshing else {
            return Outcome::Passed;
        };
        let (runtime, every) = (&*self.runtime, refreshing.pace.every);
        let name = format!("{text}{LOCK_SUFFIX}");
        let token = Token::from_bits(runtime.roll());
        let locked = link.lock(runtime, &name, token, every).await;
        let outcome = match &locked {
            Ok(granted) => {
                let (text, aim) = (Some(Arc::clone(text)), Aim::of_lock(*granted));
                self.refresh_by(key, text, call, aim).await
            }
            Err(fault) => {
                self.tell(&Event::RemoteFault(fault.clone()));
                Outcome::Failed
            }
        };
        // Who did not load lets another; a lock whose reply is missing may stand as well.
        if !matches!(locked, Ok(false)) && outcome != Outcome::Loaded {
            link.unlock(runtime, &name, token).await;
        }
        outcome
    }

    async fn refresh_by(
        self: &Arc<Self>,
        key: &Arc<K>,
        text: Option<Arc<str>>,
        call: Call,
        aim: Aim,
    ) -> Outcome {
        let Some(loader) = &self.loader else {
            return Outcome::Failed;
        };
        let Some(mut seat) = Seat::refresh(self, key, text, call, aim) else {
            return Outcome::Passed;
        };
        let (loader, key) = (Arc::clone(loader), Arc::clone(key));
        let load = move || async move { loader.load((*key).clone()).await };
        let led = seat.lead(&mut Some(load)).await;
        if let Led::Answered(answer) = &led
            && let Err(error) = &**answer
        {
            self.warn_of_refresh(error);
        }
        match led {
            Led::Failed => Outcome::Failed,
            // Deposed, it knows nothing of what becomes of the flight.
            Led::Alone(_) | Led::Follow => Outcome::Passed,
            Led::Answered(_) | Led::GaveUp => seat.outcome().unwrap_or(Outcome::Passed),
        }
    }
}
