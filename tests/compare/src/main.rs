//! jetcache beside the bare engine, the bare client and other caches: tables of ratios.
//!
//! ```text
//! cargo run --release                      all tables, in a few minutes
//! cargo run --release -- full              the same with more rounds, for half an hour
//! cargo run --release -- hits l2           these tables alone
//! cargo run --release -- traces=FOLDER     with recorded traces (or JETCACHE_TRACES=FOLDER)
//! cargo run --release -- out=FOLDER        results.md and the plots go there (or into results/)
//! ```
//!
//! It starts a redis-server of its own. See README.md.

mod keys;
mod measure;
mod plot;
mod remote;
mod report;
mod stock;
mod tables;
mod traces;

use std::path::PathBuf;

use jetcache_tests::redis_server::RedisServer;

use crate::report::Report;
use crate::tables::{ALL, Stage, fill_one};

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [fill, name, entries] = arguments.as_slice()
        && fill == "fill"
    {
        return fill_one(name, entries.parse().expect("a number of entries"));
    }
    let given = |name: &str| {
        let value = |argument: &String| {
            argument
                .strip_prefix(name)?
                .strip_prefix('=')
                .map(PathBuf::from)
        };
        arguments.iter().find_map(value)
    };
    let names: Vec<&String> = arguments
        .iter()
        .filter(|name| *name != "full" && !name.contains('='))
        .collect();
    if let Some(unknown) = names
        .iter()
        .find(|name| ALL.iter().all(|(table, _)| *table != name.as_str()))
    {
        let tables: Vec<&str> = ALL.iter().map(|(name, _)| *name).collect();
        eprintln!(
            "there is no table {unknown}; there are: full, {}",
            tables.join(", ")
        );
        std::process::exit(2);
    }
    let full = arguments.iter().any(|argument| argument == "full");

    let server = RedisServer::start();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime starts");
    let _inside = runtime.enter();
    let tiers = runtime.block_on(async {
        let tiers = remote::tiers(&server.url(), 10_000).await;
        for key in keys::texts(1000) {
            let strategy = multi_tier_cache::CacheStrategy::LongTerm;
            let set =
                tiers
                    .cache_manager()
                    .set_with_strategy(&key, vec![b'x'; 100].into(), strategy);
            set.await.expect("Redis answers");
        }
        tiers
    });
    let folder =
        given("out").unwrap_or_else(|| concat!(env!("CARGO_MANIFEST_DIR"), "/results").into());
    let head = "# jetcache compared\n\nMedians of rounds in which all take turns; ratios are taken round by round, and \
                the range is that of the ratios. Absolute figures are this machine's, at this hour.";
    let mut report = Report::new(&folder, head);
    let mut stage = Stage {
        runtime: &runtime,
        url: &server.url(),
        tiers: &tiers,
        report: &mut report,
        traces: given("traces").or_else(|| std::env::var_os("JETCACHE_TRACES").map(PathBuf::from)),
        full,
    };
    for (name, table) in ALL {
        if names.is_empty() || names.iter().any(|wanted| wanted.as_str() == name) {
            table(&mut stage);
        }
    }
}
