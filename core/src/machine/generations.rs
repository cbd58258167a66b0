//! Which values are dead, because their tags were raised or their namespace was cleared.

pub mod scope;
pub mod tags;
