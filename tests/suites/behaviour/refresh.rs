//! Keys that are kept fresh.

pub(crate) mod faults;
pub(crate) mod lock;
pub(crate) mod turns;

use std::collections::HashSet;
use std::future::pending;
use std::io;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use jetcache_adapters::Raw;
use jetcache_core::{Builder, Cached, Call, LoadError, Wire};

use crate::behaviour::stage::face::Faced;
use crate::behaviour::stage::{Host, Node, Stage, Value, expected_panic, value};

const FRESH: Call = Call::new().refresh();

fn is(text: &str) -> Cached<Value> {
    Cached::Hit(value(text))
}

/// A database whose values say their key and the version that they were loaded at.
#[derive(Clone)]
struct Database(Arc<Rows>);

struct Rows {
    host: Host,
    version: AtomicUsize,
    loads: AtomicUsize,
    loading: AtomicUsize,
    most: AtomicUsize,
    fails: AtomicBool,
    panics: AtomicBool,
    /// While this is set, no load ends.
    stalls: AtomicBool,
    hung: Mutex<HashSet<String>>,
}

impl Database {
    fn new(stage: &Stage) -> Self {
        Self(Arc::new(Rows {
            host: stage.host(),
            version: AtomicUsize::new(0),
            loads: AtomicUsize::new(0),
            loading: AtomicUsize::new(0),
            most: AtomicUsize::new(0),
            fails: AtomicBool::new(false),
            panics: AtomicBool::new(false),
            stalls: AtomicBool::new(false),
            hung: Mutex::default(),
        }))
    }

    async fn load(self, key: String) -> Result<Value, LoadError> {
        let rows = &*self.0;
        rows.loads.fetch_add(1, Ordering::SeqCst);
        let version = rows.version.load(Ordering::SeqCst);
        let loading = rows.loading.fetch_add(1, Ordering::SeqCst) + 1;
        rows.most.fetch_max(loading, Ordering::SeqCst);
        while rows.stalls.load(Ordering::SeqCst) {
            rows.host.sleep(Duration::from_millis(2)).await;
        }
        rows.host.sleep(Duration::from_millis(1)).await;
        rows.loading.fetch_sub(1, Ordering::SeqCst);
        if rows.panics.load(Ordering::SeqCst) {
            expected_panic("as the case says");
        }
        let hangs = rows
            .hung
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .contains(&key);
        if hangs {
            pending::<()>().await;
        }
        if rows.fails.load(Ordering::SeqCst) {
            return Err(io::Error::other("the database is away").into());
        }
        Ok(value(&format!("{key} {version}")))
    }

    fn write(&self, version: usize) {
        self.0.version.store(version, Ordering::SeqCst);
    }

    fn loads(&self) -> usize {
        self.0.loads.load(Ordering::SeqCst)
    }

    fn stall(&self, stalls: bool) {
        self.0.stalls.store(stalls, Ordering::SeqCst);
    }

    fn loading(&self) -> usize {
        self.0.loading.load(Ordering::SeqCst)
    }

    /// A node that loads from here, and refreshes every 40 ms for as long as the test may take.
    fn under(&self, builder: Builder<String, Value>) -> Builder<String, Value> {
        let database = self.clone();
        builder
            .loader(move |key: String| database.clone().load(key))
            .refresh_every(EVERY)
            .stop_refresh_after(AGES)
    }

    fn node(&self, stage: &Stage) -> Node {
        self.under(stage.builder()).build().unwrap().faced()
    }
}

impl Database {
    fn node_builder(&self, stage: &Stage) -> Builder<String, Value> {
        self.under(stage.builder())
    }

    /// A node in the format of jetcache-go that refreshes so often.
    fn go(&self, stage: &Stage, every: Duration) -> Node {
        let builder = self.under(stage.builder_with(Raw)).refresh_every(every);
        builder.wire(Wire::JetcacheGo).build().unwrap().faced()
    }
}

const EVERY: Duration = Duration::from_millis(40);

const AGES: Duration = Duration::from_secs(60);
