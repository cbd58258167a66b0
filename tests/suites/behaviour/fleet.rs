//! Nodes that hear of each other's changes, over a bus of a user's own.

pub(crate) mod newcomers;
pub(crate) mod outages;
pub(crate) mod words;

use jetcache_core::{BusState, Cached};

use crate::behaviour::stage::airwaves::Airwaves;
use crate::behaviour::stage::face::Faced;
use crate::behaviour::stage::{Node, Stage};

/// So many nodes on one bus, which already listen.
async fn fleet<const N: usize>(stage: &Stage, bus: &Airwaves) -> [Node; N] {
    let nodes = [(); N].map(|()| stage.builder().bus(bus.clone()).build().unwrap().faced());
    for node in &nodes {
        listens(stage, node).await;
    }
    nodes
}

async fn listens(stage: &Stage, node: &Node) {
    node.listen().await;
    stage
        .until("it listens", async || node.bus() == BusState::Up)
        .await;
}

async fn forgets(stage: &Stage, node: &Node, key: &str) {
    stage
        .until("it has heard", async || node.peek(key) == Cached::Miss)
        .await;
}
