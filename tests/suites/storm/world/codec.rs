//! A codec that cannot encode some values, and panics at others.

use jetcache_adapters::MessagePack;
use jetcache_core::{BoxError, Codec};
use std::panic::resume_unwind;

#[derive(Debug)]
pub(crate) struct Fickle;

impl Codec<u64> for Fickle {
    fn id(&self) -> u8 {
        200
    }

    fn encode(&self, value: &u64, out: &mut Vec<u8>) -> Result<(), BoxError> {
        if is_refused(*value) {
            return Err("an odd value".into());
        }
        if panics(*value) {
            resume_unwind(Box::new("the codec"));
        }
        Codec::<u64>::encode(&MessagePack, value, out)
    }

    fn decode(&self, bytes: &[u8]) -> Result<u64, BoxError> {
        MessagePack.decode(bytes)
    }
}

pub(crate) const fn is_refused(value: u64) -> bool {
    value % 31 == 30
}

/// Inserting such a value may panic the caller; loading it may not.
pub(crate) const fn panics(value: u64) -> bool {
    value % 37 == 36
}
