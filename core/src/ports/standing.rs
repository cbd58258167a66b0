//! What a loader is shown of the value that stands there.

use core::fmt;
use core::sync::atomic::{AtomicBool, Ordering};
use core::time::Duration;

use crate::machine::counted::Arc;
use crate::machine::lookup::step::Stands;
#[cfg(feature = "std")]
use crate::machine::tier::load::Load;
use crate::machine::tier::mark::Mark;

/// The value that stands in a tier while its key is loaded anew: one whose life is over, within its
/// [`stale_for`](crate::Builder::stale_for), or one that is still fresh, if the load is a
/// [refresh](crate::Call::refresh) or an [eager](crate::Builder::eager) one. So without a stale window,
/// and without either of these, no loader is shown anything; nor is it what L2 does not have any more,
/// unless there is a bus: it may have been removed by a change of which this node has not heard.
///
/// If the source says that nothing has changed since, the loader answers
/// [`Load::unchanged`](crate::Load::unchanged): then the value's life begins anew, in both tiers, and it
/// is neither fetched nor sent to L2 again. In [`Wire::JetcacheGo`](crate::Wire::JetcacheGo) it is sent,
/// and so it is if its TTL or its window is to be another than it was, if it gets another mark, or if L1
/// alone has it.
pub struct Standing<V>(Arc<Shows<V>>);

struct Shows<V> {
    stands: Stands<Arc<V>>,
    /// Whether the loader is none that is shown anything.
    hidden: AtomicBool,
}

impl<V> Standing<V> {
    #[cfg(feature = "std")]
    pub(crate) fn new(stands: Stands<Arc<V>>) -> Self {
        Self(Arc::new(Shows {
            stands,
            hidden: AtomicBool::new(false),
        }))
    }

    /// The loader is not shown it, and cannot know that it is unchanged.
    pub(crate) fn hide(this: Option<Self>) {
        if let Some(this) = this {
            this.0.hidden.store(true, Ordering::Relaxed);
        }
    }

    /// What the loader brought: if it was shown this value and said `unchanged`, this value.
    #[cfg(feature = "std")]
    pub(crate) fn put_back(&self, load: Load<Arc<V>>) -> Load<Arc<V>> {
        match self.0.hidden.load(Ordering::Relaxed) {
            true => load,
            false => self.0.stands.put_back(load),
        }
    }

    /// The value.
    #[must_use]
    pub fn value(&self) -> &V {
        &self.0.stands.value
    }

    /// How long ago its life began: when it was loaded, or said to be unchanged. `None` if nobody knows:
    /// L1 alone has the value, and it has no mark.
    #[must_use]
    pub fn age(&self) -> Option<Duration> {
        self.0.stands.age
    }

    /// What the loader that brought it has [kept](crate::Load::mark) with it.
    #[must_use]
    pub fn mark(&self) -> Option<&[u8]> {
        self.0.stands.mark.as_ref().map(Mark::bytes)
    }

    /// The same as text, if it is UTF-8: an etag.
    #[must_use]
    pub fn mark_text(&self) -> Option<&str> {
        self.mark().and_then(|mark| core::str::from_utf8(mark).ok())
    }
}

impl<V> Clone for Standing<V> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<V> fmt::Debug for Standing<V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Standing")
            .field("age", &self.age())
            .field("mark", &self.0.stands.mark)
            .finish_non_exhaustive()
    }
}
