//! Misses that a loader answers, without an L2.

use std::cell::Cell;
use std::sync::Arc;

use jetcache_core::LoadError;
use tokio::task::{JoinHandle, yield_now};

use crate::keys::texts;
use crate::measure::{Contest, Run};
use crate::report::{By, Goal, Table};
use crate::stock::{self, Value};
use crate::tables::Stage;

type Failure = std::convert::Infallible;

/// Ten thousand keys that nobody has asked for, each by a task of its own; and one after another.
pub fn cold(stage: &mut Stage<'_>) {
    const KEYS: usize = 10_000;
    let keys: Arc<[String]> = texts(KEYS).into();
    let value = stock::value(100);
    let inside = |work: &dyn Fn() -> Vec<JoinHandle<()>>| {
        Run::of(KEYS, || stage.runtime.block_on(async { all(work()).await }))
    };
    let mut contest = Contest::default();
    contest.enter("quick_cache", || {
        let cache = Arc::new(stock::bare(2 * KEYS));
        inside(&|| {
            each(&keys, |key| {
                let (cache, value) = (cache.clone(), value.clone());
                async move {
                    let load = async { Ok::<_, Failure>((after_a_turn(value).await, 1)) };
                    cache.get_or_insert_async(&*key, load).await.map(drop)
                }
            })
        })
    });
    contest.enter("jetcache", || {
        let cache = stock::ours(2 * KEYS);
        inside(&|| {
            each(&keys, |key| {
                let (cache, value) = (cache.clone(), value.clone());
                async move {
                    let load = || async { Ok::<_, LoadError>(after_a_turn(value).await) };
                    cache.get_or_load(&*key, load).await.map(drop)
                }
            })
        })
    });
    contest.enter("foyer", || {
        let cache = stock::foyer(2 * KEYS);
        inside(&|| {
            each(&keys, |key| {
                let (cache, value) = (cache.clone(), value.clone());
                async move {
                    let load = || async { Ok::<_, Failure>(after_a_turn(value).await) };
                    cache.get_or_fetch(&*key, load).await.map(drop)
                }
            })
        })
    });
    contest.enter("moka", || {
        let cache = stock::moka_future(2 * KEYS);
        inside(&|| {
            each(&keys, |key| {
                let (cache, value) = (cache.clone(), value.clone());
                async move {
                    let load = async { Ok::<_, Failure>(after_a_turn(value).await) };
                    cache.try_get_with_by_ref(&*key, load).await.map(drop)
                }
            })
        })
    });
    let scores = contest.run(stage.rounds());
    let goals = [("jetcache", Goal::AtMost(1.5))];
    let note =
        "Each key has a task; the loader waits for one turn of the runtime. A new cache each time.";
    let title = "10,000 cold keys at once, L1 only";
    stage
        .report
        .table(&Table::race(title, note, By::Time, &scores, &goals));

    let mut contest = Contest::by_cpu();
    let run = |work: &dyn Fn(&str)| Run::of_each(KEYS, |i| work(&keys[i]));
    let now = |value: &Value| {
        let value = value.clone();
        async move { Ok::<_, Failure>(value) }
    };
    contest.enter("quick_cache", || {
        let cache = stock::bare(2 * KEYS);
        let load = || async { Ok::<_, Failure>((value.clone(), 1)) };
        run(&|key| {
            let _ = stage
                .runtime
                .block_on(cache.get_or_insert_async(key, load()));
        })
    });
    contest.enter("jetcache", || {
        let cache = stock::ours(2 * KEYS);
        run(&|key| {
            let load = || stock::loaded(&value);
            let _ = stage.runtime.block_on(cache.get_or_load(key, load));
        })
    });
    contest.enter("foyer", || {
        let cache = stock::foyer(2 * KEYS);
        run(&|key| {
            let load = || now(&value);
            let _ = stage
                .runtime
                .block_on(async { cache.get_or_fetch(key, load).await });
        })
    });
    contest.enter("moka", || {
        let cache = stock::moka_future(2 * KEYS);
        run(&|key| {
            let _ = stage
                .runtime
                .block_on(cache.try_get_with_by_ref(key, now(&value)));
        })
    });
    let scores = contest.run(stage.rounds());
    let title = "10,000 cold keys one after another, L1 only";
    let note =
        "What a flight costs: the goal is 2 us beyond the loader, which answers at once here.";
    stage
        .report
        .table(&Table::race(title, note, By::Time, &scores, &[]));
}

/// A thousand tasks want one key that nobody has.
pub fn stampede(stage: &mut Stage<'_>) {
    const CALLERS: usize = 1000;
    let value = stock::value(100);
    let turn = Cell::new(0);
    let runtime = stage.runtime;
    let tiers = stage.tiers.cache_manager().clone();
    let key = move || {
        turn.set(turn.get() + 1);
        Arc::new(format!("stampede:{}", turn.get()))
    };
    let inside = |work: &dyn Fn() -> Vec<JoinHandle<()>>| {
        Run::of(CALLERS, || runtime.block_on(async { all(work()).await }))
    };
    let bare = Arc::new(stock::bare(1000));
    let (ours, foyer, moka) = (
        stock::ours(1000),
        stock::foyer(1000),
        stock::moka_future(1000),
    );
    let mut contest = Contest::default();
    contest.enter("quick_cache", || {
        let key = key();
        inside(&|| {
            of_one(&key, |key| {
                let (cache, value) = (bare.clone(), value.clone());
                async move {
                    let load = async { Ok::<_, Failure>((after_a_turn(value).await, 1)) };
                    cache
                        .get_or_insert_async(key.as_str(), load)
                        .await
                        .map(drop)
                }
            })
        })
    });
    contest.enter("jetcache", || {
        let key = key();
        inside(&|| {
            of_one(&key, |key| {
                let (cache, value) = (ours.clone(), value.clone());
                async move {
                    let load = || async { Ok::<_, LoadError>(after_a_turn(value).await) };
                    cache.get_or_load(key.as_str(), load).await.map(drop)
                }
            })
        })
    });
    contest.enter("foyer", || {
        let key = key();
        inside(&|| {
            of_one(&key, |key| {
                let (cache, value) = (foyer.clone(), value.clone());
                async move {
                    let load = || async { Ok::<_, Failure>(after_a_turn(value).await) };
                    cache.get_or_fetch(key.as_str(), load).await.map(drop)
                }
            })
        })
    });
    contest.enter("moka", || {
        let key = key();
        inside(&|| {
            of_one(&key, |key| {
                let (cache, value) = (moka.clone(), value.clone());
                async move {
                    let load = async { Ok::<_, Failure>(after_a_turn(value).await) };
                    cache
                        .try_get_with_by_ref(key.as_str(), load)
                        .await
                        .map(drop)
                }
            })
        })
    });
    contest.enter("multi-tier-cache, with Redis", || {
        let key = key();
        inside(&|| {
            of_one(&key, |key| {
                let tiers = tiers.clone();
                async move {
                    let strategy = multi_tier_cache::CacheStrategy::ShortTerm;
                    let load = || async {
                        yield_now().await;
                        Ok(multi_tier_cache::Bytes::from_static(&[b'x'; 100]))
                    };
                    tiers
                        .get_or_compute_with(&key, strategy, load)
                        .await
                        .map(drop)
                }
            })
        })
    });
    let scores = contest.run(3 * stage.rounds());
    let title = "1000 callers on one cold key, L1 only";
    let note = "Each caller is a task; the loader waits for one turn of the runtime. Time is a caller's share; \
                the goal of a follower is 0.5 us beyond its task.";
    stage
        .report
        .table(&Table::race(title, note, By::Time, &scores, &[]));
}

async fn after_a_turn(value: Value) -> Value {
    yield_now().await;
    value
}

fn each<F, E>(keys: &Arc<[String]>, ask: impl Fn(Box<str>) -> F) -> Vec<JoinHandle<()>>
where
    F: Future<Output = Result<(), E>> + Send + 'static,
    E: std::fmt::Debug + Send,
{
    keys.iter()
        .map(|key| {
            let asked = ask(key.as_str().into());
            tokio::spawn(async { asked.await.expect("the loader answers") })
        })
        .collect()
}

fn of_one<F, E>(key: &Arc<String>, ask: impl Fn(Arc<String>) -> F) -> Vec<JoinHandle<()>>
where
    F: Future<Output = Result<(), E>> + Send + 'static,
    E: std::fmt::Debug + Send,
{
    (0..1000)
        .map(|_| {
            let asked = ask(Arc::clone(key));
            tokio::spawn(async { asked.await.expect("the loader answers") })
        })
        .collect()
}

async fn all(tasks: Vec<JoinHandle<()>>) {
    for task in tasks {
        task.await.expect("no task panics");
    }
}
