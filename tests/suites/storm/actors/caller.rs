//! A caller: it makes one call, and gives the judge what came of it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;
use std::time::Duration;

use jetcache_core::{Batch, Cache, Call, Error, Reach};

use crate::actors::loading::Database;
use crate::actors::writing::Writing;
use crate::fate::judge::{FLIGHT, Judge};
use crate::fate::ledger::{Floor, Key};
use crate::fate::promise::Promise;
use crate::fate::tags::{TAGS, keys_with, tags_of};
use crate::world::time::World;

pub(crate) type Node = Cache<Key, u64>;

#[derive(Clone, Copy, Debug)]
pub(crate) enum What {
    GetOrLoad,
    Load,
    Get,
    Peek,
    GetManyOrLoad,
    LoadMany,
    GetMany,
    Invalidate,
    SweepLocal,
    InsertIf,
    Insert,
    InsertMany,
    InvalidateMany,
    WriteThrough,
    InvalidateTag,
    Clear,
}

/// Somebody who makes one call of a node.
pub(crate) struct Caller {
    pub(crate) world: World,
    pub(crate) judge: Judge,
    pub(crate) node: Node,
    pub(crate) number: usize,
    /// How many keys there are.
    pub(crate) keys: Key,
    /// How many of them are asked for at once (`batch_chunk`).
    pub(crate) chunk: usize,
    /// `write_timeout` is set, so a writer that hangs harms nobody.
    pub(crate) writers_may_hang: bool,
    /// L1 may change in the middle of a call.
    pub(crate) gaps: bool,
    /// L2 keeps a log of raises, and values have tags.
    pub(crate) log: bool,
}

impl Caller {
    pub(crate) async fn act(self, what: What) {
        let begun = self.world.time();
        let (Self { judge, node, .. }, key) = (&self, self.key());
        let floor = judge.floor((self.number, key));
        let most = match what {
            What::GetOrLoad => {
                let load = || self.database().load(key);
                let answer = node.get_or_load(&key, load).await;
                judge.answer(key, floor, &answer);
                self.flights(1)
            }
            What::Load => {
                judge.answer(key, floor, &node.load(&key).await);
                self.flights(1)
            }
            What::Get => {
                judge.read(key, floor, node.get(&key).await);
                REMOTE_TIMEOUT
            }
            What::Peek => {
                judge.peek(key, floor, node.peek(&key));
                Duration::ZERO
            }
            What::GetManyOrLoad => self.get_many_or_load().await,
            What::LoadMany => self.load_many().await,
            What::GetMany => self.get_many().await,
            What::Invalidate => {
                let called = judge.begin_change((self.number, key));
                let reach = node.invalidate(&key).await;
                judge.end_change((self.number, key), called, reach);
                REMOTE_TIMEOUT
            }
            What::SweepLocal => self.sweep_local(key),
            What::InsertIf => self.insert_if(key).await,
            What::Insert => self.insert(key).await,
            What::InsertMany => self.insert_many().await,
            What::InvalidateMany => self.invalidate_many().await,
            What::WriteThrough => self.write_through(key).await,
            What::InvalidateTag => {
                let tag = TAGS[self.world.below(TAGS.len() as u64) as usize];
                self.raise(Some(tag)).await
            }
            What::Clear => self.raise(None).await,
        };
        for key in 0..self.keys {
            let floor = judge.floor((self.number, key));
            judge.peek(key, floor, node.peek(&key));
        }
        let took = self.world.time().since(begun);
        let (mut most, me) = (most, self.world.current());
        if self.log {
            // Before L2 is believed, it may be asked what was raised.
            most *= 3;
        }
        if judge.was_silent(me) {
            most = Duration::MAX;
        }
        judge.rule(took <= most, Promise::P3, || {
            format!("{what:?} took {took:?}, more than {most:?}")
        });
    }

    // ---- reading ----

    async fn get_many_or_load(&self) -> Duration {
        let request = self.request();
        let floors = self.floors(&request);
        let (database, mut calls) = (self.database(), 0);
        let wanted: BTreeSet<Key> = request.iter().copied().collect();
        let load = |keys: Vec<Key>| {
            calls += 1;
            let asked = keys.iter().all(|key| wanted.contains(key));
            self.judge.rule(asked, Promise::P1, || {
                format!("{keys:?} are loaded, and {request:?} were asked for")
            });
            database.load_many(keys)
        };
        // The caller may vanish at any await, and the loader with it.
        let call = Call::new();
        let batch = if self.world.percent(80) {
            self.node.get_many_or_load(&request, load).await
        } else {
            let call = call.skip_local();
            self.node.get_many_or_load_with(&request, &call, load).await
        };
        if calls > self.parts(&request) {
            self.judge.called_again();
        }
        self.answers(&request, &floors, &batch);
        self.flights(self.parts(&request))
    }

    async fn load_many(&self) -> Duration {
        let request = self.request();
        let floors = self.floors(&request);
        let batch = self.node.load_many(&request).await;
        self.answers(&request, &floors, &batch);
        // Without a batch loader they are loaded one by one.
        self.flights(request.len() + 1)
    }

    fn answers(
        &self,
        request: &[Key],
        floors: &BTreeMap<Key, Floor>,
        batch: &Batch<&Key, Result<Option<u64>, Error>>,
    ) {
        self.judge_order(request, batch.iter().map(|(key, answer)| (**key, answer)));
        for (key, answer) in batch {
            self.judge.answer(**key, floors[*key], answer);
        }
    }

    async fn get_many(&self) -> Duration {
        let request = self.request();
        let floors = self.floors(&request);
        let batch = self.node.get_many(&request).await;
        self.judge_order(&request, batch.iter().map(|(key, read)| (**key, read)));
        for (key, read) in batch {
            self.judge.read(*key, floors[key], read);
        }
        REMOTE_TIMEOUT * u32::try_from(self.parts(&request)).unwrap()
    }

    // ---- changing ----

    fn sweep_local(&self, key: Key) -> Duration {
        let Self { judge, node, .. } = self;
        judge.begin_change((self.number, key));
        if self.world.percent(50) {
            node.clear_local();
        } else {
            node.invalidate_local(&key);
        }
        for key in 0..self.keys {
            judge.swept((self.number, key));
        }
        judge.forgo_change((self.number, key));
        Duration::ZERO
    }

    async fn insert_if(&self, key: Key) -> Duration {
        let (Self { judge, node, .. }, at) = (self, (self.number, key));
        let called = judge.begin_change(at);
        let value = judge.written(key);
        let applied = if self.world.percent(50) {
            node.insert_if_absent_with(key, value, &self.call(tags_of(key)))
                .await
        } else {
            node.insert_if_present_with(key, value, &self.call(tags_of(key)))
                .await
        };
        judge.returned(value);
        match applied {
            Ok(true) => {
                judge.end_change(at, called, Reach::Everywhere);
            }
            // `Undecided`: the claim was granted and the fill refused, so it may have changed
            // nothing.
            Ok(false) | Err(Error::Undecided) => judge.forgo_change(at),
            Err(error) => judge.change_failed(at, value, &error),
        }
        REMOTE_TIMEOUT * 2
    }

    async fn insert(&self, key: Key) -> Duration {
        let (Self { judge, node, .. }, at) = (self, (self.number, key));
        let called = judge.begin_change(at);
        let value = judge.written(key);
        let mut call = self.call(tags_of(key));
        if self.world.percent(20) {
            call = call.skip_local();
        }
        let inserted = node.insert_with(key, value, &call).await;
        judge.returned(value);
        match inserted {
            Ok(reach) => {
                judge.end_change(at, called, reach);
            }
            Err(error) => judge.change_failed(at, value, &error),
        }
        REMOTE_TIMEOUT * 2
    }

    async fn insert_many(&self) -> Duration {
        let (request, judge) = (self.request(), &self.judge);
        // Of several values for one key the last one counts.
        let last = |at: usize| !request[at + 1..].contains(&request[at]);
        let value = |at: usize| match last(at) {
            true => judge.written(request[at]),
            false => judge.unwanted(request[at]),
        };
        let called = self.begin_changes(&request);
        let values: Vec<u64> = (0..request.len()).map(value).collect();
        let entries = request.iter().copied().zip(values.iter().copied());
        // More tags than each has: it dies more often.
        let batch = self.node.insert_many_with(entries, &self.call(&TAGS)).await;
        values.iter().for_each(|value| judge.returned(*value));
        self.judge_order(&request, batch.iter().map(|(key, reach)| (*key, reach)));
        for (at, (key, reach)) in batch.into_iter().enumerate() {
            match reach {
                Ok(reach) if last(at) => {
                    judge.end_change((self.number, key), called[&key], reach);
                }
                Err(error) if last(at) => {
                    judge.change_failed((self.number, key), values[at], &error);
                }
                Ok(_) | Err(_) => {}
            }
        }
        REMOTE_TIMEOUT * 2 * u32::try_from(self.parts(&request)).unwrap()
    }

    async fn invalidate_many(&self) -> Duration {
        let request = self.request();
        let called = self.begin_changes(&request);
        let batch = self.node.invalidate_many(&request).await;
        self.judge_order(&request, batch.iter().map(|(key, reach)| (**key, reach)));
        let reached: BTreeMap<Key, Reach> = batch
            .into_iter()
            .map(|(key, reach)| (*key, reach))
            .collect();
        for (key, reach) in reached {
            self.judge
                .end_change((self.number, key), called[&key], reach);
        }
        REMOTE_TIMEOUT * u32::try_from(self.parts(&request)).unwrap()
    }

    async fn write_through(&self, key: Key) -> Duration {
        let (database, at, writing) = (self.database(), (self.number, key), Writing::default());
        self.judge.begin_change(at);
        let mut call = Call::new();
        if self.world.percent(20) {
            call = call.skip_local();
        }
        let writer = || {
            writing
                .clone()
                .write(self.database(), at, self.writers_may_hang)
        };
        let answer = self.node.write_through_with(&key, &call, writer).await;
        writing.is_judged(&database, at, &answer);
        REMOTE_TIMEOUT * 3 + LONGEST_WRITER
    }

    /// Raises a tag, or clears.
    async fn raise(&self, tag: Option<&str>) -> Duration {
        let (Self { judge, node, .. }, keys) = (self, keys_with(tag));
        let called = self.world.tick();
        for key in &keys {
            judge.begin_change((self.number, *key));
        }
        let reach = match tag {
            Some(tag) => node.invalidate_tag(tag).await,
            None => node.clear().await,
        };
        judge.raise_returned();
        for key in keys {
            match &reach {
                Ok(reach) => judge.end_raise((self.number, key), called, *reach),
                Err(error) => judge.rule(false, Promise::P3, || error.to_string()),
            }
        }
        REMOTE_TIMEOUT
    }

    /// A call that gives its value these tags.
    fn call(&self, tags: &[&str]) -> Call {
        match self.log {
            true => Call::new().tags(tags),
            false => Call::new(),
        }
    }

    fn begin_changes(&self, request: &[Key]) -> BTreeMap<Key, u64> {
        let keys: BTreeSet<Key> = request.iter().copied().collect();
        let begin = |key| (key, self.judge.begin_change((self.number, key)));
        keys.into_iter().map(begin).collect()
    }

    // ---- what is asked ----

    fn database(&self) -> Database {
        Database {
            world: self.world.clone(),
            judge: self.judge.clone(),
            node: self.number,
            chunk: self.chunk,
            tags: self.log,
        }
    }

    fn key(&self) -> Key {
        Key::try_from(self.world.below(self.keys.into())).unwrap()
    }

    /// The keys of a batch, some of them perhaps twice.
    fn request(&self) -> Vec<Key> {
        let most = u64::from(self.keys) * 3 / 2;
        let count = match self.world.percent(3) {
            true => 0,
            false => 1 + self.world.below(most),
        };
        (0..count).map(|_| self.key()).collect()
    }

    fn floors(&self, request: &[Key]) -> BTreeMap<Key, Floor> {
        let floor = |key: &Key| (*key, self.judge.floor((self.number, *key)));
        request.iter().map(floor).collect()
    }

    /// How many chunks a batch is split into.
    fn parts(&self, request: &[Key]) -> usize {
        let keys: BTreeSet<&Key> = request.iter().collect();
        keys.len().div_ceil(self.chunk)
    }

    /// The longest that so many flights may last, one after the other, if everybody who vanishes or
    /// falls silent leads each of them for a while.
    fn flights(&self, count: usize) -> Duration {
        let tally = self.judge.tally();
        let leaders = 1 + tally.cancelled + tally.silent;
        FLIGHT * u32::try_from(leaders * count as u64).unwrap()
    }

    /// The outcomes come in the order of the request, and a key that is there twice gets the same
    /// one twice (unless L1 may change in between).
    fn judge_order<'a, R: Debug + 'a>(
        &self,
        request: &[Key],
        outcomes: impl Iterator<Item = (Key, &'a R)>,
    ) {
        let mut known: BTreeMap<Key, String> = BTreeMap::new();
        let mut order = Vec::with_capacity(request.len());
        for (key, outcome) in outcomes {
            order.push(key);
            let text = format!("{outcome:?}");
            let first = known.entry(key).or_insert_with(|| text.clone());
            self.judge
                .rule(self.gaps || *first == text, Promise::P6, || {
                    format!("{key} is there twice, with {first} and {text}")
                });
        }
        self.judge.rule(order == request, Promise::P6, || {
            format!("{request:?} were asked for, and {order:?} answered")
        });
    }
}

/// What every node of a storm waits for L2.
pub(crate) const REMOTE_TIMEOUT: Duration = Duration::from_millis(50);
/// A writer pauses twice, for up to a second.
const LONGEST_WRITER: Duration = Duration::from_secs(2);
