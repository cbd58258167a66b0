//! Where a key stands: what every call that goes further than L1 works with.

use std::sync::Arc;

/// A key, the shard of the machine's tables that it belongs to, and its text in L2.
#[derive(Clone, Debug)]
pub(crate) struct Address<K> {
    pub(crate) key: Arc<K>,
    pub(crate) shard: usize,
    /// `None` if and only if the cache has no L2: a key without a text is refused at the door.
    pub(crate) text: Option<Arc<str>>,
}
