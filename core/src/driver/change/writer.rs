//! How a write-through and its caller talk: the change is a task of its own, which ends whatever
//! becomes of the caller; the caller keeps the writer, which may borrow.

use std::sync::Arc;

use futures_channel::oneshot::{Receiver, Sender, channel};

use crate::machine::tier::load::Load;

/// What a caller wrote; `None` if it failed or vanished: then nobody knows.
type Written<V> = Option<Load<Arc<V>>>;

/// The caller, as the change sees it.
pub(crate) struct Writer<V> {
    go: Sender<()>,
    wrote: Receiver<Written<V>>,
}

/// The caller as the change sees it; what asks it to write; where it says what it wrote.
pub(crate) fn writer<V>() -> (Writer<V>, Receiver<()>, Sender<Written<V>>) {
    let ((go, gone), (written, wrote)) = (channel(), channel());
    (Writer { go, wrote }, gone, written)
}

impl<V> Writer<V> {
    /// Lets the caller write, and waits for that.
    pub(crate) async fn written(self) -> Written<V> {
        // A caller that is gone answers `None` below.
        let _ = self.go.send(());
        self.wrote.await.ok().flatten()
    }
}
