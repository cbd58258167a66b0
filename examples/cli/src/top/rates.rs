//! What happened between two scrapes of a node, cache by cache.

use crate::top::scrape::Scrape;

/// A line of the table. What a node does not say is `None`.
pub(crate) struct Row<'a> {
    cache: &'a str,
    lookups: Option<f64>,
    /// The part of all lookups that each level answered.
    hits: [Option<f64>; 2],
    loads: Option<f64>,
    failed: Option<f64>,
    faults: Option<f64>,
    breaker: &'static str,
    bus: &'static str,
    entries: Option<f64>,
    flights: Option<f64>,
}

impl<'a> Row<'a> {
    pub(crate) fn of(cache: &'a str, before: Option<&Scrape>, now: &Scrape) -> Self {
        let rate = |name: &str, labels: &[(&str, &str)]| {
            let before = before?;
            let grown = now.figure(cache, name, labels)?
                - before.figure(cache, name, labels).unwrap_or(0.0);
            let span = now.at.saturating_duration_since(before.at).as_secs_f64();
            // A node that has started anew counts from zero.
            (grown >= 0.0 && span > 0.0).then(|| grown / span)
        };
        let hit = |level| {
            let labels = [("level", level), ("outcome", "hit")];
            rate("jetcache_lookups_total", &labels)
        };
        let (near, far) = (hit("l1"), hit("l2"));
        let misses = rate("jetcache_misses_total", &[]);
        let lookups = [near, far, misses]
            .into_iter()
            .flatten()
            .reduce(|a, b| a + b);
        let part = |hits: Option<f64>| {
            let lookups = lookups.filter(|lookups| *lookups > 0.0)?;
            Some(hits? / lookups * 100.0)
        };
        let loads = |outcome| rate("jetcache_loads_total", &[("outcome", outcome)]);
        let level = |name: &str| now.figure(cache, name, &[]);
        Self {
            cache,
            lookups,
            hits: [part(near), part(far)],
            loads: loads("ok"),
            failed: loads("failed"),
            faults: rate("jetcache_remote_faults_total", &[]),
            breaker: state(
                level("jetcache_breaker_state"),
                &["closed", "half-open", "open"],
            ),
            bus: state(level("jetcache_bus_state"), &["none", "idle", "up", "down"]),
            entries: level("jetcache_entries"),
            flights: level("jetcache_flights"),
        }
    }

    pub(crate) fn line(&self, node: &str) -> String {
        let [near, far] = self.hits;
        format!(
            "{node:<24} {:<16} {:>9} {:>6} {:>6} {:>9} {:>9} {:>9}  {:<9}  {:<5} {:>8} {:>8}",
            self.cache,
            one_place(self.lookups),
            one_place(near),
            one_place(far),
            one_place(self.loads),
            one_place(self.failed),
            one_place(self.faults),
            self.breaker,
            self.bus,
            whole(self.entries),
            whole(self.flights),
        )
    }
}

fn one_place(figure: Option<f64>) -> String {
    figure.map_or("-".into(), |figure| format!("{figure:.1}"))
}

fn whole(figure: Option<f64>) -> String {
    figure.map_or("-".into(), |figure| format!("{figure:.0}"))
}

/// The name of a state by its number.
fn state(number: Option<f64>, names: &[&'static str]) -> &'static str {
    let at = |number: f64| (0..names.len()).find(|at| *at as f64 == number);
    number.and_then(at).map_or("-", |at| names[at])
}
