//! The parts of a key's text. Tuples are written with it, and what derives `Key`.

use alloc::string::String;
use alloc::vec;
use alloc::vec::{IntoIter, Vec};
use core::fmt::{self, Write};
use core::str::FromStr;

/// Writes the parts' texts joined by `:`; a `:` or `\` inside a part is written `\:` or `\\`.
#[derive(Debug)]
pub struct Writer<'a> {
    out: &'a mut String,
    first: bool,
}

impl<'a> Writer<'a> {
    /// At the end of this text.
    pub const fn new(out: &'a mut String) -> Self {
        Self { out, first: true }
    }

    /// One more part.
    pub fn part(&mut self, write: impl FnOnce(&mut String)) {
        let mut text = String::new();
        write(&mut text);
        self.text(&text);
    }

    /// One more part, as text.
    pub fn text(&mut self, text: &str) {
        if !core::mem::take(&mut self.first) {
            self.out.push(':');
        }
        for c in text.chars() {
            if matches!(c, ':' | '\\') {
                self.out.push('\\');
            }
            self.out.push(c);
        }
    }
}

/// Reads the parts back, as they were before they were written.
#[derive(Debug)]
pub struct Reader(IntoIter<String>);

impl Reader {
    /// Of a text; `None` if it ends in the middle of a part.
    #[must_use]
    pub fn new(text: &str) -> Option<Self> {
        let mut parts: Vec<String> = vec![String::new()];
        let mut chars = text.chars();
        while let Some(c) = chars.next() {
            match c {
                ':' => parts.push(String::new()),
                '\\' => parts.last_mut()?.push(chars.next()?),
                c => parts.last_mut()?.push(c),
            }
        }
        Some(Self(parts.into_iter()))
    }

    /// The text of the next part.
    pub fn next_text(&mut self) -> Option<String> {
        self.0.next()
    }

    /// `None` unless the next part is this one.
    pub fn expect(&mut self, text: &str) -> Option<()> {
        (self.next_text()? == text).then_some(())
    }

    /// `None` if there are more.
    pub fn end(&mut self) -> Option<()> {
        self.0.next().is_none().then_some(())
    }
}

/// The text of a value, by its `Display`.
#[must_use]
pub fn text_of(value: &impl fmt::Display) -> String {
    let mut text = String::new();
    // Writing to a String fails only if the value's own Display does; what it wrote stands.
    let _ = write!(text, "{value}");
    text
}

/// What has this text, by its `FromStr`.
#[must_use]
pub fn parse_text<T: FromStr>(text: &str) -> Option<T> {
    text.parse().ok()
}
