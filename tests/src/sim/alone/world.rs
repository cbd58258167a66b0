//! Virtual time, chance, and a store that fails.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::future::{Future, poll_fn};
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use fastrand::Rng;
use jetcache_core::unsync::{Moment, Store, Timer};
use jetcache_core::{BoxError, Codec, Fault, Timestamp};

use crate::sim::world::time::whole_millis;

/// What a cache of one thread lives in. Times are in milliseconds.
pub(crate) struct World {
    pub(crate) now: Cell<u64>,
    /// When somebody is to be polled again.
    pub(crate) alarms: RefCell<BTreeSet<u64>>,
    rng: RefCell<Rng>,
    kept: RefCell<BTreeMap<String, (Vec<u8>, u64)>>,
    /// How many of a hundred commands go wrong.
    pub(crate) bad: Cell<u8>,
}

/// One hand on it: the cache's timer, and its store.
#[derive(Clone)]
pub(crate) struct Hand(pub(crate) Rc<World>);

/// What is cached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Value {
    /// Of the row.
    pub(crate) version: u64,
    /// When its loading began; `None` if it was inserted.
    pub(crate) began: Option<u64>,
    pub(crate) born: u64,
    pub(crate) ttl: u64,
    pub(crate) window: u64,
    pub(crate) encodable: bool,
}

impl World {
    pub(crate) fn new(seed: u64) -> Self {
        let mut rng = Rng::with_seed(seed.rotate_left(24) ^ 0xa10e);
        let bad = [0, 0, 10, 40][rng.usize(..4)];
        Self {
            now: Cell::new(0),
            alarms: RefCell::default(),
            rng: RefCell::new(rng),
            kept: RefCell::default(),
            bad: Cell::new(bad),
        }
    }

    pub(crate) async fn nap(&self, span: u64) {
        let end = self.now.get().saturating_add(span);
        poll_fn(|_| {
            if self.now.get() >= end {
                return Poll::Ready(());
            }
            self.alarms.borrow_mut().insert(end);
            Poll::Pending
        })
        .await;
    }

    /// Sends a command, which takes its time. Whether it arrives, and whether its answer does.
    fn send(&self) -> (bool, bool) {
        let mut rng = self.rng.borrow_mut();
        let goes_wrong = rng.u8(..100) < self.bad.get();
        let (arrives, answered) = match rng.u8(..2) {
            0 if goes_wrong => (false, false),
            _ => (true, !goes_wrong),
        };
        let took = if answered { rng.u64(..3) } else { 20 };
        self.now.set(self.now.get() + took);
        (arrives, answered)
    }
}

fn answer<T>(answered: bool, answer: T) -> Result<T, Fault> {
    answered.then_some(answer).ok_or(Fault::Timeout)
}

impl Timer for Hand {
    fn moment(&self) -> Moment {
        let now = Timestamp::from_nanos(self.0.now.get() * 1_000_000);
        Moment::new(now, self.0.rng.borrow_mut().u128(..))
    }

    fn sleep(&self, span: Duration) -> impl Future<Output = ()> {
        let span = u64::try_from(span.as_nanos().div_ceil(1_000_000)).unwrap_or(u64::MAX);
        self.0.nap(span)
    }
}

impl Store for Hand {
    fn read(&mut self, key: &str, out: &mut Vec<u8>) -> Result<Option<Duration>, Fault> {
        let (_, answered) = self.0.send();
        let (now, bad) = (self.0.now.get(), self.0.bad.get());
        let mut rng = self.0.rng.borrow_mut();
        if rng.u8(..100) < bad / 4 {
            // It has forgotten it.
            self.0.kept.borrow_mut().remove(key);
        }
        let kept = self.0.kept.borrow();
        let found = kept.get(key).filter(|(_, end)| now < *end);
        answer(
            answered,
            found.map(|(bytes, end)| {
                out.extend_from_slice(bytes);
                if rng.u8(..100) < bad {
                    let at = rng.usize(..out.len());
                    out[at] ^= 1 << rng.u8(..8);
                }
                Duration::from_millis(end - now)
            }),
        )
    }

    fn write(&mut self, key: &str, bytes: &[u8], keep: Duration) -> Result<(), Fault> {
        let sent = self.0.now.get();
        let (arrives, answered) = self.0.send();
        if arrives {
            let kept = (bytes.to_vec(), sent + whole_millis(keep));
            self.0.kept.borrow_mut().insert(key.to_owned(), kept);
        }
        answer(answered, ())
    }

    fn remove(&mut self, key: &str) -> Result<(), Fault> {
        let (arrives, answered) = self.0.send();
        if arrives {
            self.0.kept.borrow_mut().remove(key);
        }
        answer(answered, ())
    }
}

/// Values as numbers of eight bytes.
#[derive(Debug)]
pub(crate) struct Numbers;

impl Codec<Value> for Numbers {
    fn id(&self) -> u8 {
        200
    }

    fn encode(&self, value: &Value, out: &mut Vec<u8>) -> Result<(), BoxError> {
        if !value.encodable {
            return Err("it is one of those that cannot be encoded".into());
        }
        let began = value.began.map_or(0, |began| began + 1);
        for number in [value.version, began, value.born, value.ttl, value.window] {
            out.extend_from_slice(&number.to_be_bytes());
        }
        Ok(())
    }

    fn decode(&self, bytes: &[u8]) -> Result<Value, BoxError> {
        let (numbers, rest) = bytes.as_chunks::<8>();
        let [version, began, born, ttl, window] = numbers else {
            return Err("not five numbers".into());
        };
        if !rest.is_empty() {
            return Err("something is left over".into());
        }
        let number = |bytes: &[u8; 8]| u64::from_be_bytes(*bytes);
        Ok(Value {
            version: number(version),
            began: number(began).checked_sub(1),
            born: number(born),
            ttl: number(ttl),
            window: number(window),
            encodable: true,
        })
    }
}
