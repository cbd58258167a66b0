//! One node, asked for its metrics over HTTP.

use std::collections::{BTreeSet, HashMap};
use std::time::{Duration, Instant};

use ureq::Agent;

use crate::failure::Failure;
use crate::top::exposition::{Sample, parse};

/// A node and where its metrics are.
pub(crate) struct Node {
    /// Host and port.
    pub(crate) name: String,
    url: String,
    agent: Agent,
}

/// The figures of a node at one moment.
pub(crate) struct Scrape {
    pub(crate) at: Instant,
    by_cache: HashMap<String, Vec<Sample>>,
}

impl Node {
    /// # Errors
    /// [`Failure::Usage`] for what is no URL of plain HTTP.
    pub(crate) fn of(url: &str, timeout: Duration) -> Result<Self, Failure> {
        let rest = url.strip_prefix("http://").unwrap_or(url);
        if rest.contains("://") || rest.is_empty() || rest.starts_with('/') {
            return Err(Failure::Usage(format!(
                "`{url}` is no URL of metrics: give http://HOST:PORT/metrics"
            )));
        }
        let (name, path) = match rest.split_once('/') {
            Some((name, path)) if !path.is_empty() => (name, path),
            Some((name, _)) => (name, "metrics"),
            None => (rest, "metrics"),
        };
        let agent = Agent::config_builder().timeout_global(Some(timeout));
        Ok(Self {
            name: name.to_owned(),
            url: format!("http://{name}/{path}"),
            agent: agent.build().into(),
        })
    }

    /// # Errors
    /// Why there are none.
    pub(crate) fn scrape(&self) -> Result<Scrape, String> {
        let answer = self.agent.get(&self.url).call();
        let mut answer = answer.map_err(|error| error.to_string())?;
        let at = Instant::now();
        let body = answer.body_mut().with_config().limit(LONGEST);
        let text = body.read_to_string().map_err(|error| error.to_string())?;
        let mut by_cache: HashMap<String, Vec<Sample>> = HashMap::new();
        for sample in parse(&text) {
            if let Some(cache) = sample.labels.get("cache")
                && sample.name.starts_with("jetcache_")
            {
                by_cache.entry(cache.clone()).or_default().push(sample);
            }
        }
        Ok(Scrape { at, by_cache })
    }
}

impl Scrape {
    pub(crate) fn caches(&self) -> BTreeSet<String> {
        self.by_cache.keys().cloned().collect()
    }

    /// A figure of a cache; several of one name are added up.
    pub(crate) fn figure(&self, cache: &str, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
        let samples = self.by_cache.get(cache)?;
        let is_it = |sample: &&Sample| {
            sample.name == name
                && labels
                    .iter()
                    .all(|(label, value)| sample.labels.get(*label).is_some_and(|is| is == value))
        };
        let mut values = samples.iter().filter(is_it).map(|sample| sample.value);
        let first = values.next()?;
        Some(first + values.sum::<f64>())
    }
}

/// How long an answer may be, in bytes.
const LONGEST: u64 = 16 << 20;
