//! One refresh: a lookup of its own, led with the registered loader.

use std::sync::Arc;

use crate::driver::flight::lead::lead;
use crate::driver::flight::seat::{Led, Seat};
use crate::driver::link::Link;
use crate::driver::link::text::lock_name;
use crate::driver::shared::Shared;
use crate::driver::shared::address::Address;
use crate::driver::shared::fresh_keys::DueRefresh;
use crate::driver::world::bounds::{CacheKey, CacheValue};
use crate::driver::world::caught::caught_future;
use crate::machine::event::Event;
use crate::machine::policy::call::Call;
use crate::machine::policy::pace::{Aim, RefreshOutcome};
use crate::machine::schedule::Refresh;
use crate::machine::tier::wire::Wire;
use crate::machine::token::Token;

/// A refresh under way. Dropped before its end, with its runtime, it has failed.
pub(crate) struct Run<K: CacheKey, V: CacheValue> {
    shared: Arc<Shared<K, V>>,
    refresh: Option<DueRefresh<K>>,
}

impl<K: CacheKey, V: CacheValue> Run<K, V> {
    pub(crate) fn new(shared: &Arc<Shared<K, V>>, refresh: DueRefresh<K>) -> Self {
        Self {
            shared: Arc::clone(shared),
            refresh: Some(refresh),
        }
    }

    pub(crate) async fn play(mut self) {
        let Some((_, due)) = &self.refresh else {
            return;
        };
        let outcome = caught_future(refresh(&self.shared, due)).await;
        self.report(outcome.unwrap_or(RefreshOutcome::Failed));
    }

    fn report(&mut self, outcome: RefreshOutcome) {
        if let (Some(due), Some(keys)) = (self.refresh.take(), &self.shared.fresh_keys) {
            keys.done(due, outcome, &*self.shared.runtime);
        }
    }
}

impl<K: CacheKey, V: CacheValue> Drop for Run<K, V> {
    fn drop(&mut self) {
        self.report(RefreshOutcome::Failed);
    }
}

async fn refresh<K: CacheKey, V: CacheValue>(
    shared: &Arc<Shared<K, V>>,
    due: &Refresh<Arc<K>>,
) -> RefreshOutcome {
    let Ok(mut address) = shared.address(Arc::clone(due.key())) else {
        return RefreshOutcome::Failed;
    };
    let call = address.wishes(due.call());
    match &shared.link {
        Some(link) if link.format.wire == Wire::JetcacheGo => {
            if call.skip_remote {
                address.text = None;
                return refresh_by(shared, address, call, Aim::Load).await;
            }
            refresh_in_turn(shared, link, address, call).await
        }
        _ => refresh_by(shared, address, call, due.aim()).await,
    }
}

/// In the jetcache-go format the services take turns by a lock, for a period.
async fn refresh_in_turn<K: CacheKey, V: CacheValue>(
    shared: &Arc<Shared<K, V>>,
    link: &Link<K, V>,
    address: Address<K>,
    call: Call,
) -> RefreshOutcome {
    let (Some(keys), Some(text)) = (&shared.fresh_keys, &address.text) else {
        return RefreshOutcome::Passed;
    };
    let (name, token) = (lock_name(text), Token::from_bits(shared.runtime.roll()));
    let locked = link.lock(&name, token, keys.pace.every).await;
    let outcome = match &locked {
        Ok(granted) => refresh_by(shared, address, call, Aim::of_lock(*granted)).await,
        Err(fault) => {
            shared.journal.note(&Event::RemoteFault(fault.clone()));
            RefreshOutcome::Failed
        }
    };
    if outcome.gives_lock_back(&locked) {
        link.unlock(&name, token).await;
    }
    outcome
}

async fn refresh_by<K: CacheKey, V: CacheValue>(
    shared: &Arc<Shared<K, V>>,
    address: Address<K>,
    call: Call,
    aim: Aim,
) -> RefreshOutcome {
    let Some(loader) = shared.loaders.one.clone() else {
        return RefreshOutcome::Failed;
    };
    let key = Arc::clone(&address.key);
    let Some(mut seat) = Seat::refresh(shared, address, call, aim) else {
        return RefreshOutcome::Passed;
    };
    let load = move |standing| async move { loader.load((*key).clone(), standing).await };
    match lead(&mut seat, &mut Some(load)).await {
        Led::Answered(answer) => match &answer.outcome {
            Ok(_) => seat.outcome().unwrap_or(RefreshOutcome::Passed),
            Err(_) => RefreshOutcome::Failed,
        },
        Led::GaveUp => seat.outcome().unwrap_or(RefreshOutcome::Passed),
        // A deposed leader does not hear what becomes of the flight.
        Led::Alone(_) | Led::Follow => RefreshOutcome::Passed,
    }
}
