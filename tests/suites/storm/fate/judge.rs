//! The judge: checks every answer, key by key, however it was asked for.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use jetcache_core::{Cached, Error, Event, Observer, Reach, Timestamp, Token};

use crate::fate::circuits::{Circuits, Probing};
use crate::fate::ledger::{Applied, Floor, Key, Ledger, Place};
use crate::fate::promise::Promise;
use crate::fate::tags::MOST_KEYS;
use crate::fate::tally::Tally;
use crate::world::bus::Bus;
use crate::world::codec::{is_refused, panics};
use crate::world::time::{Id, World};

/// How a value came to be.
#[derive(Clone, Copy, Debug)]
enum Born {
    /// It was loaded, and the load began then.
    Loaded(u64),
    /// It was inserted.
    Inserted(Inserted),
    /// It was written to the database then, by a write-through.
    Row(u64),
    /// Nobody must ever see it.
    Never,
}

/// What is known of an inserted value.
#[derive(Clone, Copy, Debug)]
struct Inserted {
    /// When the call began.
    called: u64,
    /// When L2 took the claim, if it did.
    claimed: Option<u64>,
    /// When L2 put the value in the place of another.
    put: Option<u64>,
    /// When the call returned, if somebody waited for that.
    returned: Option<u64>,
}

impl Inserted {
    /// Calls that were under way when the value took its place may count it as older or as newer
    /// than themselves.
    fn latest(self) -> u64 {
        let put = self.put.map(|put| put.min(self.returned.unwrap_or(put)));
        put.max(self.claimed).unwrap_or(self.called)
    }

    /// A raise counts as older than an insert that was under way.
    fn is_behind(self, floor: Floor) -> bool {
        let over = self.returned.is_some_and(|returned| returned < floor.raise);
        self.latest() >= floor.change && (!over || self.latest() >= floor.raise)
    }
}

#[derive(Clone)]
pub(crate) struct Judge {
    world: World,
    circuits: Circuits,
    book: Arc<Mutex<Book>>,
}

#[derive(Default)]
struct Book {
    tally: Tally,
    values: Vec<(Key, Born)>,
    /// Keys that a loader or writer said do not exist, and since when that is right.
    absent: Vec<(Key, u64)>,
    /// For each failure, the keys that the loader was asked for.
    failures: Vec<BTreeSet<Key>>,
    /// No later read at that place may see anything older.
    floors: BTreeMap<Place, Floor>,
    /// Loads under way: since when, where, and in which task.
    loads: BTreeMap<(u64, Place), Id>,
    /// Tasks that were not polled for a while.
    silent: BTreeSet<Id>,
    /// Changes that are under way, and when the last one ended.
    changes: BTreeMap<Place, (usize, Timestamp)>,
    /// Values that L2 refused, and whose senders know it.
    refused: BTreeSet<u64>,
    ledger: Ledger,
    broken: Option<String>,
}

/// Sees what a life's news of raises overtakes, whichever way it came.
pub(crate) struct Sweeps {
    judge: Judge,
    life: usize,
}

impl Observer for Sweeps {
    fn on(&self, _: &str, event: &Event) {
        if let Event::Superseded = event {
            for key in 0..MOST_KEYS {
                self.judge.swept((self.life, key));
            }
        }
    }
}

/// Loads under way. They are over when this is dropped, so also when their caller vanishes.
pub(crate) struct Loading {
    judge: Judge,
    pub(crate) began: u64,
    places: Vec<Place>,
}

impl Judge {
    pub(crate) fn new(world: &World) -> Self {
        Self {
            world: world.clone(),
            circuits: Circuits::new(world),
            book: Arc::default(),
        }
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap()
    }

    /// Notes the first broken promise. It does not panic, since the cache would catch that.
    pub(crate) fn rule(&self, holds: bool, promise: Promise, text: impl FnOnce() -> String) {
        self.book().rule(holds, promise, text);
    }

    pub(crate) fn broken(&self) -> Option<String> {
        self.book().broken.clone()
    }

    pub(crate) fn tally(&self) -> Tally {
        self.book().tally
    }

    // ---- who is there ----

    pub(crate) fn cancelled(&self) {
        self.book().tally.cancelled += 1;
    }

    /// A node dies without a word.
    pub(crate) fn died(&self, life: usize) {
        let mut book = self.book();
        book.tally.died += 1;
        book.ledger.die(life);
    }

    pub(crate) fn fell_silent(&self, caller: Id) {
        let mut book = self.book();
        book.tally.silent += 1;
        book.silent.insert(caller);
    }

    pub(crate) fn was_silent(&self, caller: Id) -> bool {
        self.book().silent.contains(&caller)
    }

    /// The observer of a life over a log of raises.
    pub(crate) fn sweeps(&self, life: usize) -> Sweeps {
        let judge = self.clone();
        Sweeps { judge, life }
    }

    // ---- breakers ----

    pub(crate) fn circuits(&self) -> &Circuits {
        &self.circuits
    }

    /// A life sends L2 something. What is returned is kept until that is answered or given up.
    pub(crate) fn sends(&self, life: usize, reads_one: bool) -> Option<Probing> {
        self.circuits.sends(life, reads_one).unwrap_or_else(|why| {
            self.rule(false, Promise::P3, || why);
            None
        })
    }

    /// A life dials the bus that is on its L2's server.
    pub(crate) fn dials(&self, life: usize) {
        let open = self.circuits.is_open(life);
        self.rule(!open, Promise::P3, || {
            format!("{life} dials its bus though the server's breaker is open")
        });
    }

    // ---- values ----

    /// A value that is about to be inserted.
    pub(crate) fn written(&self, key: Key) -> u64 {
        let tick = self.world.tick();
        let mut book = self.book();
        while panics(book.values.len() as u64) {
            book.bear(key, Born::Never);
        }
        book.bear(
            key,
            Born::Inserted(Inserted {
                called: tick,
                claimed: None,
                put: None,
                returned: None,
            }),
        )
    }

    /// L2 put an inserted value in the place of another.
    pub(crate) fn put(&self, value: u64, tick: u64) {
        if let Some(inserted) = self.book().inserted(value) {
            inserted.put = Some(tick);
        }
    }

    /// The call that inserted this value has returned.
    pub(crate) fn returned(&self, value: u64) {
        let tick = self.world.tick();
        if let Some(inserted) = self.book().inserted(value) {
            inserted.returned = Some(tick);
        }
    }

    /// A value is sent to L2 under this token.
    pub(crate) fn sent(&self, value: u64, token: Token) {
        let mut book = self.book();
        let claimed = book.ledger.claimed(token);
        if let Some(inserted) = book.inserted(value) {
            inserted.claimed = claimed;
        }
    }

    /// A row is written now.
    pub(crate) fn row(&self, at: Place, exists: bool) -> (u64, Option<u64>) {
        let tick = self.world.tick();
        let mut book = self.book();
        book.ledger.write(at, tick);
        if !exists {
            book.absent.push((at.1, tick));
            return (tick, None);
        }
        (tick, Some(book.bear(at.1, Born::Row(tick))))
    }

    pub(crate) fn wrote_through(&self) {
        self.book().tally.written += 1;
    }

    /// A value that nobody must ever see.
    pub(crate) fn unwanted(&self, key: Key) -> u64 {
        self.book().bear(key, Born::Never)
    }

    pub(crate) fn loaded(&self, key: Key, began: u64) -> u64 {
        self.book().bear(key, Born::Loaded(began))
    }

    pub(crate) fn does_not_exist(&self, key: Key, began: u64) {
        self.book().absent.push((key, began));
    }

    /// A loader fails for these keys: the text of its error.
    pub(crate) fn failure(&self, keys: impl IntoIterator<Item = Key>) -> String {
        let mut book = self.book();
        book.failures.push(keys.into_iter().collect());
        format!("failure {}", book.failures.len() - 1)
    }

    // ---- P1 ----

    /// A loader is called for these keys.
    pub(crate) fn load_begins(&self, node: usize, keys: &[Key]) -> Loading {
        let (began, now, task) = (self.world.tick(), self.world.time(), self.world.current());
        let mut book = self.book();
        let places: Vec<Place> = keys.iter().map(|key| (node, *key)).collect();
        for &at in &places {
            let (active, last) = book.changes.get(&at).copied().unwrap_or_default();
            // A load that a change has overtaken may run on beside the next one, as long as a
            // flight lasts.
            let quiet = active == 0 && (last == Timestamp::default() || now > last + FLIGHT);
            let live = |(&(_, place), task)| place == at && !book.silent.contains(task);
            let alone = !book.loads.iter().any(live);
            book.rule(!quiet || alone, Promise::P1, || {
                format!("two loads at once at {at:?}")
            });
            book.loads.insert((began, at), task);
            book.tally.loads += 1;
        }
        book.tally.batched += u64::from(keys.len() > 1);
        drop(book);
        Loading {
            judge: self.clone(),
            began,
            places,
        }
    }

    pub(crate) fn called_again(&self) {
        self.book().tally.again += 1;
    }

    // ---- L2 and the bus ----

    /// L2 took a claim.
    pub(crate) fn claimed(&self, token: Token, tick: u64) {
        self.book().ledger.claim(token, tick);
    }

    pub(crate) fn applied(&self, applied: Applied) {
        self.book().ledger.apply(applied);
    }

    /// L2 took a raise by this life.
    pub(crate) fn raised(&self, life: usize, number: u64, keys: &[Key], tick: u64, told: bool) {
        self.book().ledger.raise(life, number, keys, tick, told);
    }

    /// When L2 gave out this number of its log.
    pub(crate) fn numbered(&self, number: u64) -> u64 {
        self.book().ledger.numbered(number)
    }

    pub(crate) fn raise_returned(&self) {
        self.book().tally.raised += 1;
    }

    /// As of when a value is right.
    pub(crate) fn age(&self, value: u64) -> u64 {
        self.book().age(value)
    }

    /// A node is handed the news that these keys were changed. Returns the floors that hold once it
    /// has taken that in: it can get nothing any more that was gone from L2 by now.
    pub(crate) fn hands_out(&self, life: usize, keys: &[Key]) -> Vec<(Key, Floor)> {
        for key in keys {
            self.swept((life, *key));
        }
        let book = self.book();
        let known = |key: &Key| (*key, book.ledger.applied(*key));
        keys.iter().map(known).collect()
    }

    /// A node is handed the news of a raise.
    pub(crate) fn hands_out_raise(&self, life: usize, keys: &[Key]) {
        for key in keys {
            self.swept((life, *key));
        }
    }

    /// It has taken the news in.
    pub(crate) fn heard(&self, life: usize, heard: Vec<(Key, Floor)>) {
        for (key, floor) in heard {
            self.swept((life, key));
            self.book().raise((life, key), floor);
        }
    }

    /// At rest: judges what an L1 has.
    pub(crate) fn rests_in_l1(&self, bus: Bus, at: Place, read: Cached<u64>) {
        let floor = self.book().ledger.floor_of_l1(bus, at);
        self.peek(at.1, floor.max(self.floor(at)), read);
    }

    /// At rest: judges what L2 has.
    pub(crate) fn rests_in_l2(&self, key: Key, read: Cached<u64>) {
        let floor = self.book().ledger.floor_of_l2(key);
        self.read(key, floor, read);
    }

    /// At rest: judges what a node believes that knows nothing but L2. A failover may have lost what no
    /// caller was told of.
    pub(crate) fn is_believed(&self, key: Key, loses: bool, read: Cached<u64>) {
        let floor = {
            let book = self.book();
            let known = book.ledger.floor_of_l2(key);
            match loses {
                true => known,
                false => known.max(book.ledger.raised(key)),
            }
        };
        self.read(key, floor, read);
    }

    // ---- P2 and P6 ----

    pub(crate) fn floor(&self, at: Place) -> Floor {
        self.book().floors.get(&at).copied().unwrap_or_default()
    }

    pub(crate) fn begin_change(&self, at: Place) -> u64 {
        let called = self.world.tick();
        self.book().changes.entry(at).or_default().0 += 1;
        called
    }

    /// A change returns. Nobody who reads later may see what is older than `floor`.
    pub(crate) fn end_change(&self, at: Place, floor: u64, reach: Reach) {
        self.end(at, Floor::of_change(floor), reach);
    }

    /// A raise returns.
    pub(crate) fn end_raise(&self, at: Place, floor: u64, reach: Reach) {
        self.end(at, Floor::of_raise(floor), reach);
    }

    fn end(&self, at: Place, floor: Floor, reach: Reach) {
        self.forgo_change(at);
        let mut book = self.book();
        book.raise(at, floor);
        book.ledger.return_from(at, floor);
        book.tally.pending += u64::from(reach == Reach::Pending);
    }

    /// A change ends with an error.
    pub(crate) fn change_failed(&self, at: Place, value: u64, error: &Error) {
        self.forgo_change(at);
        let odd = matches!(error, Error::Encode(_)) && is_refused(value);
        self.rule(odd, Promise::P3, || {
            format!("the insert of {value} at {at:?}: {error}")
        });
    }

    /// A change ends that may have changed nothing, and so promises nothing.
    pub(crate) fn forgo_change(&self, at: Place) {
        let now = self.world.time();
        let mut book = self.book();
        let change = book.changes.entry(at).or_default();
        *change = (change.0 - 1, now);
    }

    /// Something may have swept a key from L1 just now.
    pub(crate) fn swept(&self, at: Place) {
        let now = self.world.time();
        self.book().changes.entry(at).or_default().1 = now;
    }

    pub(crate) fn answer(&self, key: Key, floor: Floor, answer: &Result<Option<u64>, Error>) {
        match answer {
            Ok(Some(value)) => self.read(key, floor, Cached::Hit(*value)),
            Ok(None) => self.read(key, floor, Cached::Absent),
            Err(Error::Load(error)) => {
                let text = error.to_string();
                let mut book = self.book();
                book.tally.answers += 1;
                let number = text.strip_prefix("failure ").map(str::parse::<usize>);
                let keys = number.and_then(|number| book.failures.get(number.ok()?));
                let its = keys.is_some_and(|keys| keys.contains(&key));
                book.rule(its, Promise::P6, || format!("{text} is not one of {key}"));
            }
            Err(Error::Panicked(_) | Error::Timeout(_)) => self.book().tally.answers += 1,
            Err(error) => self.rule(false, Promise::P3, || error.to_string()),
        }
    }

    /// The sender of a value hears that L2 refused it.
    pub(crate) fn refused(&self, value: u64) {
        self.book().refused.insert(value);
    }

    /// A look at L1 only.
    pub(crate) fn peek(&self, key: Key, floor: Floor, read: Cached<u64>) {
        if let Cached::Hit(value) | Cached::Stale(value) = read {
            let kept = !self.book().refused.contains(&value);
            self.rule(kept, Promise::P2, || {
                format!("{value} of {key} was refused and is in L1")
            });
        }
        self.read(key, floor, read);
    }

    pub(crate) fn read(&self, key: Key, floor: Floor, read: Cached<u64>) {
        let mut book = self.book();
        book.tally.answers += 1;
        match read {
            Cached::Miss => {}
            Cached::Absent => {
                let oldest = floor.change.max(floor.raise);
                let said = |(of, began): &(Key, u64)| *of == key && *began >= oldest;
                let said = book.absent.iter().any(said);
                book.rule(said, Promise::P6, || {
                    format!("nobody said behind {floor:?} that {key} does not exist")
                });
            }
            Cached::Hit(value) | Cached::Stale(value) => {
                let (of, born) = book.values[usize::try_from(value).unwrap()];
                book.rule(of == key, Promise::P6, || {
                    format!("{key} has the value of {of}")
                });
                let promise = match born {
                    Born::Never => Promise::P6,
                    _ => Promise::P2,
                };
                let behind = match born {
                    Born::Inserted(inserted) => inserted.is_behind(floor),
                    _ => book.age(value) >= floor.change.max(floor.raise),
                };
                let fresh = promise == Promise::P2 && behind;
                book.rule(fresh, promise, || {
                    format!("{born:?} of {key} seen behind {floor:?}")
                });
            }
        }
    }
}

impl Book {
    fn rule(&mut self, holds: bool, promise: Promise, text: impl FnOnce() -> String) {
        if !holds && self.broken.is_none() {
            self.broken = Some(format!("{promise:?} is broken: {}", text()));
        }
    }

    fn raise(&mut self, at: Place, to: Floor) {
        let floor = self.floors.entry(at).or_default();
        *floor = (*floor).max(to);
    }

    /// As of when a value is right.
    fn age(&self, value: u64) -> u64 {
        let value = self.values.get(usize::try_from(value).unwrap());
        match value.map(|(_, born)| *born) {
            Some(Born::Loaded(tick) | Born::Row(tick)) => tick,
            Some(Born::Inserted(inserted)) => inserted.claimed.unwrap_or(inserted.called),
            Some(Born::Never) | None => 0,
        }
    }

    fn inserted(&mut self, value: u64) -> Option<&mut Inserted> {
        match self.values.get_mut(usize::try_from(value).unwrap()) {
            Some((_, Born::Inserted(inserted))) => Some(inserted),
            _ => None,
        }
    }

    fn bear(&mut self, key: Key, born: Born) -> u64 {
        self.values.push((key, born));
        self.values.len() as u64 - 1
    }
}

impl Drop for Loading {
    fn drop(&mut self) {
        let mut book = self.judge.book();
        for &at in &self.places {
            book.loads.remove(&(self.began, at));
        }
    }
}

/// Longer than any flight lasts: an L2 operation each, the wait for a lease, the load.
pub(crate) const FLIGHT: Duration = Duration::from_secs(2);
