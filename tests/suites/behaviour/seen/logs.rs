//! What the log says, in fields that programs can read; and the spans of whoever traces.

use std::time::{Duration, Instant};

use jetcache_adapters::{Faults, Faulty, Memory, Raw};
use jetcache_core::PausedClock;
use jetcache_tokio::Tokio;

use crate::behaviour::stage::face::Faced;
use crate::behaviour::stage::{Case, Cases, Host, Log, Stage, brings, nobody};

pub(crate) const CASES: Cases<Case> = &[
    (
        "the_table_has_fields_and_is_silent_while_nothing_happens",
        |s| Box::pin(table(s)),
    ),
    ("loads_and_round_trips_have_spans", |s| Box::pin(spans(s))),
    ("a_value_that_cannot_be_kept_is_named_by_its_key", |s| {
        Box::pin(too_large(s))
    }),
];

pub(crate) const ALONE: Cases<fn()> = &[("an_outage_that_lasts_is_told_each_minute", outage)];

pub(crate) const OWN_REDIS: Cases<Case> = &[("a_fault_is_a_field", |s| Box::pin(fault(s)))];

async fn table(stage: &Stage) {
    let log = Log::capture();
    let (builder, name) = stage.builder_alone();
    let node = builder.stats_every(Duration::from_millis(20)).build();
    let node = node.unwrap();
    node.get_or_load("key", brings("one")).await.unwrap();
    let fields = format!("cache=\"{name}\" period_seconds=0.02");
    let logged = || log.count(&fields);
    // One period may end while the load is under way.
    let table = || {
        log.lines(&fields)
            .into_iter()
            .find(|line| line.contains(" loads=1"))
    };
    stage
        .until("a table with the load is logged", async || {
            table().is_some()
        })
        .await;
    let line = table().unwrap();
    for field in ["breaker=closed", "remote_faults=0"] {
        assert!(line.contains(field), "{field}: {line}");
    }
    assert!(
        log.lines(&fields)
            .iter()
            .any(|line| line.contains(" misses=1"))
    );
    // The lease may be given back a moment later, which counts; then there is nothing to say.
    let quiet = async || node.activity() == Default::default();
    stage.until("nothing is under way", quiet).await;
    stage.host().sleep(Duration::from_millis(60)).await;
    let before = logged();
    stage.host().sleep(Duration::from_millis(200)).await;
    assert_eq!(logged(), before);
    node.get_or_load("key", nobody).await.unwrap();
    stage
        .until("another table is logged", async || logged() > before)
        .await;
    node.close().await;
}

async fn spans(stage: &Stage) {
    let (builder, name) = stage.builder_alone();
    let node = builder.build().unwrap().faced();
    let (trace, here) = Log::trace();
    // Polled on this thread, which is the one that traces.
    node.get_or_load("key", brings("one")).await.unwrap();
    drop(here);
    let load = format!("jetcache.load{{cache=\"{name}\"}}: jetcache: new");
    assert_eq!(trace.count(&load), 1, "{}", trace.text());
    for verb in ["lease", "fill"] {
        let trip = format!("jetcache.l2{{cache=\"{name}\" verb=\"{verb}\" keys=1}}: jetcache: new");
        assert_eq!(trace.count(&trip), 1, "{}", trace.text());
    }
    node.close().await;
}

async fn too_large(stage: &Stage) {
    let log = Log::capture();
    let (builder, name) = stage.builder_alone();
    let node = builder.max_value_size(10).build().unwrap().faced();
    let long = brings("longer than ten bytes");
    node.get_or_load("long", long).await.unwrap();
    let line = log.line(&format!("a value of {name}: ")).unwrap();
    let fields = format!("cache=\"{name}\" key=\"{name}:long\" fault=");
    assert!(line.contains(&fields), "{line}");
    node.close().await;
}

async fn fault(stage: &Stage) {
    let log = Log::capture();
    let (builder, name) = stage.builder_alone();
    let node = builder.build().unwrap().faced();
    stage.server().kill();
    node.get_or_load("key", brings("one")).await.unwrap();
    let line = log.line(&format!("L2 of {name}: ")).unwrap();
    assert!(line.contains(" WARN jetcache: "), "{line}");
    let fields = format!("cache=\"{name}\" fault=not reachable: ");
    assert!(line.contains(&fields), "{line}");
    for number in 0..50 {
        let key = format!("{number}");
        node.get_or_load(&key, brings("one")).await.unwrap();
    }
    assert!(
        log.count(&format!("caches={name} fault=")) == 1,
        "the breaker opened once"
    );
    stage.server().restart();
    let back = format!("caches={name} after_seconds=");
    stage
        .until("the log says that L2 is back", async || {
            log.count(&back) == 1
        })
        .await;
    node.close().await;
}

fn outage() {
    let log = Log::capture();
    let clock = PausedClock::new();
    let faults = Faults::new(Tokio::paused(&clock));
    let remote = Faulty::new(Memory::new(), faults.clone());
    let runtime = Tokio::paused(&clock);
    let node = jetcache_tokio::builder_on::<u64, String>("lasting outage", runtime);
    let node = node.remote(remote, Raw).build().unwrap().faced();
    faults.partition();
    let told = || log.count("L2 of lasting outage has been away for");
    let deadline = Instant::now() + Duration::from_secs(30);
    Host::Tokio.block_on(async {
        // The clock is moved second by second, so that each probe has its time.
        let mut seconds = 0;
        while told() < 2 {
            assert!(
                Instant::now() < deadline,
                "told {} times: {}",
                told(),
                node.stats()
            );
            let _ = node.get(&1).await;
            clock.advance(Duration::from_secs(1));
            seconds += 1;
            tokio::task::yield_now().await;
        }
        // Two minutes, and what the breaker needs to open on a machine that is busy.
        assert!(
            (120..600).contains(&seconds),
            "told twice within {seconds} s"
        );
    });
    assert_eq!(log.count("L2 of lasting outage is not asked any more"), 1);
}
