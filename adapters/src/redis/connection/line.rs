//! Where the verbs send their commands: to one server, or to whoever serves one slot of a cluster.

use std::fmt::Debug;
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::pin::Pin;
use std::sync::Arc;

use jetcache_core::Fault;
use redis::{Pipeline, Value};

use crate::redis::connection::calm::Calm;
use crate::redis::connection::dial::Dial;
use crate::redis::connection::tally::Connectivity;

/// Takes commands to the server that has their keys.
pub(crate) trait Line: Debug + Send + Sync + UnwindSafe + RefUnwindSafe {
    /// One outcome a command, in their order; a server's error is a value among them.
    fn send<'a>(&'a self, batch: Batch<'a>) -> Sending<'a>;

    /// Whether a script may have the keys of several values: not in a cluster, where a slot on the move
    /// has some of them here and some there.
    fn joins(&self) -> bool;

    /// Whether its servers let us run scripts.
    fn scripts(&self) -> &Calm;

    /// Where a subscription can connect: any of these will do, tried in this order.
    fn dials(&self) -> Vec<Arc<Dial>>;

    /// How often another primary has begun to answer.
    fn failovers(&self) -> u64;

    /// How its connections are doing.
    fn connectivity(&self) -> Connectivity;
}

/// Commands on their way.
pub(crate) type Sending<'a> = Pin<Box<dyn Future<Output = Vec<Result<Value, Fault>>> + Send + 'a>>;

/// Commands about keys of one slot: some that prepare the server, then some that each stand alone,
/// then some that belong together.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Batch<'a> {
    /// All of them.
    pub(crate) commands: &'a Pipeline,
    /// How many of them, at the front, name no key and go to every server that is sent any of the
    /// others.
    pub(crate) ahead: usize,
    /// How many of them, after those, are carried out or refused one by one. The rest is carried
    /// out or refused as a whole, by one server, after all of these.
    pub(crate) alone: usize,
    /// Whether they may be sent again when nobody can tell whether they were carried out.
    pub(crate) repeat: Repeat,
    /// Which of the connections to a server they take, if not the one whose turn it is.
    pub(crate) connection: Option<usize>,
}

impl Batch<'_> {
    /// The index of the first command of those that belong together.
    pub(crate) fn behind(&self) -> usize {
        self.ahead + self.alone
    }
}

/// Whether a command may be sent a second time when its connection died before the answer came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Repeat {
    /// Once more: it does no harm if it is carried out twice, or late.
    Once,
    /// Never: the first one may arrive late, after the second and after what others did since.
    Never,
}
