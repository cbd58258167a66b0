//! A call's keys, sent to their slots side by side, and the answers put in order again.

use std::collections::{BTreeMap, HashMap};
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use futures_util::future::{Either, select};
use futures_util::stream::{self, BoxStream, StreamExt};
use jetcache_core::{Fault, Task};

use crate::redis::Redis;
use crate::redis::connection::host::{Home, Host};
use crate::redis::connection::runtimes::here;
use crate::redis::lease_key::slot;
use crate::redis_cluster::RedisCluster;

/// A call under way: its answers as they come, each with the places of its keys in the call.
pub(super) struct Call<'a, T> {
    pub(super) host: &'static Host,
    home: Home,
    answers: BoxStream<'a, (Vec<usize>, Outcomes<T>)>,
    end: Task,
    over: Arc<AtomicBool>,
}

pub(super) type Outcomes<T> = Vec<Result<T, Fault>>;

impl RedisCluster {
    /// Does to the items of each slot what `verb` does to those of one server; one outcome an item.
    pub(super) async fn each<'a, I, T, F>(
        &self,
        items: &[I],
        key: fn(&I) -> &str,
        verb: impl Fn(Redis, Vec<I>) -> F + Clone + Send + 'a,
    ) -> Outcomes<T>
    where
        I: Clone + Send + Sync + 'a,
        T: Send + 'a,
        F: Future<Output = Outcomes<T>> + Send + 'a,
    {
        if items.is_empty() {
            return Vec::new();
        }
        match self.begin(items, key, verb).await {
            Ok(mut call) => self.gather(&mut call, items.len()).await,
            Err(fault) => failed(items.len(), &fault),
        }
    }

    /// Waits for the cluster's map. Each slot begins when the call's answers are asked for.
    pub(super) async fn begin<'a, I, T, F>(
        &self,
        items: &[I],
        key: fn(&I) -> &str,
        verb: impl Fn(Redis, Vec<I>) -> F + Clone + Send + 'a,
    ) -> Result<Call<'a, T>, Fault>
    where
        I: Clone + Send + Sync + 'a,
        T: Send + 'a,
        F: Future<Output = Outcomes<T>> + Send + 'a,
    {
        let (host, home) = here()?;
        let mut end = (host.sleep)(self.limits.span);
        match select(Box::pin(self.nodes.ready(host, home)), &mut end).await {
            Either::Left((ready, _)) => ready?,
            Either::Right(_) => return Err(Fault::Timeout),
        }
        let mut slots: BTreeMap<usize, (Vec<usize>, Vec<I>)> = BTreeMap::new();
        for (place, item) in items.iter().enumerate() {
            let (places, own) = slots.entry(slot(key(item))).or_default();
            places.push(place);
            own.push(item.clone());
        }
        // A queue a master, so that the slots of one that hangs hold up no other's.
        let mut queues: HashMap<_, Vec<_>> = HashMap::new();
        for (slot, work) in slots {
            let queue = queues.entry(self.nodes.owner(slot)).or_default();
            queue.push((slot, work));
        }
        let over = Arc::new(AtomicBool::new(false));
        let queues = queues.into_values().map(|queue| {
            let (verb, over) = (verb.clone(), Arc::clone(&over));
            let cluster = self.clone();
            let work = stream::iter(queue).map(move |(slot, (places, items))| {
                // What nobody waits for any more is not begun.
                let work = (!over.load(Ordering::Relaxed)).then(|| verb(cluster.lane(slot), items));
                async move {
                    let outcomes = match work {
                        Some(work) => work.await,
                        None => failed(places.len(), &Fault::Timeout),
                    };
                    (places, outcomes)
                }
            });
            work.buffer_unordered(self.limits.at_once).boxed()
        });
        Ok(Call {
            host,
            home,
            answers: stream::select_all(queues).boxed(),
            end,
            over,
        })
    }

    /// Waits for the answers, for as long as a call may take.
    pub(super) async fn gather<T>(&self, call: &mut Call<'_, T>, count: usize) -> Outcomes<T> {
        let mut outcomes: Vec<Option<_>> = (0..count).map(|_| None).collect();
        loop {
            match select(call.answers.next(), &mut call.end).await {
                Either::Left((Some((places, answers)), _)) => {
                    for (place, answer) in places.into_iter().zip(answers) {
                        outcomes[place] = Some(answer);
                    }
                }
                Either::Left((None, _)) => break,
                Either::Right(_) => {
                    call.over.store(true, Ordering::Relaxed);
                    // A node that hangs may have been replaced by now.
                    self.nodes.learn_soon(call.host, call.home);
                    break;
                }
            }
        }
        outcomes
            .into_iter()
            .map(|outcome| outcome.unwrap_or(Err(Fault::Timeout)))
            .collect()
    }
}

impl<T> Call<'_, T> {
    /// Whether it ended before all slots had answered.
    pub(super) fn is_over(&self) -> bool {
        self.over.load(Ordering::Relaxed)
    }

    /// The next answer of a slot, however late; none if all have answered.
    pub(super) async fn late(&mut self) -> Option<(Vec<usize>, Outcomes<T>)> {
        self.answers.next().await
    }
}

pub(super) fn failed<T>(count: usize, fault: &Fault) -> Outcomes<T> {
    (0..count).map(|_| Err(fault.clone())).collect()
}
