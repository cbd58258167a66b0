//! One slot's line: to its master, and on to the node that the master names.

use std::sync::Arc;

use jetcache_core::Fault;
use redis::{ServerErrorKind, Value};

use crate::redis::connection::Lost;
use crate::redis::connection::calm::Calm;
use crate::redis::connection::dial::Dial;
use crate::redis::connection::host::{Home, Host};
use crate::redis::connection::line::{Batch, Line, Repeat, Sending};
use crate::redis::connection::runtimes::here;
use crate::redis::connection::tally::Connectivity;
use crate::redis_cluster::address::Address;
use crate::redis_cluster::course::Course;
use crate::redis_cluster::course::stop::{Hop, Stop};
use crate::redis_cluster::nodes::Nodes;

/// The way to one slot.
#[derive(Debug)]
pub(super) struct Lane {
    pub(super) nodes: Arc<Nodes>,
    pub(super) slot: usize,
}

impl Line for Lane {
    fn send<'a>(&'a self, batch: Batch<'a>) -> Sending<'a> {
        Box::pin(async move {
            match here() {
                Ok((host, home)) => self.follow(batch, host, home).await,
                Err(fault) => vec![Err(fault); batch.commands.len()],
            }
        })
    }

    fn joins(&self) -> bool {
        false
    }

    fn scripts(&self) -> &Calm {
        self.nodes.scripts()
    }

    fn dials(&self) -> Vec<Arc<Dial>> {
        self.nodes.dials()
    }

    fn failovers(&self) -> u64 {
        self.nodes.failovers()
    }

    fn connectivity(&self) -> Connectivity {
        self.nodes.connectivity()
    }
}

impl Lane {
    async fn follow(
        &self,
        batch: Batch<'_>,
        host: &'static Host,
        home: Home,
    ) -> Vec<Result<Value, Fault>> {
        let mut course = Course::new(batch);
        while let Some(stop) = course.next() {
            if let Some(pause) = stop.pause {
                (host.sleep)(pause).await;
            }
            let target = match &stop.to {
                Hop::Master => self.owner(host, home).await,
                Hop::Ask(node) => Ok(node.clone()),
            };
            let target = match target {
                Ok(target) => target,
                Err(fault) => {
                    course.on_fault(&stop, &fault);
                    continue;
                }
            };
            match self.exchange(&batch, &stop, &target).await {
                Ok(values) => {
                    if values.iter().any(is_down) {
                        self.nodes.learn_soon(host, home);
                    }
                    if let Some(owner) = course.on_values(&stop, values, &target) {
                        self.nodes.moved(self.slot, owner);
                        self.nodes.learn_soon(host, home);
                    }
                }
                Err(lost) => {
                    // A successor may have its slots. Commands that may have been carried out go
                    // there only if they may be sent twice.
                    let again = !lost.sent || batch.repeat == Repeat::Once;
                    if !again {
                        self.nodes.learn_soon(host, home);
                    } else if self.nodes.learn(host, home).await.is_ok()
                        && self
                            .nodes
                            .owner(self.slot)
                            .is_some_and(|owner| owner != target)
                        && course.on_detour(&stop)
                    {
                        continue;
                    }
                    course.on_fault(&stop, &lost.fault);
                }
            }
        }
        course.into_answers()
    }

    async fn exchange(
        &self,
        batch: &Batch<'_>,
        stop: &Stop,
        target: &Address,
    ) -> Result<Vec<Value>, Lost> {
        let connections = self.nodes.at(target).map_err(Lost::unsent)?;
        let part = stop.part(batch);
        let commands = part.as_ref().unwrap_or(batch.commands);
        connections.exchange(commands, batch.repeat, None).await
    }

    async fn owner(&self, host: &'static Host, home: Home) -> Result<Address, Fault> {
        if let Some(owner) = self.nodes.owner(self.slot) {
            return Ok(owner);
        }
        self.nodes.learn(host, home).await?;
        self.nodes.owner(self.slot).ok_or_else(|| {
            Fault::Refused(format!("no master has the cluster's slot {}", self.slot).into())
        })
    }
}

/// The node has lost sight of the others, or the cluster has lost slots. Other nodes may know of a
/// new master.
fn is_down(value: &Value) -> bool {
    matches!(value, Value::ServerError(error) if error.kind() == Some(ServerErrorKind::ClusterDown))
}
