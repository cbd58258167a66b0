//! What lanes carry.

use jetcache_core::Fault;

use crate::redis::connection::line::Line;

/// One outcome for each thing that was asked for.
pub(in crate::redis) type Outcomes<C> = Vec<Result<<C as Cargo>::Outcome, Fault>>;

/// What several askers ask for, of a kind that goes out together.
pub(in crate::redis) trait Cargo: Default + Send + Sync + 'static {
    /// What goes together only with its like.
    type Sort: Copy + PartialEq + Send + Sync + 'static;
    /// What one asker asks for.
    type Ask<'a>: Copy + Send;
    type Outcome: Send + 'static;

    /// How many outcomes it will have.
    fn count(ask: Self::Ask<'_>) -> usize;

    /// Whether it is so much that it goes by itself.
    fn is_much(ask: Self::Ask<'_>) -> bool;

    fn add(&mut self, ask: Self::Ask<'_>);

    /// Whether it is so much that it need not wait for more.
    fn is_full(&self, bound: usize) -> bool;

    /// Whether it may be sent again by whoever does not know what became of it.
    fn may_repeat(sort: Self::Sort) -> bool;

    /// Sends what one asker asks for.
    fn send<'a>(
        line: &'a dyn Line,
        ask: Self::Ask<'a>,
        sort: Self::Sort,
        connection: Option<usize>,
    ) -> impl Future<Output = Outcomes<Self>> + Send;

    /// Sends all of it: one outcome each, in the order in which they were added.
    ///
    /// # Errors
    /// What befell all of them.
    fn send_all(
        &self,
        line: &dyn Line,
        sort: Self::Sort,
        connection: Option<usize>,
    ) -> impl Future<Output = Result<Outcomes<Self>, Fault>> + Send;

    /// The bound for what goes together next, as these outcomes suggest.
    fn bound(&self, outcomes: &Outcomes<Self>) -> usize {
        let _ = outcomes;
        Self::BOUND
    }

    /// The bound that it begins with.
    const BOUND: usize;
}
