//! What is sent next, and where to.

use std::time::Duration;

use redis::{Cmd, Pipeline};

use crate::redis::connection::line::Batch;
use crate::redis_cluster::address::Address;

/// What is sent next.
#[derive(Debug)]
pub(in crate::redis_cluster) struct Stop {
    pub(in crate::redis_cluster) to: Hop,
    /// How long to wait first.
    pub(in crate::redis_cluster) pause: Option<Duration>,
    pub(super) alone: Vec<usize>,
    pub(super) together: bool,
}

/// Where to send it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::redis_cluster) enum Hop {
    /// To the slot's master.
    Master,
    /// To this node, which must be told that it is asked only for once.
    Ask(Address),
}

impl Stop {
    /// Its commands out of the batch; none if they are the whole batch.
    pub(in crate::redis_cluster) fn part(&self, batch: &Batch<'_>) -> Option<Pipeline> {
        let behind = if self.together {
            batch.behind()
        } else {
            batch.commands.len()
        };
        let count = batch.ahead + self.alone.len() + batch.commands.len() - behind;
        if self.to == Hop::Master && count == batch.commands.len() {
            return None;
        }
        let commands: Vec<&Cmd> = batch.commands.cmd_iter().collect();
        let mut part = Pipeline::with_capacity(2 * count);
        for &command in &commands[..batch.ahead] {
            part.add_command(command.clone());
        }
        for &at in &self.alone {
            self.knock(&mut part);
            part.add_command(commands[at].clone());
        }
        if self.together {
            // Once does for all of them: of these, only one has keys, or else the first is the
            // `MULTI` of a transaction, for which it holds to the end.
            self.knock(&mut part);
        }
        for &command in &commands[behind..] {
            part.add_command(command.clone());
        }
        Some(part)
    }

    /// Adds what must come before each command to a node that does not own the slot yet.
    fn knock(&self, part: &mut Pipeline) {
        if self.is_asking() {
            part.cmd("ASKING");
        }
    }

    pub(super) fn is_asking(&self) -> bool {
        self.to != Hop::Master
    }
}
