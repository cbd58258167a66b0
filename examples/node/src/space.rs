//! One cache of the node, asked on whatever runtime.

use std::collections::HashMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jetcache_tokio::{Cache, Cached, Call, Error, Load, LoadError, Node, Runtime};
use smol::channel::unbounded;
use smol::future::{or, poll_once, yield_now};

use crate::args::Options;
use crate::cache;
use crate::object::Object;
use crate::recipe::Recipe;
use crate::reply::{Loaded, Reply};
use crate::request::{Command, Question};
use crate::statistics::Statistics;

/// A namespace: its cache, and what lines have left behind there.
pub(crate) struct Space<R> {
    cache: Cache<String, Arc<Object>>,
    runtime: Arc<R>,
    registered: Arc<Registered>,
    /// Whether loads go on without their callers.
    spawns: bool,
    held: Mutex<Vec<Held>>,
    /// How many events `events` has told of.
    told: AtomicU64,
}

/// A load that is polled no more.
type Held = Pin<Box<dyn Future<Output = Answer> + Send>>;
type Answer = Result<Cached<Arc<Object>>, Error>;

impl<R: Runtime> Space<R> {
    /// # Errors
    /// What in the options cannot work, or that another cache of the node has such keys.
    pub(crate) fn open(
        runtime: &Arc<R>,
        node: &Node,
        namespace: &str,
        options: &Options,
    ) -> Result<Self, Error> {
        let registered = Arc::new(Registered::default());
        let (recipes, clock) = (Arc::clone(&registered), Arc::clone(runtime));
        let builder = cache::builder(node, namespace, options).loader(move |key: String| {
            let (recipes, clock) = (Arc::clone(&recipes), Arc::clone(&clock));
            async move { recipes.load(&key, &*clock).await }
        });
        Ok(Self {
            cache: builder.build()?,
            runtime: Arc::clone(runtime),
            registered,
            spawns: options.soft_timeout.is_some() || options.eager,
            held: Mutex::default(),
            told: AtomicU64::new(0),
        })
    }

    /// Has begun to listen to the bus, if there is one that answers soon.
    pub(crate) async fn listen(&self) {
        let listening = async {
            self.cache.listen().await;
        };
        or(listening, self.runtime.sleep(SOON)).await;
    }

    pub(crate) async fn answer(&self, question: Question) -> Reply {
        let Question {
            call,
            tags,
            command,
            ..
        } = question;
        match command {
            Command::Get(key) => self.cache.get_with(&key, &call).await.into(),
            Command::Peek(key) => self.cache.peek(&key).into(),
            Command::Load(key, recipe) => {
                let recipe = recipe.tagged(tags);
                Reply::Loaded(self.load(key, call, recipe, self.spawns).await)
            }
            Command::LoadRegistered(key, recipe) => {
                let ran = self.registered.set(&key, recipe.tagged(tags), false);
                let answer = self.cache.load_cached(&key, &call).await;
                Reply::Loaded(Loaded::new(answer, ran.load(Ordering::SeqCst) > 0))
            }
            Command::Refresh(key, recipe) => {
                let ran = self.registered.keep(&key, recipe.tagged(tags));
                let before = ran.load(Ordering::SeqCst);
                let answer = self.cache.load_cached(&key, &call.refresh()).await;
                Reply::Loaded(Loaded::new(answer, ran.load(Ordering::SeqCst) > before))
            }
            Command::WriteThrough(key, recipe) => {
                let (ran, recipe) = (AtomicUsize::new(0), recipe.tagged(tags));
                let writer = async || recipe.load(&*self.runtime, &ran).await;
                let answer = self.cache.write_through_with(&key, &call, writer).await;
                Reply::Loaded(Loaded::new(answer, ran.load(Ordering::SeqCst) > 0))
            }
            Command::Events(count, patience) => self.events(count, patience).await,
            Command::Confirm(key, patience) => {
                self.confirm(self.cache.confirmed(&key), patience).await
            }
            Command::Set(key, object) => {
                let reach = self.cache.insert_with(key, object, &call).await;
                reach.map_or_else(Reply::failed, Reply::from)
            }
            Command::SetIfAbsent(key, object) => {
                judged(self.cache.insert_if_absent_with(key, object, &call).await)
            }
            Command::SetIfPresent(key, object) => {
                judged(self.cache.insert_if_present_with(key, object, &call).await)
            }
            Command::Delete(key) => self.cache.invalidate(&key).await.into(),
            Command::Exists(key) => Reply::Exists {
                exists: self.cache.exists_with(&key, &call).await,
            },
            Command::GetMany(keys) => {
                Reply::many(self.cache.get_many_with(&keys, &call).await, None)
            }
            Command::LoadMany(keys, recipe) => {
                self.load_many(keys, call, &recipe.tagged(tags)).await
            }
            Command::SetMany(keys, object) => {
                let entries = keys.into_iter().map(|key| (key, Arc::clone(&object)));
                Reply::changed(self.cache.insert_many_with(entries, &call).await)
            }
            Command::DeleteMany(keys) => {
                let reached = self.cache.invalidate_many(&keys).await;
                Reply::changed(reached.into_iter().map(|(key, reach)| (key, Ok(reach))))
            }
            Command::Parallel(callers, key, recipe) => {
                let recipe = recipe.tagged(tags);
                self.parallel(callers, &key, call, &recipe).await
            }
            Command::Cancel(key, recipe, after) => {
                self.cancel(key, call, recipe.tagged(tags), after).await
            }
            Command::Hold(key, recipe) => self.hold(key, call, recipe.tagged(tags)).await,
            Command::DeleteTags(tags) => {
                let reach = self.cache.invalidate_tags(&tags).await;
                reach.map_or_else(Reply::failed, Reply::from)
            }
            Command::ClearAll => {
                let reach = self.cache.clear().await;
                reach.map_or_else(Reply::failed, Reply::from)
            }
            Command::ConfirmRaises(patience) => {
                self.confirm(self.cache.raises_confirmed(), patience).await
            }
            Command::DeleteLocal(key) => {
                self.cache.invalidate_local(&key);
                Reply::DONE
            }
            Command::Clear => {
                self.cache.clear_local();
                Reply::DONE
            }
            Command::Ping => match self.cache.ping().await {
                Ok(_) => Reply::DONE,
                Err(fault) => Reply::failed(fault),
            },
            Command::Stats => Reply::Stats(Box::new(Statistics::of(&self.cache))),
            Command::Close => {
                self.close().await;
                Reply::DONE
            }
        }
    }

    /// Drops the loads that are held: those who wait for them go on by themselves.
    pub(crate) fn release(&self) {
        let held = std::mem::take(&mut *lock(&self.held));
        drop(held);
    }

    pub(crate) async fn close(&self) {
        self.release();
        self.cache.close().await;
    }

    async fn load(&self, key: String, call: Call, recipe: Recipe, spawns: bool) -> Loaded {
        let ran = Arc::new(AtomicUsize::new(0));
        let answer = self.loading(key, call, recipe, &ran, spawns).await;
        Loaded::new(answer, ran.load(Ordering::SeqCst) > 0)
    }

    async fn load_many(&self, keys: Vec<String>, call: Call, recipe: &Recipe) -> Reply {
        let asked = Arc::new(Mutex::new(Vec::new()));
        let batch = if self.spawns {
            let (asked, recipe) = (Arc::clone(&asked), recipe.clone());
            let runtime = Arc::clone(&self.runtime);
            let loader = move |keys: Vec<String>| {
                lock(&asked).extend_from_slice(&keys);
                let (recipe, runtime) = (recipe.clone(), Arc::clone(&runtime));
                async move { recipe.load_many(&*runtime, keys).await }
            };
            self.cache.get_many_or_spawn(&keys, &call, loader).await
        } else {
            let loader = |keys: Vec<String>| {
                lock(&asked).extend_from_slice(&keys);
                recipe.load_many(&*self.runtime, keys)
            };
            self.cache.get_many_or_load_with(&keys, &call, loader).await
        };
        let asked = std::mem::take(&mut *lock(&asked));
        Reply::many(batch, Some(asked))
    }

    /// Waits for so many events, for so long.
    async fn events(&self, count: u64, patience: Duration) -> Reply {
        let heard = || self.cache.stats().heard;
        let begun = self.told.load(Ordering::SeqCst);
        let enough = async {
            while heard() - begun < count {
                self.runtime.sleep(TICK).await;
            }
        };
        or(enough, self.runtime.sleep(patience)).await;
        let now = heard();
        Reply::Events {
            events: now - self.told.swap(now, Ordering::SeqCst),
        }
    }

    /// Waits until L2 has confirmed something, for so long.
    async fn confirm(
        &self,
        confirmed: impl Future<Output = Result<(), Error>>,
        patience: Duration,
    ) -> Reply {
        let confirming = async { Some(confirmed.await) };
        let waited = or(confirming, async {
            self.runtime.sleep(patience).await;
            None
        });
        match waited.await {
            Some(Err(error)) => Reply::failed(error),
            outcome => Reply::Confirmed {
                confirmed: outcome.is_some(),
            },
        }
    }

    /// A `get_or_load` that owns all it needs and counts in `ran` that its loader ran; or a
    /// `get_or_spawn`, whose load goes on without its caller.
    fn loading(
        &self,
        key: String,
        call: Call,
        recipe: Recipe,
        ran: &Arc<AtomicUsize>,
        spawns: bool,
    ) -> impl Future<Output = Answer> + Send + use<R> {
        let (cache, runtime) = (self.cache.clone(), Arc::clone(&self.runtime));
        let ran = Arc::clone(ran);
        async move {
            if spawns {
                let loader = move || async move { recipe.load(&*runtime, &ran).await };
                return cache.get_or_spawn(&key, &call, loader).await;
            }
            let loader = async || recipe.load(&*runtime, &ran).await;
            cache.get_or_load_cached(&key, &call, loader).await
        }
    }

    async fn parallel(&self, callers: usize, key: &str, call: Call, recipe: &Recipe) -> Reply {
        let ran = Arc::new(AtomicUsize::new(0));
        let (told, answers) = unbounded();
        for _ in 0..callers {
            let loading = self.loading(
                key.to_owned(),
                call.clone(),
                recipe.clone(),
                &ran,
                self.spawns,
            );
            let told = told.clone();
            let caller = Box::pin(async move {
                // Whoever asked is there until all have answered.
                let _ = told.send(loading.await.is_ok()).await;
            });
            if let Err(in_place) = self.runtime.spawn(caller) {
                in_place.await;
            }
        }
        drop(told);
        let (mut ok, mut errors) = (0, 0);
        while let Ok(answered) = answers.recv().await {
            *if answered { &mut ok } else { &mut errors } += 1;
        }
        Reply::Parallel {
            loads: ran.load(Ordering::SeqCst),
            ok,
            errors,
        }
    }

    async fn cancel(&self, key: String, call: Call, recipe: Recipe, after: Duration) -> Reply {
        let load = self.load(key, call, recipe, false);
        let outcome = or(async { Some(load.await) }, async {
            self.runtime.sleep(after).await;
            None
        })
        .await;
        Reply::Cancelled {
            cancelled: outcome.is_none(),
            outcome,
        }
    }

    async fn hold(&self, key: String, call: Call, recipe: Recipe) -> Reply {
        let (cache, runtime) = (self.cache.clone(), Arc::clone(&self.runtime));
        let mut held: Held = Box::pin(async move {
            let loader = async || {
                // Without a pause one poll could be enough.
                yield_now().await;
                recipe.load(&*runtime, &AtomicUsize::new(0)).await
            };
            cache.get_or_load_cached(&key, &call, loader).await
        });
        match poll_once(&mut held).await {
            Some(Err(error)) => Reply::failed(error),
            Some(Ok(_)) => Reply::DONE,
            None => {
                lock(&self.held).push(held);
                Reply::DONE
            }
        }
    }
}

/// What the registered loader does, key by key.
#[derive(Default)]
struct Registered(Mutex<HashMap<String, Entry>>);

#[derive(Clone)]
struct Entry {
    recipe: Recipe,
    ran: Arc<AtomicUsize>,
    /// Whether its number grows with each run.
    numbered: bool,
}

impl Registered {
    /// Sets what is done for this key from now on; counts how often it was.
    fn set(&self, key: &str, recipe: Recipe, numbered: bool) -> Arc<AtomicUsize> {
        let ran = Arc::new(AtomicUsize::new(0));
        let entry = Entry {
            recipe,
            ran: Arc::clone(&ran),
            numbered,
        };
        lock(&self.0).insert(key.to_owned(), entry);
        ran
    }

    /// The same, but a loader that is said again goes on counting.
    fn keep(&self, key: &str, recipe: Recipe) -> Arc<AtomicUsize> {
        let known = lock(&self.0).get(key).cloned();
        match known {
            Some(known) if known.numbered && known.recipe == recipe => known.ran,
            _ => self.set(key, recipe, true),
        }
    }

    async fn load(
        &self,
        key: &str,
        runtime: &impl Runtime,
    ) -> Result<Load<Arc<Object>>, LoadError> {
        let entry = lock(&self.0).get(key).cloned();
        match entry {
            Some(Entry {
                recipe,
                ran,
                numbered: true,
            }) => recipe.load_numbered(runtime, &ran).await,
            Some(Entry { recipe, ran, .. }) => recipe.load(runtime, &ran).await,
            None => Err("no line has set a loader for this key".into()),
        }
    }
}

fn judged(applied: Result<bool, Error>) -> Reply {
    match applied {
        Ok(applied) => Reply::Judged { applied },
        Err(error) => Reply::failed(error),
    }
}

/// How long a silent bus holds up the start.
const SOON: Duration = Duration::from_secs(1);
/// How often a line that waits looks.
const TICK: Duration = Duration::from_millis(1);

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing is done under these locks that could panic half-way.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
