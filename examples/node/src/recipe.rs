//! What a loader does, as a line spells it.

use std::panic::resume_unwind;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use jetcache_tokio::{Load, LoadError, Runtime};

use crate::object::Object;

/// A loader: it sleeps, and then brings something or does not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Recipe {
    pub(crate) brings: Brings,
    pub(crate) delay: Duration,
    /// The tags of what it brings.
    pub(crate) tags: Vec<String>,
}

impl Recipe {
    /// The same, and what it brings has these tags.
    pub(crate) fn tagged(self, tags: Vec<String>) -> Self {
        Self { tags, ..self }
    }
}

impl Recipe {
    /// Runs the loader, whose number grows by one each time that it runs.
    pub(crate) async fn load_numbered(
        &self,
        runtime: &impl Runtime,
        ran: &AtomicUsize,
    ) -> Result<Load<Arc<Object>>, LoadError> {
        let before = ran.fetch_add(1, Ordering::SeqCst);
        let brought = self.bring(runtime).await?;
        let grown = i64::try_from(before).unwrap_or(i64::MAX);
        let grown = brought.map(|object| {
            Arc::new(Object {
                str: object.str.clone(),
                num: object.num.saturating_add(grown),
            })
        });
        Ok(Load::from(grown).tags(&self.tags))
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Brings {
    Object(Arc<Object>),
    /// That the key does not exist.
    Nothing,
    Failure,
    Panic,
}

impl Recipe {
    /// Runs the loader, and counts that it ran.
    pub(crate) async fn load(
        &self,
        runtime: &impl Runtime,
        ran: &AtomicUsize,
    ) -> Result<Load<Arc<Object>>, LoadError> {
        ran.fetch_add(1, Ordering::SeqCst);
        Ok(Load::from(self.bring(runtime).await?).tags(&self.tags))
    }

    /// Runs as a loader of many keys: the same for each, but those that begin with `x` do not
    /// exist.
    pub(crate) async fn load_many(
        &self,
        runtime: &impl Runtime,
        mut keys: Vec<String>,
    ) -> Result<Vec<(String, Load<Arc<Object>>)>, LoadError> {
        let brought = self.bring(runtime).await?;
        keys.retain(|key| !key.starts_with('x'));
        let load = || Load::from(brought.clone()).tags(&self.tags);
        Ok(keys.into_iter().map(|key| (key, load())).collect())
    }

    async fn bring(&self, runtime: &impl Runtime) -> Result<Option<Arc<Object>>, LoadError> {
        if !self.delay.is_zero() {
            runtime.sleep(self.delay).await;
        }
        match &self.brings {
            Brings::Object(object) => Ok(Some(Arc::clone(object))),
            Brings::Nothing => Ok(None),
            Brings::Failure => Err("its line said so".into()),
            // A panic without a report on stderr: nothing is wrong.
            Brings::Panic => resume_unwind(Box::new("its line said so")),
        }
    }
}
