//! An inspection in a few lines, for people.

use core::fmt;

use crate::machine::tier::inspection::span::{Span, lives, marked, tagged};
use crate::machine::tier::inspection::{
    EntryFormat, InL1, InL2, Inspection, L1Entry, L2Entry, UnderWay,
};
use crate::machine::tier::unreadable::{Codec, Compression};

/// ```text
/// users:7
///   L1     a value, fresh for 52 s
///   L2     a value in the native format, 1234 bytes, MessagePack, LZ4
///          fresh for 3588 s, then stale for 60 s; 12 s old of 3600 s; loaded in 0.035 s; tags t9fa3; born under 1700000000000000
///   lease  none
///   here   a flight is under way, 3 callers wait
/// ```
impl fmt::Display for Inspection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.key {
            Some(key) => writeln!(f, "{key}")?,
            None => writeln!(f, "a key of {}", self.cache)?,
        }
        writeln!(f, "  L1     {}", self.l1)?;
        match &self.l2 {
            InL2::Off => writeln!(f, "  L2     none")?,
            InL2::Unheld(why) => writeln!(f, "  L2     cannot hold it: {why}")?,
            InL2::Away(fault) => writeln!(f, "  L2     is away: {fault}")?,
            InL2::Answered { entry, lease } => {
                match entry {
                    Some(entry) => writeln!(f, "  L2     {entry}")?,
                    None => writeln!(f, "  L2     nothing")?,
                }
                writeln!(f, "  lease  {lease}")?;
            }
        }
        write!(f, "  here   {}", self.here)
    }
}

impl fmt::Display for InL1 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Off => f.write_str("none"),
            Self::Nothing => f.write_str("nothing"),
            Self::Entry(entry) => entry.fmt(f),
        }
    }
}

impl fmt::Display for L1Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, ", self.kind)?;
        lives(f, self.freshness, Some(self.left), Some(self.stale_left))?;
        if let Some(age) = self.age {
            write!(f, "; {} old", Span(age))?;
        }
        marked(f, self.mark.as_deref())?;
        tagged(f, &self.tags)
    }
}

/// Two lines, or three.
impl fmt::Display for L2Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.kind {
            Some(kind) => kind.fmt(f)?,
            None => f.write_str("something")?,
        }
        let format = match self.format {
            EntryFormat::Native => "in the native format",
            EntryFormat::JetcacheGo => "in the format of jetcache-go",
            EntryFormat::Foreign => "in no format of ours",
        };
        write!(f, " {format}, {} bytes", self.size)?;
        if let Some(codec) = self.codec {
            write!(f, ", {}", Codec(codec))?;
        }
        match self.compression {
            Some(0) => f.write_str(", not compressed")?,
            Some(id) => write!(f, ", {}", Compression(id))?,
            None => {}
        }
        if let Some(freshness) = self.freshness {
            write!(f, "\n{INDENT}")?;
            lives(f, freshness, self.left, self.stale_left)?;
            match (self.age, self.life) {
                (Some(age), Some(life)) => write!(f, "; {} old of {}", Span(age), Span(life))?,
                (None, Some(life)) => write!(f, "; of {}", Span(life))?,
                _ => {}
            }
            if let Some(cost) = self.cost {
                write!(f, "; loaded in {}", Span(cost))?;
            }
        }
        marked(f, self.mark.as_deref())?;
        tagged(f, &self.tags)?;
        if let Some(born @ 1..) = self.born {
            write!(f, "; born under {born}")?;
        }
        match &self.unreadable {
            Some(why) => write!(f, "\n{INDENT}cannot be read: {why}"),
            None => Ok(()),
        }
    }
}

impl fmt::Display for UnderWay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut sep = "";
        match self.flight {
            Some(1) => f.write_str("a flight is under way, 1 caller waits")?,
            Some(waiters) => write!(f, "a flight is under way, {waiters} callers wait")?,
            None => {}
        }
        if self.flight.is_some() {
            sep = "; ";
        }
        let states = [
            (self.unconfirmed, "a change is unconfirmed"),
            (self.kept_fresh, "kept fresh"),
        ];
        for (_, text) in states.iter().filter(|(holds, _)| *holds) {
            write!(f, "{sep}{text}")?;
            sep = "; ";
        }
        if sep.is_empty() {
            f.write_str("nothing is under way")?;
        }
        Ok(())
    }
}

const INDENT: &str = "         ";
