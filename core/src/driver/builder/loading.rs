//! Checks the loaders of a cache and completes them.

use std::sync::Arc;

use crate::driver::shared::loaders::Loaders;
use crate::driver::world::erased::OneOfMany;
use crate::machine::error::Error;

/// The loaders as a cache has them.
///
/// # Errors
/// [`Error::Config`] for a chunk or a concurrency of zero.
pub(super) fn finished<K, V>(mut loaders: Loaders<K, V>) -> Result<Loaders<K, V>, Error>
where
    K: Clone + Eq + Send + Sync + 'static,
    V: Send + Sync + 'static,
{
    for (name, size) in [
        ("batch_chunk", loaders.chunk),
        ("load_concurrency", loaders.concurrency),
    ] {
        if size == 0 {
            return Err(Error::config(format!("{name} is zero: give it at least 1")));
        }
    }
    if loaders.cap.now().is_some_and(|cap| cap.most == 0) {
        return Err(Error::config(
            "max_loads is zero, so nothing could be loaded: give it at least 1, or leave it out",
        ));
    }
    if let (None, Some(many)) = (&loaders.one, &loaders.many) {
        loaders.one = Some(Arc::new(OneOfMany(Arc::clone(many))));
    }
    Ok(loaders)
}
