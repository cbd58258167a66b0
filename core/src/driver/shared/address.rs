//! Where a key stands: what every call that goes further than L1 works with.

use std::sync::Arc;

use crate::machine::policy::call::Call;

/// A key, its hash, the shard of the machine's tables that it belongs to, and its text in L2.
#[derive(Clone, Debug)]
pub(crate) struct Address<K> {
    pub(crate) key: Arc<K>,
    pub(crate) hash: u64,
    pub(crate) shard: usize,
    /// `None` without an L2, and for a key that L2 cannot hold: that one is loaded without it.
    pub(crate) text: Option<Arc<str>>,
    /// The bucket of its text, with which it is raised.
    pub(crate) bucket: u16,
}

impl<K> Address<K> {
    /// The call's wishes, and that of a key that L2 cannot hold.
    pub(crate) fn wishes(&self, call: Call) -> Call {
        if self.text.is_none() {
            return call.skip_remote();
        }
        call
    }
}
