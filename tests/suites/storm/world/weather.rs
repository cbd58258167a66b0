//! How bad the ways to L2 and back are.

use crate::world::time::World;

/// Chances in hundredths, times in milliseconds.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Weather {
    pub(crate) latency: u64,
    pub(crate) lost: u64,
    pub(crate) late: u64,
    pub(crate) errors: u64,
    /// One command of a pipeline fails.
    pub(crate) single: u64,
    /// The adapter panics.
    pub(crate) panics: u64,
}

impl Weather {
    pub(crate) fn of(world: &World) -> Self {
        let calm = world.percent(30);
        let bad = |most| if calm { 0 } else { world.below(most) };
        Self {
            latency: match world.percent(20) {
                true => 1 + world.below(50),
                false => 1 + world.below(USUAL_LATENCY),
            },
            lost: bad(20),
            late: bad(20),
            errors: bad(10),
            single: bad(10),
            panics: bad(3),
        }
    }

    pub(crate) fn calm() -> Self {
        Self {
            latency: 1,
            ..Self::default()
        }
    }

    pub(crate) fn slow() -> Self {
        Self {
            latency: 200,
            ..Self::calm()
        }
    }

    pub(crate) fn of_panics() -> Self {
        Self {
            panics: 100,
            ..Self::calm()
        }
    }

    pub(crate) fn is_calm(&self) -> bool {
        let bad = self.lost + self.late + self.errors + self.single + self.panics;
        // If L2 is slow, callers give up, which is as bad as a loss.
        bad == 0 && self.latency <= USUAL_LATENCY
    }
}

const USUAL_LATENCY: u64 = 10;
