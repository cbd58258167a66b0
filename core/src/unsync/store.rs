//! L2 as whoever has one writes it.

use alloc::vec::Vec;
use core::cell::RefCell;
use core::time::Duration;

use crate::machine::error::Fault;

/// Bytes by key, kept for a while: a flash, a card, the far end of a line.
///
/// A call blocks until it is done, or until nobody believes in it any more: then it is a [`Fault`], which
/// is counted and survived. Three things are asked of a store:
///
/// - it is this cache's alone, and carries out what it is sent in that order, also what it has said to have
///   failed: what is written late must not stand where a later removal has been done;
/// - it measures the time that entries have left by a clock of its own. One that cannot, as a flash without
///   a clock after a reset, forgets what it had;
/// - what it brings may be damaged: the checksum shows it, and it is a miss. It must not be another key's: a
///   line checks its frames.
pub trait Store {
    /// Appends what stands under `key` to `out`, and says how much is left of the time that it was to be
    /// kept.
    ///
    /// # Errors
    /// [`Fault`], of which [`Fault::Timeout`] is the usual one.
    fn read(&mut self, key: &str, out: &mut Vec<u8>) -> Result<Option<Duration>, Fault>;

    /// Puts `bytes` in the place of what stands under `key`, to be forgotten after `keep`. It may forget
    /// them before that.
    ///
    /// # Errors
    /// [`Fault`]: nobody knows whether they stand there.
    fn write(&mut self, key: &str, bytes: &[u8], keep: Duration) -> Result<(), Fault>;

    /// Removes what stands under `key`.
    ///
    /// # Errors
    /// [`Fault`]: it is removed again later.
    fn remove(&mut self, key: &str) -> Result<(), Fault>;
}

impl<S: Store + ?Sized> Store for &mut S {
    fn read(&mut self, key: &str, out: &mut Vec<u8>) -> Result<Option<Duration>, Fault> {
        (**self).read(key, out)
    }

    fn write(&mut self, key: &str, bytes: &[u8], keep: Duration) -> Result<(), Fault> {
        (**self).write(key, bytes, keep)
    }

    fn remove(&mut self, key: &str) -> Result<(), Fault> {
        (**self).remove(key)
    }
}

/// For a program that speaks to its store itself, too.
impl<S: Store> Store for &RefCell<S> {
    fn read(&mut self, key: &str, out: &mut Vec<u8>) -> Result<Option<Duration>, Fault> {
        self.borrow_mut().read(key, out)
    }

    fn write(&mut self, key: &str, bytes: &[u8], keep: Duration) -> Result<(), Fault> {
        self.borrow_mut().write(key, bytes, keep)
    }

    fn remove(&mut self, key: &str) -> Result<(), Fault> {
        self.borrow_mut().remove(key)
    }
}
