//! A line's tokens, taken one by one.

use std::str::FromStr;
use std::time::Duration;

/// What is left of a line.
#[derive(Clone, Debug)]
pub(crate) struct Words<'a>(&'a str);

/// A token: text, which means nothing but itself if it was quoted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Word {
    pub(crate) text: String,
    pub(crate) quoted: bool,
}

impl<'a> Words<'a> {
    pub(crate) fn of(line: &'a str) -> Self {
        Self(line.trim_ascii())
    }

    /// Takes the background mark `& `, if the line starts with it.
    pub(crate) fn take_mark(&mut self) -> bool {
        let rest = self.0.strip_prefix('&');
        match rest.filter(|rest| rest.starts_with([' ', '\t'])) {
            Some(rest) => {
                self.0 = rest.trim_ascii_start();
                true
            }
            None => false,
        }
    }

    /// Takes the namespace `@NS `, if it comes next.
    pub(crate) fn take_namespace(&mut self) -> Result<Option<String>, String> {
        let Some(rest) = self.0.strip_prefix('@') else {
            return Ok(None);
        };
        if rest.is_empty() || rest.starts_with(BLANKS) {
            return Err("the namespace is missing after @".into());
        }
        self.0 = rest;
        self.text("the namespace").map(Some)
    }

    /// The next token, which the command calls `name`.
    pub(crate) fn word(&mut self, name: &str) -> Result<Word, String> {
        self.next()?.ok_or_else(|| format!("{name} is missing"))
    }

    pub(crate) fn text(&mut self, name: &str) -> Result<String, String> {
        Ok(self.word(name)?.text)
    }

    pub(crate) fn number<T: FromStr>(&mut self, name: &str) -> Result<T, String> {
        number(name, &self.text(name)?)
    }

    pub(crate) fn millis(&mut self, name: &str) -> Result<Duration, String> {
        millis(name, &self.text(name)?)
    }

    /// The same where the line may end before it.
    pub(crate) fn optional_millis(&mut self, name: &str) -> Result<Option<Duration>, String> {
        let word = self.next()?;
        word.map(|word| millis(name, &word.text)).transpose()
    }

    /// Refuses what is left over.
    pub(crate) fn end(self) -> Result<(), String> {
        if self.0.is_empty() {
            Ok(())
        } else {
            Err("the line goes on after its last argument".into())
        }
    }

    fn next(&mut self) -> Result<Option<Word>, String> {
        if self.0.is_empty() {
            return Ok(None);
        }
        let quoted = self.0.starts_with('"');
        let (text, rest) = if quoted {
            unquote(self.0)?
        } else {
            let end = self.0.find(BLANKS).unwrap_or(self.0.len());
            let (text, rest) = self.0.split_at(end);
            (text.to_owned(), rest)
        };
        self.0 = rest.trim_ascii_start();
        Ok(Some(Word { text, quoted }))
    }
}

pub(crate) fn number<T: FromStr>(name: &str, text: &str) -> Result<T, String> {
    text.parse().map_err(|_| {
        let range = std::any::type_name::<T>();
        format!("{name} must be a whole number that fits {range}, not {text:?}")
    })
}

pub(crate) fn millis(name: &str, text: &str) -> Result<Duration, String> {
    number(name, text).map(Duration::from_millis)
}

/// The JSON string at the start of `line`, and what follows it.
fn unquote(line: &str) -> Result<(String, &str), String> {
    let mut values = serde_json::Deserializer::from_str(line).into_iter::<String>();
    let text = match values.next() {
        Some(Ok(text)) => text,
        Some(Err(error)) => return Err(format!("not a JSON string: {error}")),
        None => return Err("not a JSON string".into()),
    };
    let rest = line.get(values.byte_offset()..).unwrap_or_default();
    if rest.is_empty() || rest.starts_with(BLANKS) {
        Ok((text, rest))
    } else {
        Err("a blank is missing after a quoted token".into())
    }
}

const BLANKS: [char; 4] = [' ', '\t', '\r', '\x0c'];

#[cfg(test)]
mod tests {
    use super::*;

    fn all(line: &str) -> Result<Vec<Word>, String> {
        let mut words = Words::of(line);
        let mut taken = Vec::new();
        while let Some(word) = words.next()? {
            taken.push(word);
        }
        Ok(taken)
    }

    fn plain(text: &str) -> Word {
        Word {
            text: text.into(),
            quoted: false,
        }
    }

    fn quoted(text: &str) -> Word {
        Word {
            text: text.into(),
            quoted: true,
        }
    }

    #[test]
    fn blanks_separate_and_quotes_join() {
        assert_eq!(
            all("  get\t a\"b \"c d\"  \"\" \"\\u00e9\\n\" \r"),
            Ok(vec![
                plain("get"),
                plain("a\"b"),
                quoted("c d"),
                quoted(""),
                quoted("é\n"),
            ])
        );
        assert_eq!(all(""), Ok(vec![]));
    }

    #[test]
    fn a_broken_quote_is_an_error() {
        for line in [
            "\"",
            "get \"a",
            "\"a\"b",
            "\"\\ud800\"",
            "\"\\x\"",
            "\"a\"\"b\"",
        ] {
            assert!(all(line).is_err(), "{line}");
        }
    }

    #[test]
    fn a_namespace_begins_with_its_sign() {
        let taken = |line: &'static str| {
            let mut words = Words::of(line);
            let namespace = words.take_namespace();
            namespace.map(|namespace| (namespace, words.0))
        };
        assert_eq!(taken("get k"), Ok((None, "get k")));
        assert_eq!(taken("\"@ns\" k"), Ok((None, "\"@ns\" k")));
        assert_eq!(taken("@ns  get k"), Ok((Some("ns".into()), "get k")));
        assert_eq!(taken("@\"a b\" get"), Ok((Some("a b".into()), "get")));
        assert_eq!(taken("@ns"), Ok((Some("ns".into()), "")));
        for line in ["@", "@ get k", "@\"a", "@\"a\"b"] {
            assert!(taken(line).is_err(), "{line}");
        }
    }

    #[test]
    fn the_mark_needs_its_blank() {
        for (line, marked) in [("& get a", true), ("&\tget a", true), ("&get a", false)] {
            assert_eq!(Words::of(line).take_mark(), marked, "{line}");
        }
    }
}
