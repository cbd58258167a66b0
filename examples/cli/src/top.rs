//! `jetcache top`: the nodes of a service, live.

mod exposition;
mod rates;
mod scrape;

use std::io::{IsTerminal, Write, stdout};
use std::thread;

use crate::args::Top;
use crate::failure::Failure;
use crate::top::rates::Row;
use crate::top::scrape::{Node, Scrape};

pub(crate) fn run(options: &Top) -> Result<(), Failure> {
    let nodes: Result<Vec<Node>, Failure> = options
        .urls
        .iter()
        .map(|url| Node::of(url, options.timeout))
        .collect();
    let nodes = nodes?;
    let mut before = scrape_all(&nodes);
    loop {
        thread::sleep(options.every);
        let now = scrape_all(&nodes);
        let mut table = String::new();
        if !options.once && stdout().is_terminal() {
            // Home, and whatever stood there is cleared.
            table += "\x1b[H\x1b[2J";
        }
        table += HEAD;
        for ((node, before), now) in nodes.iter().zip(&before).zip(&now) {
            for line in lines(&node.name, before, now) {
                table += &line;
                table.push('\n');
            }
        }
        let mut out = stdout().lock();
        out.write_all(table.as_bytes())?;
        out.flush()?;
        drop(out);
        if options.once {
            return match now.iter().all(Result::is_err) {
                true => Err(Failure::failed("no node answers")),
                false => Ok(()),
            };
        }
        before = now;
    }
}

/// All nodes at once: one that hangs keeps nobody.
fn scrape_all(nodes: &[Node]) -> Vec<Result<Scrape, String>> {
    thread::scope(|scope| {
        let scrapes: Vec<_> = nodes
            .iter()
            .map(|node| scope.spawn(|| node.scrape()))
            .collect();
        let joined = scrapes.into_iter().map(|scrape| {
            let gone = |_| Err("the scrape panicked".to_owned());
            scrape.join().unwrap_or_else(gone)
        });
        joined.collect()
    })
}

fn lines(node: &str, before: &Result<Scrape, String>, now: &Result<Scrape, String>) -> Vec<String> {
    let now = match now {
        Ok(now) => now,
        Err(why) => return vec![format!("{node:<24} down: {why}")],
    };
    // A node that has just come shows its levels, and no rates.
    let before = before.as_ref().ok();
    let caches = now.caches();
    if caches.is_empty() {
        return vec![format!("{node:<24} has no metrics of jetcache")];
    }
    let row = |cache: &String| Row::of(cache, before, now).line(node);
    caches.iter().map(row).collect()
}

const HEAD: &str = "\
node                     cache            lookups/s   L1 %   L2 %   loads/s  failed/s  faults/s  breaker    bus    entries  flights
";
