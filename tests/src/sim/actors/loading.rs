//! A caller's loader: it begins at one event, ends at a later one, and brings what it saw at the
//! first.

use std::sync::Arc;
use std::time::Duration;

use jetcache_core::machine::error::{Error, Limit};
use jetcache_core::machine::lookup::step::{Renewal, Reply, Stands};
use jetcache_core::machine::shard::{Context, Ticket};
use jetcache_core::machine::tier::load::Load;
use jetcache_core::machine::tier::mark::Mark;
use jetcache_core::machine::token::Roll;
use jetcache_core::ports::remote::Wire;

use crate::sim::actors::caller::{Caller, Loading, State};
use crate::sim::fate::judge::{ActorId, Id};
use crate::sim::fate::plan::{Brings, Wish};
use crate::sim::fate::promise::Promise;
use crate::sim::generations::judging::Floors;
use crate::sim::world::net::Sender;
use crate::sim::world::server::bucket;
use crate::sim::world::time::{World, whole_millis};
use crate::sim::world::verb::{Receipt, Verb};

impl World {
    /// The stale window of what a call brings, in milliseconds.
    pub(crate) fn window(&self, wish: Wish) -> u64 {
        let usual = whole_millis(self.plan.policy.stale_for);
        match (wish.stale_for, self.plan.fleet.wire) {
            (None, _) => usual,
            // The bytes do not say it, so who copies the value gives it the usual one.
            (Some(window), Wire::JetcacheGo) => window.max(usual),
            (Some(window), _) => window,
        }
    }

    pub(crate) fn begin_load(&mut self, id: ActorId, caller: &Caller, flight: usize) -> State {
        let loader = caller.loader;
        let its = self.judge.flights[flight];
        let policy = &self.plan.policy;
        let (wait, timeout) = (policy.lease_wait, whole_millis(policy.load_timeout));
        let blocked = (self.nodes[caller.node].generations).is_blocked(bucket(caller.key));
        let doubt = self.nodes[caller.node].shard.activity().unconfirmed > 0
            || policy.unconfirmed == 1
            || blocked;
        let waited = its.refused_since.map(|since| self.now - since);
        // A refresh loads with a lease or not at all.
        let excuse = !policy.kind.has_remote()
            || caller.aim.is_none()
                && (caller.wish.skip_remote
                    || caller.wish.no_store
                    || its.faulted
                    || its.failing
                    || doubt
                    || waited.is_some_and(|waited| waited >= whole_millis(wait)));
        self.judge.load_begins(id, flight, excuse, self.now);
        // Who does not look into L1, or may not have what is there, loads all the same; so does a
        // flight that a change has superseded.
        let looks = policy.kind.has_local()
            && caller.aim.is_none()
            && !caller.wish.skip_local
            && caller.wish.stale_for.is_none();
        if looks && self.judge.is_current(flight) {
            let loads = !self.is_throttled(caller.node, caller.key, &its);
            self.judge.rule(loads, Promise::P1, || {
                format!("actor {id} loads, and L1 has a stale value so that nobody does")
            });
        }
        let absent = loader.brings == Brings::Absent;
        let brings = self.judge.fact(caller.key, absent, self.index);
        self.judge.at(brings).loaded = self.now;
        self.judge.at(brings).tags = loader.tags;
        let stands = self.stands(caller, brings);
        let until = self.now + loader.takes.min(timeout);
        self.note(|| format!("    its loader sees {brings:?}"));
        let loading = Loading {
            until,
            brings,
            stands,
            renewal: None,
        };
        self.turn_at(id, self.next_turn(caller, &loading));
        State::Loading(loading)
    }

    /// What the loader is shown, and what becomes of the value that it brings.
    fn stands(&mut self, caller: &Caller, brings: Id) -> Option<Stands<Id>> {
        let (ticket, _) = caller.seat();
        let stands = self.machine(caller.node, |shard, context, _| {
            shard.standing(ticket, context)
        });
        if let Some(Stands { value, mark, .. }) = &stands {
            self.note(|| format!("    its loader is shown {value:?}"));
            let mark = mark.as_ref().map(Mark::bytes);
            self.judge.shown(caller.key, *value, mark, self.now);
        }
        let says = caller.loader.brings;
        let renews =
            (stands.as_ref()).filter(|_| says == Brings::Unchanged || says == Brings::Remarked);
        let kept = renews.map(|stands| (stands.value, *self.judge.at(stands.value)));
        let kept = kept.map(|(value, fact)| (value, fact.mark, fact.tags));
        let own = self.own_mark(brings).filter(|_| says != Brings::Absent);
        let fact = self.judge.at(brings);
        fact.renews = kept.map(|(value, ..)| value);
        fact.mark = match kept {
            Some((_, mark, _)) if says == Brings::Unchanged => mark,
            Some((_, mark, _)) => own.or(mark),
            None => own,
        };
        if let Some((.., tags)) = kept
            && fact.tags.is_empty()
        {
            fact.tags = tags;
        }
        stands
    }

    /// Every other value has a mark: its own number. jetcache-go's bytes have no place for one.
    pub(crate) fn own_mark(&self, id: Id) -> Option<Id> {
        let marks = id.0.is_multiple_of(2) && self.plan.fleet.wire == Wire::Native;
        marks.then_some(id)
    }

    /// When something is to be done beside a loader, at the latest when it ends.
    fn next_turn(&self, caller: &Caller, loading: &Loading) -> u64 {
        let (node, (ticket, _)) = (caller.node, caller.seat());
        let renewal = self.renewal(node, ticket);
        let due = renewal.map_or(u64::MAX, |renewal| self.when(node, renewal.at));
        loading.until.min(due).max(self.now + 1)
    }

    fn renewal(&self, node: usize, ticket: &Ticket) -> Option<Renewal> {
        let context = Context {
            now: self.timestamp(node),
            roll: Roll::Bits(0),
            policy: &self.plan.policy,
            generations: &self.nodes[node].generations,
        };
        self.nodes[node].shard.renewal(ticket, &context)
    }

    /// The loader goes on, and its lease is renewed meanwhile.
    pub(crate) fn load_on(
        &mut self,
        id: ActorId,
        mut caller: Caller,
        mut loading: Loading,
    ) -> Caller {
        let Caller { node, key, .. } = caller;
        if let Some(command) = loading.renewal {
            let Some(reply) = self.awaited(command) else {
                caller.state = State::Loading(loading);
                return caller;
            };
            loading.renewal = None;
            let Verb::Renew { token, .. } = self.verb(command) else {
                unreachable!("that is what was sent")
            };
            let renewed = reply.map(|reply| matches!(reply, Receipt::Renewed(true)));
            self.note(|| format!("actor {id} hears of {token}: {renewed:?}"));
            let (ticket, flight) = caller.seat();
            self.judge.flights[flight].faulted |= renewed.is_err();
            self.machine(node, |shard, context, effects| {
                shard.renewed(ticket, token, renewed, context, effects);
            });
        }
        if self.now >= loading.until {
            return self.loaded(id, caller, loading.brings, loading.stands);
        }
        let renewal = self.renewal(node, caller.seat().0);
        if let Some(Renewal { token, at, life }) = renewal
            && self.when(node, at) <= self.now
        {
            let (ticket, _) = caller.seat();
            self.machine(node, |shard, _, _| shard.renews(ticket, token));
            let verb = Verb::Renew { token, life };
            loading.renewal = Some(self.send(node, key, verb, Sender::Actor(id)));
        } else {
            self.turn_at(id, self.next_turn(&caller, &loading));
        }
        caller.state = State::Loading(loading);
        caller
    }

    fn loaded(
        &mut self,
        id: ActorId,
        mut caller: Caller,
        brings: Id,
        stands: Option<Stands<Id>>,
    ) -> Caller {
        self.judge.load_ends(id);
        let loader = caller.loader;
        let policy = &self.plan.policy;
        let in_time = loader.takes <= whole_millis(policy.load_timeout);
        let usual = match loader.brings {
            Brings::Absent => whole_millis(policy.negative_ttl),
            _ => caller.wish.ttl.unwrap_or(whole_millis(policy.ttl)),
        };
        let life = loader.ttl.unwrap_or(usual);
        // What is kept nowhere does not end.
        let kept = loader.brings != Brings::Uncached && !caller.wish.no_store && life > 0;
        let window = match loader.brings {
            Brings::Absent => 0,
            _ => self.window(caller.wish),
        };
        let ends = if kept { self.now + life } else { u64::MAX };
        let fact = self.judge.at(brings);
        (fact.ends, fact.window) = (ends, window);
        let fact = *fact;
        let loaded = match loader.brings {
            _ if !in_time => Err(Error::Timeout(Limit::Load(policy.load_timeout))),
            Brings::Error => Err(Error::Load(Arc::new(std::fmt::Error))),
            Brings::Panic => Err(Error::Panicked("as the plan says".into())),
            Brings::Absent => Ok(Load::from(None)),
            Brings::Uncached => Ok(Load::from(brings).uncached()),
            Brings::Unchanged | Brings::Remarked if fact.renews.is_some() => {
                let value = brings;
                let put_back = |stands| Stands { value, ..stands }.put_back(Load::unchanged());
                Ok(stands.map_or(Load::from(None), put_back))
            }
            _ => Ok(Load::from(brings)),
        };
        let loaded = loaded.map(|load| match fact.mark {
            Some(mark) if mark == brings => load.mark(mark.0.to_be_bytes()),
            _ => load,
        });
        let loaded = loaded.map(|load| match loader.ttl {
            Some(ttl) => load.ttl(Duration::from_millis(ttl)),
            None => load,
        });
        let tags = loader.tags;
        let loaded = loaded.map(|load| match tags.is_empty() {
            true => load,
            false => load.tags(tags.texts()),
        });
        caller.raised = Floors::default();
        caller.last = loaded.is_ok().then_some(brings);
        caller.failed = loaded.is_err();
        self.step(id, caller, Reply::Loaded(loaded))
    }
}
