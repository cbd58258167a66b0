//! Lines from stdin, read by a thread of their own: no runtime has to know how to read it.

use std::io::{self, BufRead, Read};
use std::thread;

use smol::channel::{Receiver, bounded};

/// A line of the input.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Line {
    /// Its number, from 1 on.
    pub(crate) id: u64,
    /// What it says, or why that cannot be told.
    pub(crate) text: Result<String, &'static str>,
}

/// The lines of stdin. The channel ends with the input.
pub(crate) fn lines() -> Receiver<Line> {
    let (told, lines) = bounded(AHEAD);
    thread::spawn(move || {
        let mut input = io::stdin().lock();
        for id in 1.. {
            let Ok(Some(text)) = next(&mut input, LONGEST) else {
                return;
            };
            if told.send_blocking(Line { id, text }).is_err() {
                return;
            }
        }
    });
    lines
}

/// The next line, or nothing at the end of the input.
fn next(
    input: &mut impl BufRead,
    longest: u64,
) -> io::Result<Option<Result<String, &'static str>>> {
    let mut bytes = Vec::new();
    let taken = input.take(longest).read_until(b'\n', &mut bytes)?;
    if taken == 0 {
        return Ok(None);
    }
    if bytes.last() != Some(&b'\n') && taken as u64 == longest {
        input.skip_until(b'\n')?;
        return Ok(Some(Err("the line is longer than 64 MiB")));
    }
    Ok(Some(
        String::from_utf8(bytes).map_err(|_| "the line is not UTF-8"),
    ))
}

/// How many lines are read ahead.
const AHEAD: usize = 16;
const LONGEST: u64 = 64 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_has_its_turn() {
        let mut input: &[u8] = b"short\n0123456789\nbad \xff\n\nlast";
        let mut lines = Vec::new();
        while let Some(line) = next(&mut input, 8).unwrap() {
            lines.push(line.ok());
        }
        let said = |text: &str| Some(text.to_owned());
        assert_eq!(
            lines,
            [said("short\n"), None, None, said("\n"), said("last")]
        );
    }
}
