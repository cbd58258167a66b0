//! An L2 at the other end of a line: frames of postcard, with COBS between them.
//!
//! The line is emulated, the other end too: what is sent is bytes, and bytes come back, or none.

use alloc::borrow::ToOwned;
use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;

use jetcache_core::Fault;
use jetcache_core::unsync::Store;
use serde::{Deserialize, Serialize};

use crate::board::Board;

#[derive(Serialize, Deserialize)]
enum Ask<'a> {
    Read {
        key: &'a str,
    },
    Write {
        key: &'a str,
        bytes: &'a [u8],
        millis: u64,
    },
    Remove {
        key: &'a str,
    },
}

#[derive(Serialize, Deserialize)]
enum Answer<'a> {
    Done,
    Nothing,
    Found { bytes: &'a [u8], millis: u64 },
}

/// This end of the line, and what hangs at the other one.
pub struct Line<'a> {
    far: Far<'a>,
    /// The wire is cut: nothing arrives.
    cut: bool,
    /// How many bytes went over it.
    bytes: usize,
}

impl<'a> Line<'a> {
    /// A line to an L2 that holds nothing.
    #[must_use]
    pub const fn new(board: &'a Board) -> Self {
        Self {
            far: Far {
                board,
                kept: BTreeMap::new(),
            },
            cut: false,
            bytes: 0,
        }
    }

    /// Cuts the wire, or mends it.
    pub fn cut(&mut self, cut: bool) {
        self.cut = cut;
    }

    /// How many bytes went over the wire, both ways.
    #[must_use]
    pub const fn bytes(&self) -> usize {
        self.bytes
    }

    /// Sends a frame and waits for the answer's. A real line would wait for its UART here, and for so long
    /// at most as the cache is to wait.
    fn exchange(&mut self, ask: &Ask<'_>) -> Result<Vec<u8>, Fault> {
        let broken = |_| Fault::Unreachable("a frame that cannot be written".into());
        let mut frame = postcard::to_allocvec_cobs(ask).map_err(broken)?;
        self.bytes += frame.len();
        if self.cut {
            self.far.board.pass(Duration::from_millis(250));
            return Err(Fault::Timeout);
        }
        let frame = self.far.answer(&mut frame).ok_or(Fault::Timeout)?;
        self.bytes += frame.len();
        Ok(frame)
    }
}

impl Store for Line<'_> {
    fn read(&mut self, key: &str, out: &mut Vec<u8>) -> Result<Option<Duration>, Fault> {
        let mut frame = self.exchange(&Ask::Read { key })?;
        match postcard::from_bytes_cobs(&mut frame) {
            Ok(Answer::Found { bytes, millis }) => {
                out.extend_from_slice(bytes);
                Ok(Some(Duration::from_millis(millis)))
            }
            Ok(Answer::Nothing | Answer::Done) => Ok(None),
            Err(_) => Err(Fault::Unreachable("a frame that cannot be read".into())),
        }
    }

    fn write(&mut self, key: &str, bytes: &[u8], keep: Duration) -> Result<(), Fault> {
        let millis = u64::try_from(keep.as_millis()).unwrap_or(u64::MAX);
        self.exchange(&Ask::Write { key, bytes, millis })?;
        Ok(())
    }

    fn remove(&mut self, key: &str) -> Result<(), Fault> {
        self.exchange(&Ask::Remove { key })?;
        Ok(())
    }
}

/// The other end: it keeps bytes by its own clock.
struct Far<'a> {
    board: &'a Board,
    /// With their ends, in milliseconds.
    kept: BTreeMap<String, (Vec<u8>, u64)>,
}

impl Far<'_> {
    fn answer(&mut self, frame: &mut [u8]) -> Option<Vec<u8>> {
        let now = self.board.millis();
        let answer = match postcard::from_bytes_cobs(frame).ok()? {
            Ask::Read { key } => match self.kept.get(key) {
                Some((bytes, end)) if now < *end => Answer::Found {
                    bytes,
                    millis: end - now,
                },
                _ => Answer::Nothing,
            },
            Ask::Write { key, bytes, millis } => {
                let kept = (bytes.to_vec(), now.saturating_add(millis));
                self.kept.insert(key.to_owned(), kept);
                Answer::Done
            }
            Ask::Remove { key } => {
                self.kept.remove(key);
                Answer::Done
            }
        };
        postcard::to_allocvec_cobs(&answer).ok()
    }
}
