//! Values of any type in one type of cache, so that it is compiled once and not for forty types.

use std::any::Any;
use std::fmt::Debug;
use std::marker::PhantomData;
use std::sync::Arc;

use jetcache_core::{BoxError, Codec, Compression};

/// A value whose type its codec knows.
#[derive(Clone, Debug)]
pub(super) struct Erased(Arc<dyn Shown>);

pub(super) trait Shown: Any + Debug + Send + Sync {
    fn is(&self, other: &dyn Any) -> bool;
}

impl<T: PartialEq + Debug + Send + Sync + 'static> Shown for T {
    fn is(&self, other: &dyn Any) -> bool {
        other.downcast_ref::<T>().is_some_and(|other| self == other)
    }
}

impl Erased {
    pub(super) fn new(value: impl Shown) -> Self {
        Self(Arc::new(value))
    }
}

impl PartialEq for Erased {
    fn eq(&self, other: &Self) -> bool {
        self.0.is(&*other.0)
    }
}

/// Makes a codec of one type one of any type.
pub(super) struct Of<T, C>(pub(super) C, pub(super) PhantomData<fn() -> T>);

impl<T: Shown, C: Codec<T>> Codec<Erased> for Of<T, C> {
    fn id(&self) -> u8 {
        self.0.id()
    }

    fn encode(&self, value: &Erased, out: &mut Vec<u8>) -> Result<(), BoxError> {
        let value: &dyn Any = &*value.0;
        self.0.encode(value.downcast_ref().unwrap(), out)
    }

    fn decode(&self, bytes: &[u8]) -> Result<Erased, BoxError> {
        self.0.decode(bytes).map(Erased::new)
    }

    fn compression(&self) -> Option<(&dyn Compression, usize)> {
        self.0.compression()
    }
}
