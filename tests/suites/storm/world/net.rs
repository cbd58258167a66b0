//! L2: the in-process table that ships, behind a network that delays and loses whole pipelines, and
//! fails single commands of them.

use std::collections::{BTreeMap, BTreeSet};
use std::panic::resume_unwind;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_channel::oneshot::channel;
use jetcache_adapters::memory::Table;
use jetcache_core::machine::generations::scope::top_key;
use jetcache_core::machine::tier::envelope;
use jetcache_core::ports::bus::{Kind, Message};
use jetcache_core::ports::remote::{
    Claim, Claimed, Ensure, Ensured, Fill, Filled, Found, Herald, Hold, LeaseAsk, Leased, Mark,
    NewsPage, Placed, Put, Raise, Raised, Settle, Stored, Wire,
};
use jetcache_core::{Cached, Codec, Fault, Remote, Runtime};

use crate::fate::judge::Judge;
use crate::fate::ledger::{Applied, Floor};
use crate::fate::promise::Promise;
use crate::world::bus::{Air, Bus, key_of};
use crate::world::codec::Fickle;
use crate::world::failover::Primaries;
use crate::world::raising::Raising;
use crate::world::time::World;
use crate::world::weather::Weather;

#[derive(Clone)]
pub(crate) struct Net {
    world: World,
    judge: Judge,
    table: Arc<Mutex<Table>>,
    weather: Weather,
    healed: Arc<AtomicBool>,
    /// The most keys that one pipeline ever had (removals do not count: repeats are not split).
    widest: Arc<AtomicUsize>,
    air: Option<Air>,
    /// The life of a node that this handle belongs to.
    life: usize,
    primaries: Arc<Primaries>,
    /// How many of them this life has left behind.
    met: Arc<AtomicU64>,
    /// If set, every change is told to the others in its name.
    herald: Option<Herald>,
    /// It keeps a log of raises.
    log: bool,
}

/// What a command did to its key.
#[derive(Clone, Copy, Debug)]
enum Act {
    /// It left it as it was.
    Nothing,
    /// It emptied the key.
    Emptied(Kind),
    /// It stored this value, or none that can be read.
    Stored(Kind, Option<u64>),
    /// It refused this value, and removed what the value was to replace, or something newer is
    /// there.
    Refused { value: Option<u64>, removed: bool },
}

impl Net {
    pub(crate) fn new(world: &World, judge: &Judge, weather: Weather) -> Self {
        Self {
            judge: judge.clone(),
            world: world.clone(),
            table: Arc::default(),
            weather,
            healed: Arc::default(),
            widest: Arc::default(),
            air: None,
            life: 0,
            primaries: Arc::default(),
            met: Arc::default(),
            herald: None,
            log: false,
        }
    }

    /// It keeps a log of raises.
    pub(crate) fn with_log(self) -> Self {
        Self { log: true, ..self }
    }

    /// Lets a bus ride on it.
    pub(crate) fn on(mut self, air: &Air) -> Self {
        self.air = Some(air.clone());
        self
    }

    /// The handle of one life of a node.
    pub(crate) fn of(&self, life: usize) -> Self {
        let net = self.clone();
        let met = Arc::new(self.primaries.count().into());
        Self { life, met, ..net }
    }

    /// The same L2 in other weather.
    pub(crate) fn in_weather(&self, weather: Weather) -> Self {
        let net = self.clone();
        Self { weather, ..net }
    }

    /// The replica takes over, or begins to fall behind.
    pub(crate) fn go_on(&self) {
        self.primaries.go_on(&self.table);
    }

    /// How often a replica took over.
    pub(crate) fn failovers_so_far(&self) -> u64 {
        self.primaries.count()
    }

    pub(crate) fn heal(&self) {
        self.healed.store(true, Ordering::SeqCst);
    }

    /// The weather is back.
    pub(crate) fn ail(&self) {
        self.healed.store(false, Ordering::SeqCst);
    }

    pub(crate) fn leases(&self) -> usize {
        let now = self.clock();
        self.table.lock().unwrap().leases(now)
    }

    /// What L2 has under a key.
    pub(crate) fn stands(&self, key: &str) -> Cached<u64> {
        let found = self
            .table
            .lock()
            .unwrap()
            .read(self.clock(), key, Wire::Native);
        let entry = found
            .as_ref()
            .and_then(|found| envelope::parse(&found.bytes).ok());
        match entry {
            None => Cached::Miss,
            Some(entry) => match entry.value {
                None => Cached::Absent,
                Some((_, payload)) => Fickle.decode(payload).map_or(Cached::Miss, Cached::Hit),
            },
        }
    }

    fn widens(&self, keys: usize) {
        self.widest.fetch_max(keys, Ordering::SeqCst);
    }

    pub(crate) fn widest(&self) -> usize {
        self.widest.load(Ordering::SeqCst)
    }

    /// The server's clock is far from the nodes'.
    fn clock(&self) -> u64 {
        1_700_000_000_000 + self.world.time().as_nanos() / 1_000_000
    }

    /// Sends a pipeline, a command a key. It arrives whether or not its sender still waits, as a
    /// whole or not at all; each of its commands may fail for itself.
    async fn send<T, C>(&self, commands: Vec<(String, C)>) -> Vec<Result<T, Fault>>
    where
        T: Send + 'static,
        C: FnOnce(&mut Table, u64, &str) -> (T, Act) + Send + 'static,
    {
        let _none = self.judge.sends(self.life, false);
        self.carry(commands).await
    }

    async fn carry<T, C>(&self, commands: Vec<(String, C)>) -> Vec<Result<T, Fault>>
    where
        T: Send + 'static,
        C: FnOnce(&mut Table, u64, &str) -> (T, Act) + Send + 'static,
    {
        let well = self.healed.load(Ordering::SeqCst);
        let happens = |of| !well && self.world.percent(of);
        if happens(self.weather.panics) {
            resume_unwind(Box::new("the adapter"));
        }
        let way = || Duration::from_millis(self.world.below(self.weather.latency));
        if happens(self.weather.errors) {
            return commands.iter().map(|_| Err(away())).collect();
        }
        let late = happens(self.weather.late).then(|| self.world.below(10_000));
        let there = way() + Duration::from_millis(late.unwrap_or(0));
        let (lost, unheard) = (happens(self.weather.lost), happens(self.weather.lost));
        // In the order of the keys, since repeated removals come in the order of a randomly seeded
        // hasher.
        let keys: BTreeSet<&String> = commands.iter().map(|(key, _)| key).collect();
        let single = |key: &String| (key.clone(), Single::of(|| happens(self.weather.single)));
        let singles: BTreeMap<String, Single> = keys.into_iter().map(single).collect();
        let (reply, answer) = channel();
        let net = self.clone();
        let primary = self.primaries.count();
        if lost {
            std::mem::forget(reply);
        } else {
            self.world.begin(async move {
                net.world.sleep(there).await;
                if net.primaries.count() != primary {
                    // Its connection broke.
                    let _ = reply.send(commands.iter().map(|_| Err(away())).collect());
                    return;
                }
                net.met.store(primary, Ordering::SeqCst);
                let tick = net.world.tick();
                let now = net.clock();
                let mut acts = Vec::new();
                let mut table = net.table.lock().unwrap();
                let apply = |(key, command): (String, C)| {
                    if let Single::Refused = singles[&key] {
                        return Err(away());
                    }
                    let (outcome, act) = command(&mut table, now, &key);
                    let heard = matches!(singles[&key], Single::Well);
                    acts.push((key, act));
                    heard.then_some(outcome).ok_or_else(away)
                };
                let outcomes: Vec<_> = commands.into_iter().map(apply).collect();
                drop(table);
                net.tell(tick, acts);
                if unheard {
                    std::mem::forget(reply);
                } else {
                    let _ = reply.send(outcomes);
                }
            });
        }
        let outcomes = answer.await.unwrap();
        self.world.sleep(way()).await;
        outcomes
    }
}

impl Net {
    async fn at_log<T: Send + 'static>(
        &self,
        namespace: &str,
        verb: impl FnOnce(&mut Table, u64, &str) -> T + Send + 'static,
    ) -> Result<T, Fault> {
        let own = namespace.to_owned();
        let command = move |table: &mut Table, now, _: &str| (verb(table, now, &own), Act::Nothing);
        self.send(vec![(top_key(namespace), command)])
            .await
            .remove(0)
    }

    fn raising(&self) -> Raising {
        Raising {
            world: self.world.clone(),
            judge: self.judge.clone(),
            air: self.air.clone(),
            life: self.life,
            herald: self.herald.clone(),
        }
    }

    /// Tells the judge and the bus what was done, in the order of the keys.
    fn tell(&self, tick: u64, mut acts: Vec<(String, Act)>) {
        let Some(air) = &self.air else {
            return;
        };
        acts.sort_by(|(one, _), (other, _)| one.cmp(other));
        let mut written = Vec::new();
        let age = |value: Option<u64>| value.map_or(0, |value| self.judge.age(value));
        for (text, act) in acts {
            let (kind, age) = match act {
                Act::Nothing => continue,
                Act::Emptied(kind) => (kind, tick),
                Act::Stored(kind, value) => (kind, age(value)),
                Act::Refused { value, .. } => (Kind::Delete, age(value)),
            };
            let at = (self.life, key_of(&text).unwrap());
            let told = self.herald.is_some();
            let age = Floor::of_change(age);
            self.judge.applied(Applied { at, age, told });
            if !matches!(act, Act::Refused { removed: false, .. }) {
                written.push(text.clone());
            }
            if let Some(Herald { cache, source, .. }) = &self.herald {
                let message = Message {
                    cache: (**cache).to_owned(),
                    source: (**source).to_owned(),
                    kind,
                    keys: vec![text],
                    fenced: kind == Kind::Delete,
                };
                air.say(self.life, message);
            }
        }
        if air.bus() == Bus::Watched && !written.is_empty() {
            air.show(&written);
        }
    }
}

/// What becomes of one command of a pipeline.
enum Single {
    Well,
    /// It is not carried out, and its sender hears that it failed.
    Refused,
    /// It is carried out, and its sender hears that it failed.
    Unheard,
}

impl Single {
    fn of(mut fails: impl FnMut() -> bool) -> Self {
        match (fails(), fails()) {
            (false, false) => Self::Well,
            (true, _) => Self::Refused,
            (false, true) => Self::Unheard,
        }
    }
}

fn value_in(bytes: &[u8]) -> Option<u64> {
    let (_, payload) = envelope::parse(bytes).ok()?.value?;
    Fickle.decode(payload).ok()
}

fn away() -> Fault {
    Fault::Unreachable("the weather".into())
}

impl Remote for Net {
    async fn read(&self, keys: &[&str], wire: Wire) -> Vec<Result<Option<Found>, Fault>> {
        let entries = keys.iter().filter(|key| key_of(key).is_some()).count();
        self.widens(entries);
        let read = |key: &&str| {
            let command =
                move |table: &mut Table, now, key: &str| (table.read(now, key, wire), Act::Nothing);
            ((*key).to_owned(), command)
        };
        let _probing = self.judge.sends(self.life, entries <= 1);
        self.carry(keys.iter().map(read).collect()).await
    }

    async fn lease(&self, asks: &[LeaseAsk<'_>], wire: Wire) -> Vec<Result<Leased, Fault>> {
        self.widens(asks.len());
        let lease = |ask: &LeaseAsk<'_>| {
            let (token, life) = (ask.token, ask.life);
            let command = move |table: &mut Table, now, key: &str| {
                let leased = table.lease(now, &LeaseAsk { key, token, life }, wire);
                (leased, Act::Nothing)
            };
            (ask.key.to_owned(), command)
        };
        self.send(asks.iter().map(lease).collect()).await
    }

    async fn fill(&self, fills: &[Fill<'_>], wire: Wire) -> Vec<Result<Filled, Fault>> {
        self.widens(fills.len());
        let fill = |fill: &Fill<'_>| {
            let (token, value, kind) = (fill.token, fill.value, fill.kind);
            let (life, lease, age) = (value.life, value.lease, value.age);
            let bytes = value.bytes.to_vec();
            let replaces = value.replaces.map(<[u8]>::to_vec);
            let command = move |table: &mut Table, now, key: &str| {
                let value = Stored {
                    replaces: replaces.as_deref(),
                    bytes: &bytes,
                    life,
                    stale: Duration::ZERO,
                    lease,
                    age,
                };
                let fill = Fill {
                    key,
                    token,
                    value,
                    kind,
                };
                let filled = table.fill(now, &fill, wire);
                let act = match filled {
                    Filled::Stored => Act::Stored(kind, value_in(&bytes)),
                    Filled::Refused => Act::Nothing,
                };
                (filled, act)
            };
            if let Some(value) = value_in(value.bytes) {
                self.judge.sent(value, token);
            }
            (fill.key.to_owned(), command)
        };
        self.send(fills.iter().map(fill).collect()).await
    }

    async fn renew(&self, asks: &[LeaseAsk<'_>]) -> Vec<Result<bool, Fault>> {
        let renew = |ask: &LeaseAsk<'_>| {
            let (token, life) = (ask.token, ask.life);
            let command = move |table: &mut Table, now, key: &str| {
                let stands = table.renew(now, &LeaseAsk { key, token, life });
                (stands, Act::Nothing)
            };
            (ask.key.to_owned(), command)
        };
        self.send(asks.iter().map(renew).collect()).await
    }

    async fn release(&self, holds: &[Hold<'_>]) -> Vec<Result<(), Fault>> {
        let release = |hold: &Hold<'_>| {
            let (token, failing) = (hold.token, hold.failing);
            let command = move |table: &mut Table, now, key: &str| {
                let hold = Hold {
                    failing,
                    ..Hold::of(key, token)
                };
                (table.release(now, &hold), Act::Nothing)
            };
            (hold.key.to_owned(), command)
        };
        self.send(holds.iter().map(release).collect()).await
    }

    async fn claim(&self, claims: &[Claim<'_>], wire: Wire) -> Vec<Result<Claimed, Fault>> {
        self.widens(claims.len());
        let claim = |claim: &Claim<'_>| {
            let (token, life, condition) = (claim.token, claim.life, claim.condition);
            let (spares, dead) = (claim.spares, claim.dead);
            let net = self.clone();
            let command =
                move |table: &mut Table, now, key: &str| {
                    let claim = Claim {
                        key,
                        token,
                        life,
                        condition,
                        dead,
                        spares,
                    };
                    let before = table.read(now, key, wire);
                    let claimed = table.claim(now, &claim, wire);
                    if matches!(claimed, Claimed::Refused(_)) {
                        return (claimed, Act::Nothing);
                    }
                    net.judge.claimed(token, net.world.ticks());
                    if !spares {
                        return (claimed, Act::Emptied(Kind::Set));
                    }
                    net.judge.rule(table.read(now, key, wire) == before, Promise::P2, || {
                    format!("an insert of {key} takes the old value away before its own is there")
                });
                    (claimed, Act::Nothing)
                };
            (claim.key.to_owned(), command)
        };
        self.send(claims.iter().map(claim).collect()).await
    }

    async fn put(&self, puts: &[Put<'_>], wire: Wire) -> Vec<Result<Placed, Fault>> {
        self.widens(puts.len());
        let put = |put: &Put<'_>| {
            let (token, value) = (put.token, put.value);
            let (life, lease, age) = (value.life, value.lease, value.age);
            let (condition, dead, spared) = (put.condition, put.dead, put.spared);
            let bytes = value.bytes.to_vec();
            let net = self.clone();
            let command = move |table: &mut Table, now, key: &str| {
                let value = Stored {
                    replaces: None,
                    bytes: &bytes,
                    life,
                    stale: Duration::ZERO,
                    lease,
                    age,
                };
                let put = Put {
                    key,
                    token,
                    value,
                    condition,
                    dead,
                    spared,
                };
                let placed = table.put(now, &put, wire);
                let value = value_in(&bytes);
                if let (Placed::Stored, Some(value)) = (placed, value) {
                    net.judge.put(value, net.world.ticks());
                }
                let act = match placed {
                    Placed::Stored => Act::Stored(Kind::Set, value),
                    _ if condition.is_some() => Act::Nothing,
                    Placed::Overtaken | Placed::Refused => Act::Refused {
                        value,
                        removed: placed == Placed::Refused,
                    },
                };
                (placed, act)
            };
            if let Some(value) = value_in(value.bytes) {
                self.judge.sent(value, token);
            }
            (put.key.to_owned(), command)
        };
        let met = self.failovers();
        let placed = self.send(puts.iter().map(put).collect()).await;
        for (put, placed) in puts.iter().zip(&placed) {
            if self.failovers() != met {
                // Its sender does not believe that.
                break;
            }
            if let (Ok(Placed::Overtaken | Placed::Refused), Some(value)) =
                (placed, value_in(put.value.bytes))
            {
                self.judge.refused(value);
            }
        }
        placed
    }

    async fn settle(&self, settles: &[Settle<'_>], wire: Wire) -> Vec<Result<Filled, Fault>> {
        self.widens(settles.len());
        let settle = |settle: &Settle<'_>| {
            let (token, value) = (settle.token, settle.value);
            let (life, lease, age) = (value.life, value.lease, value.age);
            let bytes = value.bytes.to_vec();
            let command = move |table: &mut Table, now, key: &str| {
                let value = Stored {
                    replaces: None,
                    bytes: &bytes,
                    life,
                    stale: Duration::ZERO,
                    lease,
                    age,
                };
                let settled = table.settle(now, &Settle { key, token, value }, wire);
                let act = match settled {
                    Filled::Stored => Act::Stored(Kind::Set, value_in(&bytes)),
                    Filled::Refused => Act::Emptied(Kind::Delete),
                };
                (settled, act)
            };
            (settle.key.to_owned(), command)
        };
        let met = self.failovers();
        let settled = self.send(settles.iter().map(settle).collect()).await;
        for (settle, settled) in settles.iter().zip(&settled) {
            if self.failovers() != met {
                break;
            }
            if let (Ok(Filled::Refused), Some(value)) = (settled, value_in(settle.value.bytes)) {
                self.judge.refused(value);
            }
        }
        settled
    }

    async fn remove(&self, keys: &[&str]) -> Vec<Result<(), Fault>> {
        let remove = |key: &&str| {
            let command =
                |table: &mut Table, _, key: &str| (table.remove(key), Act::Emptied(Kind::Delete));
            ((*key).to_owned(), command)
        };
        self.send(keys.iter().map(remove).collect()).await
    }

    async fn unload(&self, keys: &[&str]) -> Vec<Result<(), Fault>> {
        let unload = |key: &&str| {
            let command = |table: &mut Table, now, key: &str| {
                table.unload(now, key);
                ((), Act::Nothing)
            };
            ((*key).to_owned(), command)
        };
        self.send(keys.iter().map(unload).collect()).await
    }

    async fn raise(&self, raise: &Raise<'_>) -> Result<Raised, Fault> {
        let (clock, scopes) = (raise.clock, raise.scopes.to_vec());
        let raising = self.raising();
        self.at_log(raise.namespace, move |table, now, namespace| {
            let raise = Raise {
                namespace,
                clock,
                scopes: &scopes,
            };
            raising.raise(table, now, &raise)
        })
        .await
    }

    async fn news(&self, namespace: &str, since: Mark) -> Result<NewsPage, Fault> {
        self.at_log(namespace, move |table, _, namespace| {
            table.news(namespace, since, 2)
        })
        .await
    }

    async fn ensure(&self, ensure: &Ensure<'_>) -> Result<Ensured, Fault> {
        let (clock, marks) = (ensure.clock, ensure.marks.to_vec());
        let raising = self.raising();
        self.at_log(ensure.namespace, move |table, now, namespace| {
            let ensure = Ensure {
                namespace,
                clock,
                marks: &marks,
            };
            raising.ensure(table, now, &ensure)
        })
        .await
    }

    fn keeps_log(&self) -> bool {
        self.log
    }

    fn failovers(&self) -> Option<u64> {
        Some(self.met.load(Ordering::SeqCst))
    }

    fn server(&self) -> Option<u64> {
        self.air.as_ref().map(|air| air.server(self.life))
    }

    fn announcing(&self, herald: Herald) -> Option<Self> {
        let net = self.clone();
        let herald = Some(herald);
        Some(Self { herald, ..net })
    }
}
