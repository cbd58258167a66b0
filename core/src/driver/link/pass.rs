//! Items on their way to L2, as far as the breakers of its servers let them pass.

use core::iter::zip;

use crate::driver::link::gate::{Gate, Sorted};
use crate::driver::link::outcomes::Outcomes;
use crate::driver::link::primary::Primary;
use crate::machine::error::Fault;
use crate::machine::time::Timestamp;

/// Which of some items are sent.
pub(crate) struct Pass<'g, I> {
    gate: Option<(&'g Gate, Timestamp)>,
    /// Which primary is asked.
    primary: Option<(&'g Primary, u64, Timestamp)>,
    key: fn(&I) -> &str,
    sorted: Sorted,
    /// Those that are, if it is not all of them.
    asked: Vec<I>,
}

impl<'g, I: Copy> Pass<'g, I> {
    pub(crate) fn of(
        gate: Option<&'g Gate>,
        primary: Option<&'g Primary>,
        items: &[I],
        key: fn(&I) -> &str,
    ) -> Self {
        let primary = primary.map(|primary| (primary, primary.known(), primary.now()));
        let sorted = match gate {
            Some(gate) if !items.is_empty() => gate.sort(items.iter().map(key)),
            Some(_) | None => Sorted::All,
        };
        let asked = match &sorted {
            Sorted::All | Sorted::None(_) => Vec::new(),
            Sorted::Some(refusals) => zip(items, refusals)
                .filter(|(_, refusal)| refusal.is_none())
                .map(|(item, _)| *item)
                .collect(),
        };
        Self {
            gate: gate.map(|gate| (gate, gate.now())),
            primary,
            key,
            sorted,
            asked,
        }
    }

    /// What is to be sent, now.
    pub(crate) fn asked<'a>(&'a self, items: &'a [I]) -> &'a [I] {
        match &self.sorted {
            Sorted::All => items,
            Sorted::None(_) => &[],
            Sorted::Some(_) => &self.asked,
        }
    }

    /// Tells the breakers what came of that, and when L2 has answered.
    pub(crate) fn note<T>(&self, asked: &[I], outcomes: &Outcomes<T>) {
        if let Some((gate, sent)) = self.gate {
            gate.note(asked.iter().map(self.key), outcomes, sent);
        }
        if let Some((primary, _, sent)) = self.primary.filter(|(it, known, _)| it.is(*known)) {
            primary.note(asked.iter().map(self.key), outcomes, sent);
        }
    }

    /// The outcomes of all items, given those of the ones that were sent.
    pub(crate) fn outcomes<T>(self, sent: Outcomes<T>) -> Outcomes<T> {
        match self.sorted {
            Sorted::All => sent,
            Sorted::None(faults) => faults.into_iter().map(Err).collect(),
            Sorted::Some(refusals) => {
                let mut sent = sent.into_iter();
                let outcome = |refusal: Option<Fault>| match refusal {
                    Some(fault) => Some(Err(fault)),
                    None => sent.next(),
                };
                refusals.into_iter().filter_map(outcome).collect()
            }
        }
    }
}
