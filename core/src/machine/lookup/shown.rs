//! What a flight remembers of the value that its loader was shown.

use core::time::Duration;

use crate::machine::generations::tags::Tags;
use crate::machine::policy::lives::Lives;
use crate::machine::tier::envelope::Header;
use crate::machine::tier::mark::Mark;
use crate::machine::time::millis;

/// What was shown to the loader: that is renewed, whatever the tiers hold by then.
#[derive(Clone, Debug)]
pub(super) struct Shown {
    /// How it stood in L2, if it is from there.
    pub(super) header: Option<Header>,
    pub(super) mark: Option<Mark>,
    pub(super) tags: Tags,
}

impl Shown {
    /// What may be extended in L2: the very entry that was shown, with its own mark, tags and window, for the
    /// life that its header says and no other, since its age is told by that. It must be one that the
    /// jitter might have drawn.
    pub(super) fn extends(
        &self,
        mark: Option<&Mark>,
        tags: &Tags,
        lives: &Lives,
    ) -> Option<(Header, Duration)> {
        let same = mark == self.mark.as_ref() && *tags == self.tags;
        let header = self.header.clone().filter(|_| same)?;
        let life = header.life();
        let alike = millis(header.stale()) == millis(lives.stale)
            && (lives.least..=lives.most).contains(&life);
        alike.then_some((header, life))
    }
}
