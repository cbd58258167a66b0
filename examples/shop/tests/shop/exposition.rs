//! A strict reader of Prometheus' text format, version 0.0.4: what a scraper may rely on, it demands.
//! (The crates that read it skip what they do not understand.)

use std::collections::{BTreeMap, BTreeSet};

/// What a scrape says.
#[derive(Debug, Default)]
pub(crate) struct Exposition {
    kinds: BTreeMap<String, String>,
    samples: BTreeMap<Series, f64>,
}

/// A name and its labels.
type Series = (String, BTreeMap<String, String>);

impl Exposition {
    /// Reads it.
    ///
    /// # Panics
    /// At whatever is not as the format has it.
    pub(crate) fn read(text: &str) -> Self {
        assert!(text.ends_with('\n'), "the last line ends, too");
        let mut exposition = Self::default();
        let mut helped = BTreeSet::new();
        let mut family = String::new();
        let mut closed = BTreeSet::new();
        for line in text.lines().filter(|line| !line.is_empty()) {
            let next = if let Some(rest) = line.strip_prefix("# HELP ") {
                let (name, help) = rest.split_once(' ').expect(line);
                assert!(helped.insert(name.to_owned()), "two helps: {line}");
                assert_ne!(help.trim(), "", "an empty help: {line}");
                name.to_owned()
            } else if let Some(rest) = line.strip_prefix("# TYPE ") {
                let (name, kind) = rest.split_once(' ').expect(line);
                assert!(["counter", "gauge", "histogram"].contains(&kind), "{line}");
                let kind = exposition.kinds.insert(name.into(), kind.into());
                assert_eq!(kind, None, "two types: {line}");
                name.to_owned()
            } else {
                let (series, value) = sample(line);
                let family = exposition.family(&series.0).expect(line).to_owned();
                let again = exposition.samples.insert(series, value);
                assert_eq!(again, None, "twice: {line}");
                family
            };
            if next != family {
                assert!(!closed.contains(&next), "{next} is not in one piece");
                closed.insert(std::mem::replace(&mut family, next));
            }
        }
        exposition.check_counters();
        exposition.check_histograms();
        exposition
    }

    /// The sum of the series of this name that have all of these labels.
    pub(crate) fn sum(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        let has = |have: &BTreeMap<String, String>| {
            let same = |(key, value): &(&str, &str)| have.get(*key).is_some_and(|v| v == value);
            labels.iter().all(same)
        };
        let series = self.samples.iter();
        let found = series.filter(|((of, have), _)| of == name && has(have));
        found.map(|(_, value)| value).sum()
    }

    /// The names of all families of this kind.
    pub(crate) fn families(&self, kind: &str) -> Vec<&str> {
        let kinds = self.kinds.iter().filter(|(_, of)| *of == kind);
        kinds.map(|(name, _)| name.as_str()).collect()
    }

    /// The family that a sample of this name belongs to.
    fn family<'n>(&self, name: &'n str) -> Option<&'n str> {
        let parts = ["_bucket", "_sum", "_count"].into_iter();
        let of_histogram = parts
            .filter_map(|part| name.strip_suffix(part))
            .find(|family| {
                self.kinds
                    .get(*family)
                    .is_some_and(|kind| kind == "histogram")
            });
        of_histogram.or_else(|| {
            let kind = self.kinds.get(name)?;
            (kind != "histogram").then_some(name)
        })
    }

    fn check_counters(&self) {
        for name in self.families("counter") {
            assert!(name.ends_with("_total"), "{name}");
        }
        for ((name, _), value) in &self.samples {
            assert!(*value >= 0.0 || value.is_nan(), "{name} is {value}");
        }
    }

    fn check_histograms(&self) {
        let mut buckets: BTreeMap<Series, Vec<(f64, f64)>> = BTreeMap::new();
        for ((name, labels), value) in &self.samples {
            if let Some(family) = name.strip_suffix("_bucket") {
                let mut labels = labels.clone();
                let bound = number(&labels.remove("le").expect(name));
                let series = (family.to_owned(), labels);
                buckets.entry(series).or_default().push((bound, *value));
            }
        }
        for ((name, labels), mut counts) in buckets {
            counts.sort_by(|a, b| a.0.total_cmp(&b.0));
            assert!(
                counts.is_sorted_by(|a, b| a.0 < b.0 && a.1 <= b.1),
                "{name}"
            );
            let (last, all) = counts[counts.len() - 1];
            assert_eq!(last, f64::INFINITY, "{name}");
            let part = |part: &str| self.samples.get(&(format!("{name}{part}"), labels.clone()));
            assert_eq!(part("_count"), Some(&all), "{name}");
            assert!(part("_sum").is_some(), "{name}");
        }
    }
}

/// `name{label="value"} number`
fn sample(line: &str) -> (Series, f64) {
    let end = line.find(['{', ' ']).expect(line);
    let name = &line[..end];
    assert!(is_name(name, true), "{line}");
    let mut labels = BTreeMap::new();
    let mut rest = &line[end..];
    if let Some(inner) = rest.strip_prefix('{') {
        rest = inner;
        while !rest.starts_with('}') {
            let (key, quoted) = rest.split_once("=\"").expect(line);
            assert!(is_name(key, false), "{line}");
            let (value, after) = unquoted(quoted);
            let again = labels.insert(key.to_owned(), value);
            assert_eq!(again, None, "{key} twice: {line}");
            rest = after.strip_prefix(',').unwrap_or(after);
            assert!(rest != after || after.starts_with('}'), "{line}");
        }
        rest = &rest[1..];
    }
    let value = rest.strip_prefix(' ').expect(line);
    ((name.to_owned(), labels), number(value))
}

/// A label's value, and what is behind its closing quote.
fn unquoted(text: &str) -> (String, &str) {
    let (mut value, mut chars) = (String::new(), text.char_indices());
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return (value, &text[at + 1..]),
            '\\' => match chars.next().map(|(_, c)| c) {
                Some('n') => value.push('\n'),
                Some(c @ ('"' | '\\')) => value.push(c),
                other => panic!("no such escape: {other:?}"),
            },
            c => value.push(c),
        }
    }
    panic!("a label without an end: {text}")
}

fn number(text: &str) -> f64 {
    text.parse().expect(text)
}

fn is_name(name: &str, colons: bool) -> bool {
    let inner = |c: char| c.is_ascii_alphanumeric() || c == '_' || (colons && c == ':');
    !name.is_empty() && name.chars().all(inner) && !name.starts_with(|c: char| c.is_ascii_digit())
}

#[test]
fn a_well_formed_text_is_read() {
    let text = "# HELP a_total What.\n# TYPE a_total counter\na_total{x=\"1\\\"}\",y=\"\"} 3\na_total 4\n\
                # HELP h How long.\n# TYPE h histogram\nh_bucket{le=\"1\"} 1\nh_bucket{le=\"+Inf\"} 2\nh_sum 3\nh_count 2\n";
    let exposition = Exposition::read(text);
    assert_eq!(exposition.sum("a_total", &[]), 7.0);
    assert_eq!(exposition.sum("a_total", &[("x", "1\"}")]), 3.0);
    assert_eq!(exposition.families("histogram"), ["h"]);
}

#[test]
fn an_ill_formed_text_is_refused() {
    for text in [
        "a 1\n",
        "# TYPE a gauge\na 1",
        "# TYPE a gauge\na one\n",
        "# TYPE a gauge\na{x=\"1} 1\n",
        "# TYPE a gauge\na{x=\"1\"y=\"2\"} 1\n",
        "# TYPE a gauge\na 1\na 1\n",
        "# TYPE a counter\na 1\n",
        "# TYPE a_total counter\na_total -1\n",
        "# TYPE a gauge\na 1\n# TYPE b gauge\nb 1\na{x=\"1\"} 1\n",
        "# TYPE h histogram\nh_bucket{le=\"1\"} 1\nh_sum 1\nh_count 1\n",
        "# TYPE h histogram\nh_bucket{le=\"1\"} 2\nh_bucket{le=\"+Inf\"} 1\nh_sum 1\nh_count 1\n",
    ] {
        let read = std::panic::catch_unwind(|| Exposition::read(text));
        assert!(read.is_err(), "{text}");
    }
}
