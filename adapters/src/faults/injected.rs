//! What was injected so far.

/// How often each fault was injected since the switchboard was made; [`heal`](super::Faults::heal)
/// does not set it back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Injected {
    /// Operations that failed and were not carried out: [`error_rate`](super::Faults::error_rate).
    pub errors: u64,
    /// Operations that were carried out and whose answer was lost:
    /// [`loss_rate`](super::Faults::loss_rate).
    pub losses: u64,
    /// Operations that were delayed: [`latency`](super::Faults::latency).
    pub delays: u64,
    /// Operations that hung, before they were carried out or after:
    /// [`hang`](super::Faults::hang), [`hang_answers`](super::Faults::hang_answers).
    pub hangs: u64,
    /// Operations that were refused: [`refuse`](super::Faults::refuse).
    pub refusals: u64,
    /// Operations and bus calls that failed, and subscriptions that ended, because of a
    /// [`partition`](super::Faults::partition) or a [`cut_bus`](super::Faults::cut_bus).
    pub cut: u64,
    /// Values whose bytes were changed or cut short: [`corrupt_rate`](super::Faults::corrupt_rate).
    pub corruptions: u64,
    /// Messages that were not heard: [`bus_loss_rate`](super::Faults::bus_loss_rate).
    pub bus_losses: u64,
    /// Messages that were heard twice: [`bus_double_rate`](super::Faults::bus_double_rate).
    pub bus_doubles: u64,
    /// Messages, each copy counted, that were heard late: [`bus_latency`](super::Faults::bus_latency).
    pub bus_delays: u64,
}
