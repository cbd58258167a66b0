//! How to use what needs more words than one method has room for.
//!
//! | to begin with | |
//! |---|---|
//! | [`first_steps`] | a cache of your own type, its loader, its times |
//! | [`changing_rows`] | which call goes with which change, and what it promises |
//! | [`many_keys`] | batches, and many caches in one program |
//! | [`tags`] | removal by tag, by prefix, of everything |
//! | [`macros`] | attributes for functions, a derive for keys |
//! | [`settings`] | from a file, from the environment, changed while the cache runs |
//! | [`engines`] | which L1, and how big |
//! | [`codecs`] | which values can be carried, changing a type |
//! | [`testing`] | a clock that stands still, faults on demand |
//!
//! | to run it | |
//! |---|---|
//! | [`several_nodes`] | buses, refresh |
//! | [`when_things_break`] | the breaker, stale values, failover, limits, health |
//! | [`metrics`] | Prometheus, OpenTelemetry, the log, one key, the command-line tool |
//! | [`redis`] | servers, rights, size, eviction |
//! | [`with_go`] | Go services on the same entries |
//!
//! | from | |
//! |---|---|
//! | [`from_moka`], [`from_cached`], [`from_fusion_cache`], [`from_jetcache_go`] | what is called how, side by side |
//!
//! | elsewhere | |
//! |---|---|
//! | [`threads`] | without an executor |
//! | [`one_thread`] | without async, without `std` |
//! | [`ports`] | an L1, an L2, a bus or a runtime of your own |
//! | [`faq`] | questions that come up |

/// Pages whose code is a program on a runtime crate: jetcache-examples tests it as that, this crate
/// cannot.
macro_rules! pages {
    ($($name:ident: $file:literal)*) => {$(
        #[cfg(not(doctest))]
        #[doc = include_str!($file)]
        pub mod $name {}
    )*};
}

pages! {
    first_steps: "guide/use/first_steps.md"
    changing_rows: "guide/use/changing_rows.md"
    many_keys: "guide/use/many_keys.md"
    tags: "guide/use/tags.md"
    engines: "guide/use/engines.md"
    codecs: "guide/use/codecs.md"
    macros: "guide/use/macros.md"
    settings: "guide/use/settings.md"
    testing: "guide/use/testing.md"
    several_nodes: "guide/run/several_nodes.md"
    when_things_break: "guide/run/when_things_break.md"
    metrics: "guide/run/metrics.md"
    redis: "guide/run/redis.md"
    with_go: "guide/run/with_go.md"
    from_moka: "guide/from/moka.md"
    from_cached: "guide/from/cached.md"
    from_fusion_cache: "guide/from/fusion_cache.md"
    from_jetcache_go: "guide/from/jetcache_go.md"
    ports: "guide/own/ports.md"
    faq: "guide/faq.md"
}

#[doc = include_str!("guide/one_thread.md")]
pub mod one_thread {}
#[doc = include_str!("guide/threads.md")]
pub mod threads {}
