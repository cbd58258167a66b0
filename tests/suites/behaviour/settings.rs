//! Settings as data: given, printed back, changed while the cache runs.

use std::fmt::Write;
use std::time::Duration;

use jetcache_adapters::{Faults, Faulty, Memory, Raw};
use jetcache_core::doc::Threads;
use jetcache_core::{Cached, Error, LoadError, PausedClock, Settings, SettingsError, Wire};
use jetcache_tokio::Tokio;

use crate::behaviour::stage::{Case, Cases, Host, Stage, value};

pub(crate) const CASES: Cases<Case> = &[
    ("a_reload_holds_for_what_is_stored_from_then_on", |s| {
        Box::pin(reload(s))
    }),
    ("a_reload_bounds_loads_and_values", |s| Box::pin(bounds(s))),
    ("a_reload_changes_all_that_it_names_or_nothing", |s| {
        Box::pin(refused(s))
    }),
    ("what_holds_is_printed_back", |s| Box::pin(printed(s))),
];

/// Without a cache.
pub(crate) const ALONE: Cases<fn()> = &[
    ("settings_come_from_any_format", formats),
    ("settings_come_from_the_environment", environment),
    ("a_wrong_setting_is_named", wrong),
    ("every_setting_has_a_text", texts),
    (
        "a_shorter_life_does_not_bring_back_what_was_removed",
        bypass,
    ),
];

fn of(text: &str) -> Settings {
    let mut settings = Settings::default();
    for (name, text) in text
        .lines()
        .filter_map(|line| line.trim().split_once(" = "))
    {
        settings.set(name, text).unwrap();
    }
    settings
}

async fn reload(stage: &Stage) {
    let node = stage.builder().jitter(0, Duration::ZERO).build().unwrap();
    node.insert("before".into(), value("v")).await.unwrap();
    node.reload(&of("ttl = 50ms\nstale_for = 1h\nstale_retry = 1ms"))
        .unwrap();
    let policy = node.policy();
    assert_eq!(policy.ttl, Duration::from_millis(50));
    assert_eq!(policy.negative_ttl, Duration::from_secs(60), "as it was");
    node.insert("after".into(), value("old")).await.unwrap();
    stage
        .until("its life is over", async || {
            node.get("after").await == Cached::Miss
        })
        .await;
    assert!(node.peek("before").is_hit(), "it keeps its life");
    let away = async || Err::<std::sync::Arc<String>, LoadError>("away".into());
    let stale = node.get_or_load("after", away).await.unwrap();
    assert_eq!(stale, Some(value("old")));
    node.reload(&of("ttl = 1h\nlocal_ttl = 10m")).unwrap();
    node.insert("after".into(), value("new")).await.unwrap();
    let left = stage.node().inspect("after").await.l2;
    let text = format!("{left:?}");
    assert!(text.contains("fresh") || text.contains("Fresh"), "{text}");
}

async fn bounds(stage: &Stage) {
    let node = stage.node();
    node.reload(&of("max_value_size = 100")).unwrap();
    let long = value(&"x".repeat(1000));
    let refused = node.insert("long".into(), long.clone()).await;
    assert!(matches!(refused, Err(Error::TooLarge { limit: 100, .. })));
    node.reload(&of("max_value_size = 10000")).unwrap();
    node.insert("long".into(), long).await.unwrap();
    node.reload(&of("max_loads = 1")).unwrap();
    let inner = async || Ok::<_, LoadError>(value("inner"));
    let outer = async || {
        let inside = node.get_or_load("inner", inner).await;
        assert!(matches!(inside, Err(Error::Overloaded)), "{inside:?}");
        Ok::<_, LoadError>(value("outer"))
    };
    node.get_or_load("outer", outer).await.unwrap();
    node.reload(&of("max_loads = 2")).unwrap();
    let outer = async || Ok::<_, LoadError>(node.get_or_load("inner", inner).await?);
    node.get_or_load("outer 2", outer).await.unwrap();
    let time = of("load_timeout = 20ms");
    node.reload(&time).unwrap();
    let hangs = async || std::future::pending::<Result<std::sync::Arc<String>, LoadError>>().await;
    let late = node.get_or_load("hangs", hangs).await;
    let Err(Error::Timeout(limit)) = late else {
        panic!("{late:?}")
    };
    assert_eq!(Some(limit.span()), time.load_timeout);
}

async fn refused(stage: &Stage) {
    let settings = of("ttl = 10m\ncapacity = 100\nremote_timeout = 200ms");
    let node = stage.builder().settings(&settings).build().unwrap();
    assert_eq!(node.policy().remote_timeout, Duration::from_millis(200));
    // The same file again, with another line.
    let again = settings.clone().overlaid(of("ttl = 5m"));
    node.reload(&again).unwrap();
    assert_eq!(node.policy().ttl, Duration::from_secs(300));
    let wrong = [
        ("ttl = 1m\ncapacity = 200", "capacity"),
        ("ttl = 1m\nremote_timeout = 1s", "remote_timeout"),
        ("ttl = 1m\nrefresh_every = 1s", "refresh_every"),
        ("ttl = 1m\nload_timeout = 0s", "load_timeout"),
        ("ttl = 1m\nwrite_timeout = 0s", "write_timeout"),
        ("ttl = 1m\nmax_loads = 0", "max_loads"),
        ("ttl = 1m\njitter_percent = 101", "jitter"),
        ("ttl = 1m\nblind_local_ttl = 1s", "blind_local_ttl"),
    ];
    for (settings, named) in wrong {
        let refused = node.reload(&of(settings));
        let Err(Error::Config(text)) = refused else {
            panic!("{settings}: {refused:?}")
        };
        assert!(text.contains(named), "{text}");
        assert_eq!(node.policy().ttl, Duration::from_secs(300), "{settings}");
        assert_eq!(node.settings().ttl, again.ttl, "{settings}");
    }
    // What cannot be together is found at build, by the same names.
    let builder = stage.builder().settings(&of("stop_refresh_after = 1s"));
    let refused = builder.build();
    assert!(matches!(refused, Err(Error::Config(text)) if text.contains("refresh_every")));
}

async fn printed(stage: &Stage) {
    let given = of(
        "ttl = 10m\nmax_loads = 7\nmax_loads_wait = 1s\nsoft_timeout = 0s\neager = true\n\
                    stats = false\nbreaker = false\nseparator = /",
    );
    let node = stage.builder().settings(&given).build().unwrap();
    let settings = node.settings();
    assert_eq!(settings.clone().overlaid(given), settings);
    assert_eq!(settings.capacity, Some(10_000), "defaults are there, too");
    assert_eq!(
        settings.namespace.as_deref(),
        stage.key("").strip_suffix(':')
    );
    let text = settings.to_string();
    assert!(
        text.contains("ttl = 10m, ") && text.contains("separator = /"),
        "{text}"
    );
    // They make the same cache.
    let other = stage.host().builder("other").settings(&settings);
    assert_eq!(other.build().unwrap().settings().ttl, settings.ttl);
    node.reload(&settings).unwrap();
    assert_eq!(node.settings(), settings);
    // Without an L2 the two lives are one, if nothing else is said.
    let local = stage.local_node();
    local.reload(&of("ttl = 2h")).unwrap();
    assert_eq!(local.policy().local_ttl, Duration::from_secs(7200));
}

fn formats() {
    let json = r#"{"ttl":"10m","capacity":500,"stale_for":"1h 30m","eager":true}"#;
    let settings: Settings = serde_json::from_str(json).unwrap();
    assert_eq!(settings.stale_for, Some(Duration::from_secs(5400)));
    let file = "ttl = \"10m\"\ncapacity = 500\nstale_for = \"90m\"\neager = true\n";
    assert_eq!(toml::from_str::<Settings>(file).unwrap(), settings);
    let back = serde_json::to_string(&settings).unwrap();
    assert!(
        back.contains(r#""stale_for":"1h 30m""#) && !back.contains("null"),
        "{back}"
    );
    assert_eq!(serde_json::from_str::<Settings>(&back).unwrap(), settings);
    let back = toml::to_string(&settings).unwrap();
    assert_eq!(toml::from_str::<Settings>(&back).unwrap(), settings);
    let reader = json.as_bytes();
    assert_eq!(
        serde_json::from_reader::<_, Settings>(reader).unwrap(),
        settings
    );
}

fn environment() {
    let variable = |(name, text): (&str, &str)| (name.to_owned(), text.to_owned());
    let variables = [
        ("JETCACHE_USERS_TTL", "10m"),
        ("JETCACHE_USERS_REFRESH_ALL", "true"),
        ("JETCACHE_ORDERS_TTL", "nothing of ours"),
        ("JETCACHE_USERSTTL", "nor this"),
        ("PATH", "/bin"),
    ];
    let settings = Settings::from_variables("JETCACHE_USERS", variables.map(variable)).unwrap();
    assert_eq!(settings, of("ttl = 10m\nrefresh_all = true"));
    let file = of("ttl = 1m\ncapacity = 5");
    let both = file.overlaid(settings);
    assert_eq!(both, of("ttl = 10m\ncapacity = 5\nrefresh_all = true"));
    assert!(Settings::from_env("JETCACHE_TEST_THAT_NOBODY_SETS").is_ok());
}

fn wrong() {
    let of = |name: &str, text: &str| {
        Settings::from_variables("A", [(name.to_owned(), text.to_owned())]).unwrap_err()
    };
    let unknown = of("A_TTLL", "10m");
    assert!(matches!(&unknown, SettingsError::Unknown { name, .. } if name == "A_TTLL"));
    assert!(unknown.to_string().contains("negative_ttl"), "{unknown}");
    for (name, text) in [
        ("A_TTL", "10"),
        ("A_TTL", "ten minutes"),
        ("A_CAPACITY", "-1"),
        ("A_EAGER", "yes"),
        ("A_JITTER_PERCENT", "300"),
    ] {
        let wrong = of(name, text);
        assert!(matches!(wrong, SettingsError::Value { .. }), "{wrong:?}");
        let shown = wrong.to_string();
        assert!(shown.contains(name) && shown.contains(text), "{shown}");
    }
    for (text, named) in [
        (r#"{"ttll":"10m"}"#, "`ttll`"),
        (r#"{"ttl":"soon"}"#, "`soon`"),
        (r#"{"capacity":"many"}"#, "many"),
    ] {
        let error = serde_json::from_str::<Settings>(text).unwrap_err();
        assert!(error.to_string().contains(named), "{error}");
    }
    let error = toml::from_str::<Settings>("ttll = \"10m\"").unwrap_err();
    assert!(error.to_string().contains("ttll"), "{error}");
}

/// Each of them can be set from what it is printed as.
fn texts() {
    let mut all = Settings::default();
    for name in Settings::NAMES {
        let text = ["1s", "1", "true", "text"];
        let set = text.iter().any(|text| all.set(name, text).is_ok());
        assert!(set, "{name}");
    }
    let mut lines = String::new();
    for (name, text) in all.iter() {
        writeln!(lines, "{name} = {text}").unwrap();
    }
    assert_eq!(lines.lines().count(), Settings::NAMES.len());
    assert_eq!(of(&lines), all);
}

/// In the Go format a bucket whose removals did not fit does without L2 for as long as an entry may live: as
/// the former settings had it, for those that others wrote then.
fn bypass() {
    let clock = PausedClock::new();
    let hands = clock.clone();
    let memory = Memory::with_clock(move || hands.now().as_nanos() / 1_000_000);
    let faults = Faults::new(Threads);
    let node = |faults: &Faults| {
        jetcache_tokio::builder_on::<u64, String>("users", Tokio::paused(&clock))
            .wire(Wire::JetcacheGo)
            .remote(Faulty::new(memory.clone(), faults.clone()), Raw)
            .no_local()
            .no_breaker()
            .jitter(0, Duration::ZERO)
            .unconfirmed_capacity(1)
            .build()
            .unwrap()
    };
    // What others wrote by the former settings.
    let (writer, node) = (node(&Faults::new(Threads)), node(&faults));
    let ids: Vec<u64> = (0..200).collect();
    Host::Tokio.block_on(async {
        for id in &ids {
            writer.insert(*id, "old".into()).await.unwrap();
        }
        node.reload(&of("ttl = 1s\nnegative_ttl = 1s")).unwrap();
        faults.error_rate(1.0);
        node.invalidate_many(&ids).await;
        faults.heal();
        clock.advance(Duration::from_secs(600));
        for id in &ids {
            assert_eq!(node.get(id).await, Cached::Miss, "{id} came back");
        }
        assert!(node.stats().bypassed > 0, "{}", node.stats());
    });
}
