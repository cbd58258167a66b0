//! What the tests of this driver are played on: a clock that stands, and a store that breaks.

use alloc::collections::BTreeMap;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::cell::{Cell, RefCell};
use core::future::{Future, poll_fn};
use core::task::Poll;
use core::time::Duration;

use crate::machine::error::{BoxError, Fault};
use crate::machine::time::Timestamp;
use crate::ports::codec::Codec;
use crate::unsync::clock::Moment;
use crate::unsync::store::Store;
use crate::unsync::timer::Timer;

pub(super) const SECOND: Duration = Duration::from_secs(1);

/// Time and chance, and a store that keeps time by it.
#[derive(Default)]
pub(super) struct World {
    now: Cell<u64>,
    rolls: Cell<u64>,
    kept: RefCell<BTreeMap<String, (Vec<u8>, Timestamp)>>,
    /// Nothing arrives.
    pub(super) cut: Cell<bool>,
    /// What is sent arrives, and the answer does not.
    pub(super) mute: Cell<bool>,
    pub(super) asked: RefCell<Vec<&'static str>>,
}

impl World {
    pub(super) fn pass(&self, span: Duration) {
        let nanos = u64::try_from(span.as_nanos()).unwrap();
        self.now.set(self.now.get() + nanos);
    }

    pub(super) fn now(&self) -> Timestamp {
        Timestamp::from_nanos(self.now.get())
    }

    pub(super) fn moment(&self) -> Moment {
        self.rolls.set(self.rolls.get() + 1);
        let bits = self.rolls.get().wrapping_mul(0x9E37_79B9_7F4A_7C15);
        Moment::new(self.now(), u128::from(bits) << 64 | u128::from(bits))
    }

    /// Nobody is woken: whoever waits is to be polled again.
    pub(super) fn nap(&self, span: Duration) -> impl Future<Output = ()> {
        let end = self.now() + span;
        poll_fn(move |_| match self.now() < end {
            true => Poll::Pending,
            false => Poll::Ready(()),
        })
    }

    /// Flips a bit of the last byte of everything.
    pub(super) fn damage(&self) {
        for (bytes, _) in self.kept.borrow_mut().values_mut() {
            *bytes.last_mut().unwrap() ^= 1;
        }
    }

    pub(super) fn holds(&self, key: &str) -> bool {
        self.kept.borrow().contains_key(key)
    }

    fn ask(&self, verb: &'static str) -> Result<(), Fault> {
        self.asked.borrow_mut().push(verb);
        if self.cut.get() {
            return Err(Fault::Timeout);
        }
        Ok(())
    }

    fn answer<T>(&self, answer: T) -> Result<T, Fault> {
        match self.mute.get() {
            true => Err(Fault::Timeout),
            false => Ok(answer),
        }
    }
}

impl Timer for &World {
    fn moment(&self) -> Moment {
        World::moment(self)
    }

    fn sleep(&self, span: Duration) -> impl Future<Output = ()> {
        self.nap(span)
    }
}

impl Store for &World {
    fn read(&mut self, key: &str, out: &mut Vec<u8>) -> Result<Option<Duration>, Fault> {
        self.ask("read")?;
        let kept = self.kept.borrow();
        let found = kept.get(key).filter(|(_, end)| self.now() < *end);
        self.answer(found.map(|(bytes, end)| {
            out.extend_from_slice(bytes);
            end.since(self.now())
        }))
    }

    fn write(&mut self, key: &str, bytes: &[u8], keep: Duration) -> Result<(), Fault> {
        self.ask("write")?;
        let kept = (bytes.to_vec(), self.now() + keep);
        self.kept.borrow_mut().insert(key.to_string(), kept);
        self.answer(())
    }

    fn remove(&mut self, key: &str) -> Result<(), Fault> {
        self.ask("remove")?;
        self.kept.borrow_mut().remove(key);
        self.answer(())
    }
}

/// A number by its text; 13 cannot be encoded.
#[derive(Debug)]
pub(super) struct Digits;

impl Codec<u32> for Digits {
    fn id(&self) -> u8 {
        200
    }

    fn encode(&self, value: &u32, out: &mut Vec<u8>) -> Result<(), BoxError> {
        if *value == 13 {
            return Err("thirteen".into());
        }
        out.extend_from_slice(value.to_string().as_bytes());
        Ok(())
    }

    fn decode(&self, bytes: &[u8]) -> Result<u32, BoxError> {
        Ok(core::str::from_utf8(bytes)?.parse()?)
    }
}
