//! Loads that ask for the lease at once, since L2 rarely has what they look for (PROTOCOL.md, R7).

use std::collections::HashMap;

use jetcache_core::machine::policy::LeaseFirst;
use jetcache_core::{Call, LoadError};

use crate::behaviour::stage::face::Faced;
use crate::behaviour::stage::{Case, Cases, Node, Stage, Value, brings, nobody, value};

pub(crate) const OWN_REDIS: Cases<Case> = &[
    (
        "where_nothing_is_found_a_cold_key_makes_two_round_trips",
        |s| Box::pin(learnt(s)),
    ),
    (
        "what_a_lease_that_was_asked_for_first_shows_is_answered",
        |s| Box::pin(found(s)),
    ),
    ("of_a_batch_only_what_is_missing_is_loaded", |s| {
        Box::pin(batch(s))
    }),
    ("who_finds_something_reads_first_again", |s| {
        Box::pin(back(s))
    }),
];

/// A node whose loads ask for the lease at once, as long as no more than one look in so many is answered.
fn hasty(stage: &Stage, one_in: u8) -> Node {
    let builder = stage.builder().lease_first(LeaseFirst { after: 0, one_in });
    builder.build().unwrap().faced()
}

/// How often the server was sent this command.
fn calls(stage: &Stage, command: &str) -> u64 {
    let stats = stage.server().cli(&["INFO", "commandstats"]);
    let name = format!("cmdstat_{command}:calls=");
    let rest = stats.lines().find_map(|line| line.strip_prefix(&*name));
    let count = rest.and_then(|rest| rest.split(',').next());
    count.map_or(0, |count| count.parse().unwrap())
}

fn forget_calls(stage: &Stage) {
    assert_eq!(stage.server().cli(&["CONFIG", "RESETSTAT"]), "OK");
}

async fn no_lease_stays(stage: &Stage, id: &str) {
    let lease = format!("{{{}}}#lease", stage.key(id));
    stage
        .until("the lease is given back", async || {
            stage.server().cli(&["TTL", &lease]) == "-2"
        })
        .await;
}

async fn learnt(stage: &Stage) {
    let node = stage.node();
    // So many that each of the shards, of which a large machine has 64, has seen 64 of them.
    let keys: Vec<String> = (0..10_000).map(|key| key.to_string()).collect();
    let loader = async |keys: Vec<String>| {
        let loaded = keys.into_iter().map(|key| (key, value("new")));
        Ok::<Vec<(String, Value)>, LoadError>(loaded.collect())
    };
    for (key, answer) in node.get_many_or_load(&keys, loader).await {
        assert_eq!(answer.unwrap(), Some(value("new")), "{key}");
    }
    forget_calls(stage);
    for key in 0..300 {
        let key = format!("cold-{key}");
        let loaded = node.get_or_load(&key, brings("new")).await.unwrap();
        assert_eq!(loaded, Some(value("new")));
    }
    // A look a lease, and one at it in each fill; and once a second each shard reads all the same. With a
    // read for each load there would be 900.
    let looks = calls(stage, "mget");
    assert!((600..800).contains(&looks), "{looks} looks");
    let stats = node.stats();
    let counted = (stats.remote_misses, stats.misses, stats.loads);
    assert_eq!(counted, (10_300, 10_300, 10_300));
    assert_eq!((stats.remote_hits, stats.remote_faults), (0, 0));
}

async fn found(stage: &Stage) {
    let (node, other) = (hasty(stage, 1), stage.node());
    other.insert("key".into(), value("there")).await.unwrap();
    forget_calls(stage);
    let answer = node.get_or_load("key", nobody).await.unwrap();
    assert_eq!(answer, Some(value("there")));
    assert_eq!(calls(stage, "set"), 1, "it asked for the lease");
    let stats = node.stats();
    assert_eq!((stats.remote_hits, stats.remote_misses), (1, 0));
    assert_eq!((stats.misses, stats.loads), (0, 0));
    assert!(node.peek("key").is_hit());
    no_lease_stays(stage, "key").await;
}

async fn batch(stage: &Stage) {
    let (node, other) = (hasty(stage, 1), stage.node());
    for id in ["0", "2", "4"] {
        other.insert(id.into(), value("there")).await.unwrap();
    }
    let ids = ["0", "1", "2", "3", "4"].map(str::to_owned);
    let loader = async |keys: Vec<String>| {
        assert_eq!(keys, ["1", "3"]);
        let loaded = keys.into_iter().map(|key| (key, value("new")));
        Ok::<HashMap<String, Value>, LoadError>(loaded.collect())
    };
    for (id, answer) in node.get_many_or_load(&ids, loader).await {
        let odd = id == "1" || id == "3";
        let text = if odd { "new" } else { "there" };
        assert_eq!(answer.unwrap(), Some(value(text)), "{id}");
    }
    let stats = node.stats();
    assert_eq!((stats.remote_hits, stats.remote_misses), (3, 2));
    for id in ids {
        no_lease_stays(stage, &id).await;
    }
}

async fn back(stage: &Stage) {
    let (node, other) = (hasty(stage, 16), stage.node());
    other.insert("key".into(), value("there")).await.unwrap();
    let answer = node.get_or_load("key", nobody).await.unwrap();
    assert_eq!(answer, Some(value("there")));
    no_lease_stays(stage, "key").await;
    forget_calls(stage);
    let again = Call::new().skip_local();
    let answer = node.get_or_load_with("key", &again, nobody).await.unwrap();
    assert_eq!(answer, Some(value("there")));
    assert_eq!((calls(stage, "set"), calls(stage, "mget")), (0, 1));
}
