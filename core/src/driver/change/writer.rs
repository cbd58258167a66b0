//! How a write-through and its caller speak: the change is a task of its own, which is finished
//! whatever becomes of the caller; the caller keeps the writer, which may borrow.

use std::sync::Arc;

use futures_channel::oneshot::{Receiver, Sender, channel};

use crate::machine::tier::entry::Load;

/// What a caller wrote; `None` if he failed or vanished, so that nobody knows.
type Written<V> = Option<Load<Arc<V>>>;

/// The caller, as the change sees him.
pub(crate) struct Writer<V> {
    go: Sender<()>,
    wrote: Receiver<Written<V>>,
}

/// The caller as the change sees him; what tells him to write; where he says what he wrote.
pub(crate) fn writer<V>() -> (Writer<V>, Receiver<()>, Sender<Written<V>>) {
    let ((go, gone), (written, wrote)) = (channel(), channel());
    (Writer { go, wrote }, gone, written)
}

impl<V> Writer<V> {
    /// Lets the caller write, and waits for that.
    pub(crate) async fn written(self) -> Written<V> {
        let _ = self.go.send(());
        self.wrote.await.ok().flatten()
    }
}
