//! The loaders: they read the database slowly, or fail, panic and hang.

use std::collections::BTreeSet;
use std::future::{Future, pending};
use std::panic::resume_unwind;
use std::time::Duration;

use jetcache_core::{BoxError, Load, LoadError, Loads, Runtime};

use crate::fate::judge::Judge;
use crate::fate::ledger::Key;
use crate::fate::promise::Promise;
use crate::fate::tags::tags_of;
use crate::world::time::World;

/// Where a node loads from.
#[derive(Clone)]
pub(crate) struct Database {
    pub(crate) world: World,
    pub(crate) judge: Judge,
    pub(crate) node: usize,
    /// How many keys may be asked for at once.
    pub(crate) chunk: usize,
    /// Values have tags.
    pub(crate) tags: bool,
}

impl Database {
    /// Loads one key.
    pub(crate) async fn load(self, key: Key) -> Result<Load<u64>, LoadError> {
        let Self { world, judge, .. } = &self;
        let loading = judge.load_begins(self.node, &[key]);
        self.takes_its_time().await;
        match world.below(20) {
            0 => Err(judge.failure([key]).into()),
            1 => resume_unwind(Box::new("the loader")),
            2 => Err(ODD_ROW.into()),
            3 | 4 => {
                judge.does_not_exist(key, loading.began);
                // An error has no tags.
                if !self.tags && world.percent(30) {
                    return Err(NO_SUCH_ROW.into());
                }
                Ok(self.tagged(key, None))
            }
            _ => Ok(self.tagged(key, judge.loaded(key, loading.began))),
        }
    }

    /// What is loaded, with the tags of its key.
    pub(crate) fn tagged(&self, key: Key, value: impl Into<Load<u64>>) -> Load<u64> {
        let load = value.into();
        match self.tags {
            true => load.tags(tags_of(key)),
            false => load,
        }
    }

    /// Loads many keys.
    pub(crate) fn load_many(
        &self,
        keys: Vec<Key>,
    ) -> impl Future<Output = Result<Loads<Key, u64>, LoadError>> + Send + use<> {
        let own = self.clone();
        let Self { world, judge, .. } = self;
        let distinct: BTreeSet<Key> = keys.iter().copied().collect();
        judge.rule(distinct.len() == keys.len(), Promise::P1, || {
            format!("a loader is asked for {keys:?}")
        });
        judge.rule((1..=self.chunk).contains(&keys.len()), Promise::P5, || {
            format!(
                "a loader is asked for {keys:?}, and {} go together",
                self.chunk
            )
        });
        let loading = judge.load_begins(self.node, &keys);
        if world.percent(3) {
            resume_unwind(Box::new("the loader, when it was called"));
        }
        async move {
            // Moved in as a whole, so that the load counts as running until this future is dropped.
            let loading = loading;
            own.takes_its_time().await;
            own.bring(&keys, loading.began)
        }
    }

    fn bring(&self, keys: &[Key], began: u64) -> Result<Loads<Key, u64>, LoadError> {
        let Self { world, judge, .. } = self;
        match world.below(30) {
            0 | 1 => return Err(judge.failure(keys.iter().copied()).into()),
            2 => resume_unwind(Box::new("the loader")),
            3 => return Err(ODD_ROW.into()),
            4 if !self.tags => {
                for key in keys {
                    judge.does_not_exist(*key, began);
                }
                return Err(NO_SUCH_ROW.into());
            }
            _ => {}
        }
        let mut loads = Loads::new();
        for &key in keys {
            loads = match world.below(13) {
                12 => loads.fail(key, ODD_ROW),
                0 => loads.fail(key, judge.failure([key])),
                1 if !self.tags => {
                    judge.does_not_exist(key, began);
                    loads
                }
                1 | 2 => {
                    judge.does_not_exist(key, began);
                    match world.below(3) {
                        0 if self.tags => loads.value(key, self.tagged(key, None)),
                        0 => loads.fail(key, NO_SUCH_ROW),
                        _ => loads.value(key, self.tagged(key, None)),
                    }
                }
                3 => loads
                    .value(key, judge.unwanted(key))
                    .value(key, self.tagged(key, judge.loaded(key, began))),
                4 => loads.value(key, self.tagged(key, judge.loaded(key, began)).uncached()),
                _ => loads.value(key, self.tagged(key, judge.loaded(key, began))),
            };
        }
        if world.percent(10) {
            // A row that nobody asked for.
            let other = Key::try_from(world.below(8)).unwrap();
            if !keys.contains(&other) {
                loads = loads.value(other, judge.unwanted(other));
            }
        }
        Ok(loads)
    }

    /// Sometimes longer than `load_timeout` allows.
    async fn takes_its_time(&self) {
        let takes = match self.world.below(50) {
            0 => return pending().await,
            1..5 => 2_000,
            5..10 => 1,
            _ => 40,
        };
        let takes = Duration::from_millis(self.world.below(takes));
        self.world.sleep(takes).await;
    }
}

/// The predicate of `not_found_when`: says which errors mean "does not exist", and panics at one.
pub(crate) fn is_absence(error: &BoxError) -> bool {
    let text = error.to_string();
    if text == ODD_ROW {
        resume_unwind(Box::new("the predicate"));
    }
    text == NO_SUCH_ROW
}

const ODD_ROW: &str = "an odd row";
const NO_SUCH_ROW: &str = "no such row";
