//! The nodes of the cluster: connections to each, and which has which slot.
//!
//! The map is asked for when there is none, and when something hints that it changed. A caller that
//! needs it starts a search or joins the one under way. A search is a task of its own, as
//! connecting is, so callers that give up do not stop it. Each runtime searches for itself, since
//! another one may stand still; what it finds serves all.

use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use futures_util::future::{Either, select};
use futures_util::stream::{FuturesUnordered, StreamExt};
use jetcache_core::Fault;
use redis::Pipeline;
use tokio::sync::watch;

use crate::redis::connection::Connections;
use crate::redis::connection::calm::Calm;
use crate::redis::connection::dial::Dial;
use crate::redis::connection::host::{Home, Host};
use crate::redis::connection::line::Repeat;
use crate::redis::connection::tally::Connectivity;
use crate::redis::number;
use crate::redis_cluster::address::Address;
use crate::redis_cluster::dialer::Dialer;
use crate::redis_cluster::map::Map;

/// All nodes of one cluster.
pub(super) struct Nodes {
    dialer: Dialer,
    seeds: Vec<Address>,
    known: Mutex<Known>,
    searches: Mutex<Vec<(Home, Search)>>,
    turn: AtomicUsize,
}

#[derive(Default)]
struct Known {
    map: Map,
    learned: Option<Instant>,
    connections: HashMap<Address, Arc<Connections>>,
    /// By which the caches tell the masters apart.
    numbers: HashMap<Address, u64>,
}

/// The outcome of a search for the map: none while it is under way, or if its runtime ended first.
type Search = watch::Receiver<Option<Result<(), Fault>>>;

impl Nodes {
    pub(super) fn new(dialer: Dialer, seeds: Vec<Address>) -> Self {
        Self {
            dialer,
            seeds,
            known: Mutex::default(),
            searches: Mutex::default(),
            turn: AtomicUsize::new(0),
        }
    }

    /// Completes when there is a map.
    pub(super) async fn ready(
        self: &Arc<Self>,
        host: &'static Host,
        home: Home,
    ) -> Result<(), Fault> {
        if self.known().learned.is_some() {
            return Ok(());
        }
        self.learn(host, home).await
    }

    /// The master of a slot, as far as is known.
    pub(super) fn owner(&self, slot: usize) -> Option<Address> {
        self.known().map.owner(slot).cloned()
    }

    /// The number of a slot's master, as far as is known.
    pub(super) fn number(&self, slot: usize) -> Option<u64> {
        let mut known = self.known();
        let Known { map, numbers, .. } = &mut *known;
        let owner = map.owner(slot)?;
        if let Some(number) = numbers.get(owner) {
            return Some(*number);
        }
        Some(*numbers.entry(owner.clone()).or_insert_with(number))
    }

    /// A node named this one for the slot's master.
    pub(super) fn moved(&self, slot: usize, owner: Address) {
        let mut known = self.known();
        if !known.map.masters().contains(&owner) {
            self.dialer.dial.primary.promoted();
        }
        known.map.assign([slot], owner);
    }

    /// The connections to a node.
    pub(super) fn at(&self, address: &Address) -> Result<Arc<Connections>, Fault> {
        let mut known = self.known();
        if let Some(connections) = known.connections.get(address) {
            return Ok(Arc::clone(connections));
        }
        let dial = Arc::new(self.dialer.dial(address)?);
        let connections = Arc::new(Connections::new(dial, self.dialer.count));
        known
            .connections
            .insert(address.clone(), Arc::clone(&connections));
        Ok(connections)
    }

    /// Asks where the slots are, unless that was learned a moment ago.
    pub(super) async fn learn(
        self: &Arc<Self>,
        host: &'static Host,
        home: Home,
    ) -> Result<(), Fault> {
        let Some((search, joined)) = self.search(host, home) else {
            return Ok(());
        };
        match (settled(search).await, joined) {
            // It began before this call did, so its failure may be old news: try once more.
            (Err(_), true) => match self.search(host, home) {
                Some((search, _)) => settled(search).await,
                None => Ok(()),
            },
            (outcome, _) => outcome,
        }
    }

    /// As [`learn`](Self::learn), without waiting for it.
    pub(super) fn learn_soon(self: &Arc<Self>, host: &'static Host, home: Home) {
        let _ = self.search(host, home);
    }

    /// The search under way, or a new one; and whether it was under way. None if the map is new.
    fn search(self: &Arc<Self>, host: &'static Host, home: Home) -> Option<(Search, bool)> {
        let mut searches = self.searches.lock().unwrap_or_else(PoisonError::into_inner);
        searches.retain(|(_, search)| is_under_way(search));
        if let Some((_, search)) = searches.iter().find(|(known, _)| *known == home) {
            return Some((search.clone(), true));
        }
        if self.known().learned.is_some_and(|at| at.elapsed() < FRESH) {
            return None;
        }
        let (sender, receiver) = watch::channel(None);
        let nodes = Arc::clone(self);
        (host.spawn)(Box::pin(async move {
            let outcome = nodes.ask_around(host).await;
            sender.send_replace(Some(outcome.map(|map| nodes.keep(map))));
        }));
        searches.push((home, receiver.clone()));
        Some((receiver, false))
    }

    /// Asks one node after the other, the next as soon as the last one failed or took too long. The
    /// first map that comes is taken.
    async fn ask_around(&self, host: &'static Host) -> Result<Map, Fault> {
        let mut rest = self.acquaintances().into_iter();
        let mut asked = FuturesUnordered::new();
        let mut why = Fault::Unreachable("no node of the cluster is known".into());
        loop {
            match rest.next() {
                Some(node) => asked.push(Box::pin(self.ask(node, host))),
                None if asked.is_empty() => return Err(why),
                None => {}
            }
            match select(asked.next(), (host.sleep)(STAGGER)).await {
                Either::Left((Some(Ok(map)), _)) => return Ok(map),
                Either::Left((Some(Err(fault)), _)) => why = fault,
                Either::Left((None, _)) | Either::Right(_) => {}
            }
        }
    }

    async fn ask(&self, node: Address, host: &'static Host) -> Result<Map, Fault> {
        let connections = self.at(&node)?;
        let mut question = Pipeline::with_capacity(1);
        question.cmd("CLUSTER").arg("SLOTS");
        let answer = Box::pin(connections.exchange(&question, Repeat::Once, None));
        match select(answer, (host.sleep)(self.dialer.dial.timeout)).await {
            Either::Left((answer, _)) => {
                let mut values = answer.map_err(|lost| lost.fault)?;
                Map::parse(values.pop().unwrap_or_default(), &node)
            }
            Either::Right(_) => Err(Fault::Timeout),
        }
    }

    /// Whom to ask: the masters and the given nodes alternate, and each time others come first. The
    /// masters may all be gone, and the given names lead to new ones.
    fn acquaintances(&self) -> Vec<Address> {
        let masters = self.known().map.masters().to_vec();
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        let count = masters.len().max(self.seeds.len());
        let mut all = Vec::with_capacity(masters.len() + self.seeds.len());
        for at in (0..count).map(|at| at + turn % count) {
            let pair = [pick(&masters, at), pick(&self.seeds, at)];
            for node in pair.into_iter().flatten() {
                if !all.contains(node) {
                    all.push(node.clone());
                }
            }
        }
        all
    }

    /// How to connect to each node that is known, in the order in which to try them.
    pub(super) fn dials(&self) -> Vec<Arc<Dial>> {
        let nodes = self.acquaintances();
        let dials = nodes.iter().map(|node| self.dialer.dial(node));
        // Where one client could be made, so can others that differ in the address.
        dials.filter_map(Result::ok).map(Arc::new).collect()
    }

    /// Whether they let us run scripts.
    pub(super) fn scripts(&self) -> &Calm {
        &self.dialer.dial.scripts
    }

    /// How often another primary has begun to answer.
    pub(super) fn failovers(&self) -> u64 {
        self.dialer.dial.primary.failovers()
    }

    /// How the connections to all of them are doing.
    pub(super) fn connectivity(&self) -> Connectivity {
        self.dialer.dial.tally.read()
    }

    fn keep(&self, map: Map) {
        let mut known = self.known();
        let is_new = |master: &Address| !known.map.masters().contains(master);
        // A master that was none before was a replica, or is new and will be given slots.
        if known.learned.is_some() && map.masters().iter().any(is_new) {
            self.dialer.dial.primary.promoted();
        }
        known.map = map;
        known.learned = Some(Instant::now());
        let Known {
            map,
            connections,
            numbers,
            ..
        } = &mut *known;
        numbers.retain(|address, _| map.masters().contains(address));
        connections
            .retain(|address, _| map.masters().contains(address) || self.seeds.contains(address));
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Nodes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Nodes")
            .field("given", &self.seeds)
            .field("masters", &self.known().map.masters())
            .finish_non_exhaustive()
    }
}

fn pick(nodes: &[Address], at: usize) -> Option<&Address> {
    nodes.get(at.checked_rem(nodes.len())?)
}

fn is_under_way(search: &Search) -> bool {
    search.borrow().is_none() && search.has_changed().is_ok()
}

async fn settled(mut search: Search) -> Result<(), Fault> {
    match search.wait_for(Option::is_some).await.as_deref() {
        Ok(Some(outcome)) => outcome.clone(),
        _ => Err(Fault::Unreachable(
            "the runtime ended while it asked for the cluster's slots".into(),
        )),
    }
}

/// A map that is newer than this is not asked for again: hints come by the thousand.
const FRESH: Duration = Duration::from_millis(100);

/// How long a node is waited for before the next one is asked as well.
const STAGGER: Duration = Duration::from_millis(30);
