//! Many keys changed together.

use std::future::ready;
use std::sync::Arc;
use std::time::Duration;

use jetcache_core::{Cached, Call, Error, Load, LoadError, Loads, Reach};

use crate::behaviour::stage::face::Faced;
use crate::behaviour::stage::{Case, Cases, Stage, value};

pub(crate) const CASES: Cases<Case> = &[
    ("many_values_are_inserted_and_removed_together", |s| {
        Box::pin(changes(s))
    }),
    ("a_value_that_cannot_be_stored_holds_up_no_other", |s| {
        Box::pin(unstorable(s))
    }),
    ("values_of_a_batch_keep_their_own_times", |s| {
        Box::pin(own_times(s))
    }),
];

async fn changes(stage: &Stage) {
    let (node, other) = (stage.node(), stage.node());
    let entries = [("a", "1"), ("b", "2"), ("a", "3")];
    let entries = entries.map(|(key, text)| (key.to_string(), value(text)));
    let reached = node.insert_many(entries).await;
    let reached: Vec<_> = reached
        .into_iter()
        .map(|(key, r)| (key, r.unwrap()))
        .collect();
    let everywhere = |key: &str| (key.to_string(), Reach::Everywhere);
    assert_eq!(reached, ["a", "b", "a"].map(everywhere));
    for node in [&node, &other] {
        let known = node.get_many(["a", "b"]).await;
        let known: Vec<_> = known.into_iter().map(|(_, cached)| cached.hit()).collect();
        assert_eq!(known, [Some(value("3")), Some(value("2"))]);
    }
    let reached = node.invalidate_many(["a", "never", "a"]).await;
    let reached: Vec<_> = reached.into_iter().collect();
    assert_eq!(
        reached,
        ["a", "never", "a"].map(|key| (key, Reach::Everywhere))
    );
    assert_eq!(node.get("a").await, Cached::Miss);
    assert_eq!(node.get("b").await, Cached::Hit(value("2")));
    let refused = node
        .insert_many_with([("a".to_string(), value("4"))], &Call::new().no_store())
        .await;
    assert!(matches!(refused.into_values(), Err(Error::Config(_))));
    stage.until_quiet(&node).await;
}

async fn unstorable(stage: &Stage) {
    let node = stage.builder().max_value_size(100).build().unwrap().faced();
    let big = value(&"x".repeat(200));
    let mut entries: Vec<_> = (0..100).map(|i| (i.to_string(), value("small"))).collect();
    entries[17].1 = Arc::clone(&big);
    entries[18].0 = "18#lease".into();
    let reached = node.insert_many(entries).await;
    let failed: Vec<_> = reached.errors().collect();
    assert_eq!(failed.len(), 2);
    assert!(matches!(failed[0], (key, Error::TooLarge { limit: 100, .. }) if key == "17"));
    assert!(matches!(failed[1], (key, Error::Key(_)) if key == "18#lease"));
    let keys: Vec<String> = (0..100).map(|i| i.to_string()).collect();
    assert_eq!(stage.node().get_many(&keys).await.hits().count(), 98);

    // A loaded value is answered, and stays in L1.
    let batch = node
        .get_many_or_load(["17", "18", "18#lease"], |ids: Vec<String>| {
            let row = |id: String| (id, Arc::clone(&big));
            ready(Ok(ids.into_iter().map(row).collect::<Vec<_>>()))
        })
        .await;
    let answers: Vec<_> = batch.into_iter().map(|(_, answer)| answer).collect();
    assert_eq!(answers[0].as_ref().unwrap(), &Some(Arc::clone(&big)));
    assert_eq!(answers[1].as_ref().unwrap(), &Some(Arc::clone(&big)));
    assert_eq!(answers[2].as_ref().unwrap(), &Some(Arc::clone(&big)));
    assert_eq!(node.stats().too_large, 2);
    assert!(node.peek("17").is_hit());
    assert_eq!(stage.node().get("17").await, Cached::Miss);
    stage.until_quiet(&node).await;
}

async fn own_times(stage: &Stage) {
    let node = stage.builder().no_local().build().unwrap().faced();
    let batch = node
        .get_many_or_load(["short", "long", "never", "x"], async |_| {
            let loads = Loads::new()
                .value(
                    "short".to_string(),
                    Load::from(value("1")).ttl(Duration::from_millis(40)),
                )
                .value("long".to_string(), value("2"))
                .value("never".to_string(), Load::from(value("3")).uncached())
                .value("nobody asked for this".to_string(), value("4"));
            Ok::<_, LoadError>(loads)
        })
        .await;
    assert_eq!(batch.into_values().unwrap().len(), 4);
    stage
        .until("the short one has ended", async || {
            node.get("short").await == Cached::Miss
        })
        .await;
    let known = node
        .get_many(["long", "never", "x", "nobody asked for this"])
        .await;
    let known: Vec<_> = known.into_iter().map(|(_, cached)| cached).collect();
    assert_eq!(
        known,
        [
            Cached::Hit(value("2")),
            Cached::Miss,
            Cached::Absent,
            Cached::Miss,
        ]
    );
    stage.until_quiet(&node).await;
}
