//! The text in which Prometheus is told of metrics, as far as gauges and counters need it.

use std::collections::BTreeMap;

/// A sample: `name{label="value",..} number`.
#[derive(Debug, PartialEq)]
pub(crate) struct Sample {
    pub(crate) name: String,
    pub(crate) labels: BTreeMap<String, String>,
    pub(crate) value: f64,
}

/// The samples of a text; lines that are none are overlooked.
pub(crate) fn parse(text: &str) -> Vec<Sample> {
    text.lines().filter_map(sample).collect()
}

fn sample(line: &str) -> Option<Sample> {
    let line = line.trim();
    if line.starts_with('#') {
        return None;
    }
    let end = line.find(|char: char| char == '{' || char.is_whitespace())?;
    let (name, rest) = line.split_at(end);
    let (labels, rest) = match rest.strip_prefix('{') {
        Some(rest) => labels(rest)?,
        None => (BTreeMap::new(), rest),
    };
    // A time may follow.
    let value = rest.split_whitespace().next()?.parse().ok()?;
    Some(Sample {
        name: name.to_owned(),
        labels,
        value,
    })
}

/// The labels, and what stands behind their brace.
fn labels(mut rest: &str) -> Option<(BTreeMap<String, String>, &str)> {
    let mut labels = BTreeMap::new();
    loop {
        rest = rest.trim_start_matches([',', ' ']);
        if let Some(rest) = rest.strip_prefix('}') {
            return Some((labels, rest));
        }
        let (name, behind) = rest.split_once("=\"")?;
        let mut value = String::new();
        let mut chars = behind.char_indices();
        loop {
            match chars.next()?.1 {
                '"' => break,
                '\\' => match chars.next()?.1 {
                    'n' => value.push('\n'),
                    other => value.push(other),
                },
                other => value.push(other),
            }
        }
        rest = chars.as_str();
        labels.insert(name.trim().to_owned(), value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_are_read_and_the_rest_is_overlooked() {
        let text =
            "# HELP a b\n\na{x=\"1\\\"}\\n\\\\\", y=\"ü\",} 2.5 1700000000\nb 3\nc\nd{ 4\ne nan\n";
        let samples = parse(text);
        let names: Vec<&str> = samples.iter().map(|sample| &*sample.name).collect();
        assert_eq!(names, ["a", "b", "e"]);
        assert_eq!(samples[0].labels["x"], "1\"}\n\\");
        assert_eq!(samples[0].labels["y"], "ü");
        assert_eq!((samples[0].value, samples[1].value), (2.5, 3.0));
    }
}
