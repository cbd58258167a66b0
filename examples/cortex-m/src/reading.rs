//! What is cached: a sensor's reading.

use alloc::vec::Vec;

use jetcache_core::{BoxError, Codec};
use serde::{Deserialize, Serialize};

/// A reading of a sensor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reading {
    /// In tenths of a degree.
    pub celsius: i16,
    /// In percent.
    pub humidity: u8,
}

/// Readings as postcard.
#[derive(Clone, Copy, Debug)]
pub struct Postcard;

impl Codec<Reading> for Postcard {
    fn id(&self) -> u8 {
        // A number of one's own: those below 128 are the project's.
        128
    }

    fn encode(&self, reading: &Reading, out: &mut Vec<u8>) -> Result<(), BoxError> {
        out.extend_from_slice(&postcard::to_allocvec(reading)?);
        Ok(())
    }

    fn decode(&self, bytes: &[u8]) -> Result<Reading, BoxError> {
        Ok(postcard::from_bytes(bytes)?)
    }
}
