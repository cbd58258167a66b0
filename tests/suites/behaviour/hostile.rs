//! Users' code that panics, runtimes that end or stand still, an L2 with moods: each case was once
//! a fault found by reading the driver.

use std::future::{Future, pending, ready};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use futures_util::FutureExt;
use futures_util::future::join_all;
use jetcache_core::{
    BoxError, Builder, Cache, Cached, Codec, Entry, Error, Event, Load, LoadError, Local, LruLocal,
    Observer, Probe, Reach,
};
use jetcache_tokio::MessagePack;

use crate::behaviour::moody::{Mood, Moody};
use crate::behaviour::stage::expected_panic;

pub(crate) const CASES: &[(&str, fn())] = &[
    (
        "a_deposed_leader_that_has_not_loaded_yet_keeps_its_loader",
        deposed_before_load,
    ),
    (
        "a_deposed_leader_gives_back_the_lease_that_it_hears_of",
        deposed_with_lease,
    ),
    (
        "a_change_waits_for_a_write_to_l1_on_another_thread",
        slow_l1,
    ),
    ("a_predicate_that_panics_fails_the_flight", predicate),
    ("a_codec_that_panics_fails_the_flight", encoder),
    (
        "a_panic_gives_the_lease_back_though_a_waiter_is_silent",
        silent_waiter,
    ),
    ("a_codec_that_panics_on_what_it_reads_is_a_miss", decoder),
    ("what_an_l2_in_doubt_refuses_is_undecided", undecided),
    ("an_observer_that_panics_changes_nothing", observer),
    ("a_load_that_its_runtime_drops_does_not_spin", dropped_load),
    (
        "close_sends_every_removal_that_is_not_confirmed",
        close_removes,
    ),
    ("close_waits_for_loads_that_callers_lead", close_waits),
    (
        "close_does_not_wait_for_a_lease_that_never_answers",
        close_gives_up,
    ),
    (
        "a_lease_whose_reply_was_lost_with_its_connection_is_given_back",
        lost_reply,
    ),
    (
        "late_replies_do_not_keep_leases_from_being_given_back",
        late_replies,
    ),
    ("what_is_bypassed_is_said", bypassed),
    (
        "a_repair_that_stands_still_with_its_runtime_is_taken_over",
        repair,
    ),
    ("times_beyond_all_measure_work", endless_times),
    ("a_lone_registered_load_is_not_coalesced", lone_load),
    ("a_namespace_with_an_open_brace_is_refused", open_brace),
    ("a_silent_l2_costs_a_batch_one_timeout", silent_batch),
    (
        "a_broken_l2_is_asked_for_one_part_of_many_changes",
        broken_batch,
    ),
    ("a_codec_that_panics_holds_up_no_other_insert", insert_many),
];

type Node = Cache<String, Arc<str>>;

fn builder() -> Builder<String, Arc<str>> {
    jetcache_tokio::builder("hostile").remote_timeout(ms(100))
}

fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

fn runtime() -> tokio::runtime::Runtime {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    builder.worker_threads(2).enable_all().build().unwrap()
}

fn in_tokio<T>(future: impl Future<Output = T>) -> T {
    runtime().block_on(future)
}

fn brings(text: &str) -> impl FnOnce() -> std::future::Ready<Result<Arc<str>, LoadError>> + use<> {
    let text = Arc::from(text);
    move || ready(Ok(text))
}

async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !holds().await {
        assert!(Instant::now() < deadline, "waited in vain until {what}");
        tokio::time::sleep(ms(5)).await;
    }
}

/// What a future brings before long; a test that hangs fails here.
async fn soon<T>(future: impl Future<Output = T>) -> T {
    let soon = tokio::time::timeout(Duration::from_secs(10), future);
    soon.await.expect("an answer before long")
}

fn deposed_before_load() {
    in_tokio(async {
        let moody = Moody::default();
        let node = builder()
            .remote(moody.clone(), MessagePack)
            .build()
            .unwrap();
        moody.set(Mood::Silent);
        let mut first = Box::pin(node.get_or_load("key", brings("first")));
        assert!(
            first.as_mut().now_or_never().is_none(),
            "it reads L2, and is not polled"
        );
        moody.set(Mood::Good);
        let began = AtomicBool::new(false);
        let mut second = Box::pin(node.get_or_load("key", || {
            began.store(true, Ordering::SeqCst);
            pending::<Result<Arc<str>, LoadError>>()
        }));
        // It deposes the first one and loads.
        while !began.load(Ordering::SeqCst) {
            let nap = pin!(tokio::time::sleep(ms(5)));
            futures_util::future::select(&mut second, nap).await;
        }
        assert!(first.as_mut().now_or_never().is_none(), "it follows");
        drop(second);
        assert_eq!(soon(first).await.unwrap().as_deref(), Some("first"));
    });
}

fn deposed_with_lease() {
    in_tokio(async {
        let moody = Moody::default();
        // The lease does not end by itself while this test lasts.
        let node = builder()
            .load_timeout(Duration::from_secs(3600))
            .lease_wait(Duration::ZERO);
        let node = node.remote(moody.clone(), MessagePack).build().unwrap();
        moody.set(Mood::SlowLease);
        let mut first = Box::pin(node.get_or_load("key", brings("first")));
        assert!(
            first.as_mut().now_or_never().is_none(),
            "it waits for the lease's answer"
        );
        moody.set(Mood::Good);
        let second = soon(node.get_or_load("key", brings("second"))).await;
        assert_eq!(second.unwrap().as_deref(), Some("second"));
        assert_eq!((node.stats().deposed, moody.inner().leases()), (1, 1));
        assert_eq!(soon(first).await.unwrap().as_deref(), Some("second"));
        until("the lease is back", async || moody.inner().leases() == 0).await;
    });
}

/// An engine whose writes wait until they are let go.
struct Slow {
    inner: LruLocal<String, Arc<str>>,
    writing: Arc<AtomicBool>,
    go: Arc<AtomicBool>,
}

impl Local<String, Arc<str>> for Slow {
    fn get(&self, key: &dyn Probe<String>) -> Option<Entry<Arc<str>>> {
        self.inner.get(key)
    }

    fn insert(&self, key: String, entry: Entry<Arc<str>>) {
        self.writing.store(true, Ordering::SeqCst);
        while !self.go.load(Ordering::SeqCst) {
            std::thread::yield_now();
        }
        self.inner.insert(key, entry);
    }

    fn remove(&self, key: &dyn Probe<String>) {
        self.inner.remove(key);
    }

    fn clear(&self) {
        self.inner.clear();
    }

    fn len(&self) -> usize {
        self.inner.len()
    }

    fn weight(&self) -> u64 {
        self.inner.weight()
    }
}

fn slow_l1() {
    let (writing, go) = (
        Arc::new(AtomicBool::new(false)),
        Arc::new(AtomicBool::new(false)),
    );
    let slow = Slow {
        inner: LruLocal::new(100.try_into().unwrap()),
        writing: Arc::clone(&writing),
        go: Arc::clone(&go),
    };
    let node = builder().local(slow).build().unwrap();
    let reader = node.clone();
    let reads =
        std::thread::spawn(move || smol::block_on(reader.get_or_load("key", brings("old"))));
    while !writing.load(Ordering::SeqCst) {
        std::thread::yield_now();
    }
    let (changer, changed) = (node.clone(), Arc::new(AtomicBool::new(false)));
    let done = Arc::clone(&changed);
    std::thread::spawn(move || {
        smol::block_on(changer.invalidate("key"));
        done.store(true, Ordering::SeqCst);
    });
    std::thread::sleep(ms(50));
    assert!(
        !changed.load(Ordering::SeqCst),
        "the old value is still on its way into L1"
    );
    go.store(true, Ordering::SeqCst);
    in_tokio(until("the change is made", async || {
        changed.load(Ordering::SeqCst)
    }));
    assert_eq!(reads.join().unwrap().unwrap().as_deref(), Some("old"));
    assert_eq!(node.peek("key"), Cached::Miss);
}

fn panics(node: &Node, loads: &AtomicUsize) {
    in_tokio(async {
        let answer = soon(node.load("key")).await;
        assert!(matches!(answer, Err(Error::Panicked(_))), "{answer:?}");
        assert_eq!(loads.load(Ordering::SeqCst), 1);
        let load = async || {
            loads.fetch_add(1, Ordering::SeqCst);
            tokio::time::sleep(ms(20)).await;
            Err::<Arc<str>, LoadError>("no".into())
        };
        let answers = soon(join_all((0..100).map(|_| node.get_or_load("other", load)))).await;
        assert!(answers.iter().all(Result::is_err));
        assert_eq!(
            loads.load(Ordering::SeqCst),
            2,
            "nobody led in the place of a panic"
        );
        until("nothing is under way", async || {
            node.activity() == Default::default()
        })
        .await;
        node.close().await;
    });
}

fn predicate() {
    let loads = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&loads);
    let node = builder()
        .not_found_when(|_| expected_panic("the predicate"))
        .loader(move |_: String| {
            count.fetch_add(1, Ordering::SeqCst);
            ready(Err::<Arc<str>, LoadError>("no".into()))
        });
    panics(&node.build().unwrap(), &loads);
}

/// Panics when it encodes.
struct Explosive;

impl Codec<Arc<str>> for Explosive {
    fn id(&self) -> u8 {
        200
    }

    fn encode(&self, _: &Arc<str>, _: &mut Vec<u8>) -> Result<(), BoxError> {
        expected_panic("the codec")
    }

    fn decode(&self, _: &[u8]) -> Result<Arc<str>, BoxError> {
        Err("never".into())
    }
}

fn encoder() {
    let loads = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&loads);
    let node = builder()
        .remote(Moody::default(), Explosive)
        .loader(move |_: String| {
            count.fetch_add(1, Ordering::SeqCst);
            ready(Ok::<Arc<str>, LoadError>("value".into()))
        });
    panics(&node.build().unwrap(), &loads);
}

fn silent_waiter() {
    in_tokio(async {
        let moody = Moody::default();
        let node = builder().remote(moody.clone(), Explosive);
        let node = node.loader(|_: String| async {
            tokio::time::sleep(ms(20)).await;
            Ok::<Arc<str>, LoadError>("value".into())
        });
        let node = node.build().unwrap();
        let mut silent = Box::pin(node.load("key"));
        assert!(silent.as_mut().now_or_never().is_none());
        soon(node.load("key")).await.unwrap_err();
        until("the lease is back", async || moody.inner().leases() == 0).await;
        drop(silent);
    });
}

/// Panics when it decodes.
struct Delicate;

impl Codec<Arc<str>> for Delicate {
    fn id(&self) -> u8 {
        201
    }

    fn encode(&self, value: &Arc<str>, out: &mut Vec<u8>) -> Result<(), BoxError> {
        out.extend_from_slice(value.as_bytes());
        Ok(())
    }

    fn decode(&self, _: &[u8]) -> Result<Arc<str>, BoxError> {
        expected_panic("the codec")
    }
}

fn decoder() {
    in_tokio(async {
        let moody = Moody::default();
        let node = || builder().remote(moody.clone(), Delicate).build().unwrap();
        node().insert("key".into(), "one".into()).await.unwrap();
        let node = node();
        assert_eq!(node.get("key").await, Cached::Miss);
        let loaded = node.get_or_load("key", brings("two")).await.unwrap();
        assert_eq!(loaded.as_deref(), Some("two"));
        assert!(node.stats().undecodable >= 2);
        until("the lease is back", async || moody.inner().leases() == 0).await;
    });
}

fn undecided() {
    in_tokio(async {
        let moody = Moody::default();
        let node = builder()
            .remote(moody.clone(), MessagePack)
            .build()
            .unwrap();
        node.insert("key".into(), "old".into()).await.unwrap();
        moody.set(Mood::RemovalsBreak);
        assert_eq!(node.invalidate("key").await, Reach::Pending);
        // L2 still has the old value, and must not be believed about it.
        let absent = node.insert_if_absent("key".into(), "new".into()).await;
        assert!(matches!(absent, Err(Error::Undecided)), "{absent:?}");
        moody.set(Mood::Good);
        until("the removal was repeated", async || {
            node.activity().unconfirmed == 0
        })
        .await;
        assert!(
            node.insert_if_absent("key".into(), "new".into())
                .await
                .unwrap()
        );
    });
}

/// Panics at every event.
struct Nervous;

impl Observer for Nervous {
    fn on(&self, _: &str, _: &Event) {
        expected_panic("the observer")
    }
}

fn observer() {
    in_tokio(async {
        let moody = Moody::default();
        let builder = builder()
            .observer(Nervous)
            .remote(moody.clone(), MessagePack);
        let node = builder.loader(|_: String| ready(Ok::<_, LoadError>(Arc::from("value"))));
        let node = node.build().unwrap();
        assert_eq!(
            soon(node.load("key")).await.unwrap().as_deref(),
            Some("value")
        );
        assert!(node.peek("key").is_hit());
        moody.set(Mood::Broken);
        assert_eq!(node.invalidate("key").await, Reach::Pending);
        moody.set(Mood::Good);
        until("the removal was repeated", async || {
            node.activity().unconfirmed == 0
        })
        .await;
    });
}

fn dropped_load() {
    let node = builder().loader(|_: String| ready(Ok::<_, LoadError>(Arc::from("value"))));
    let node = node.build().unwrap();
    let (ending, inside) = (runtime(), node.clone());
    let (begun, answered) = (
        Arc::new(AtomicBool::new(false)),
        Arc::new(AtomicBool::new(false)),
    );
    let (b, a) = (Arc::clone(&begun), Arc::clone(&answered));
    ending.spawn(async move {
        b.store(true, Ordering::SeqCst);
        // The runtime begins to end while this poll lasts.
        std::thread::sleep(ms(200));
        let _ = inside.load("key").await;
        a.store(true, Ordering::SeqCst);
    });
    while !begun.load(Ordering::SeqCst) {
        std::thread::yield_now();
    }
    drop(ending);
    assert!(answered.load(Ordering::SeqCst) || node.activity().flights == 0);
    // Its handle is remembered, and dead.
    let value = smol::block_on(node.load("other")).unwrap();
    assert_eq!(value.as_deref(), Some("value"));
}

fn close_removes() {
    in_tokio(async {
        let moody = Moody::default();
        let node = builder()
            .remote(moody.clone(), MessagePack)
            .build()
            .unwrap();
        let keys: Vec<String> = (0..600).map(|i| i.to_string()).collect();
        for key in &keys {
            node.insert(key.clone(), "old".into()).await.unwrap();
        }
        moody.set(Mood::Broken);
        join_all(keys.iter().map(|key| node.invalidate(key))).await;
        assert_eq!(
            (node.activity().unconfirmed, moody.inner().len()),
            (600, 600)
        );
        moody.set(Mood::Good);
        node.close().await;
        assert_eq!((node.activity().unconfirmed, moody.inner().len()), (0, 0));
    });
}

fn close_waits() {
    in_tokio(async {
        let node: Node = builder().build().unwrap();
        let load = node.get_or_load("key", async || {
            tokio::time::sleep(ms(100)).await;
            Ok::<_, LoadError>(Arc::from("value"))
        });
        let close = async {
            tokio::time::sleep(ms(20)).await;
            node.close().await;
            node.activity()
        };
        let (loaded, left) = futures_util::future::join(load, close).await;
        assert_eq!(
            (loaded.unwrap().as_deref(), left),
            (Some("value"), Default::default())
        );
        assert!(node.is_empty());
    });
}

fn close_gives_up() {
    in_tokio(async {
        let moody = Moody::default();
        let node = builder().load_timeout(Duration::from_secs(3600));
        let node = node.remote(moody.clone(), MessagePack).build().unwrap();
        moody.set(Mood::SilentLease);
        node.get_or_load("key", brings("value")).await.unwrap();
        assert_eq!(node.tasks(), 1, "somebody listens for the late reply");
        soon(node.close()).await;
        assert_eq!(node.tasks(), 0);
    });
}

fn lost_reply() {
    in_tokio(async {
        let moody = Moody::default();
        let node = || {
            builder()
                .remote(moody.clone(), MessagePack)
                .build()
                .unwrap()
        };
        moody.set(Mood::LeaseBreaks);
        let one = node();
        one.get_or_load("key", brings("one")).await.unwrap();
        until("the lease is back", async || moody.inner().leases() == 0).await;
        moody.set(Mood::FillRefuses);
        one.get_or_load("other", brings("one")).await.unwrap();
        until("the lease is back", async || moody.inner().leases() == 0).await;
        assert_eq!(one.stats().remote_faults, 2);
        moody.set(Mood::Good);
        node().get_or_load("key", brings("two")).await.unwrap();
        assert!(one.get("key").await.is_hit());
    });
}

fn late_replies() {
    in_tokio(async {
        let moody = Moody::default();
        let node = builder()
            .remote(moody.clone(), MessagePack)
            .build()
            .unwrap();
        moody.set(Mood::SilentLease);
        let keys: Vec<String> = (0..2000).map(|i| i.to_string()).collect();
        join_all(
            keys.iter()
                .map(|key| node.get_or_load(key, brings("value"))),
        )
        .await;
        assert_eq!(node.tasks(), 1024, "the bound on those who listen");
        moody.set(Mood::Good);
        let failed = node.get_or_load("fails", || ready(Err::<Arc<str>, LoadError>("no".into())));
        failed.await.unwrap_err();
        until("the lease is back", async || moody.inner().leases() == 0).await;
    });
}

fn bypassed() {
    in_tokio(async {
        let moody = Moody::default();
        let node = || {
            builder()
                .remote(moody.clone(), MessagePack)
                .unconfirmed_capacity(1)
        };
        let (one, two) = (node().build().unwrap(), node().build().unwrap());
        let keys: Vec<String> = (0..2000).map(|i| i.to_string()).collect();
        moody.set(Mood::Broken);
        join_all(keys.iter().map(|key| one.invalidate(key))).await;
        moody.set(Mood::Good);
        until("the repeats are over", async || {
            one.activity().unconfirmed == 0
        })
        .await;
        assert!(one.activity().bypassed > 0 && one.stats().bypassed > 0);
        // The key is in L2, and this node does without L2.
        two.insert("0".into(), "two".into()).await.unwrap();
        for key in &keys {
            two.insert(key.clone(), "two".into()).await.unwrap();
            match one.insert_if_present(key.clone(), "one".into()).await {
                Ok(applied) => assert!(applied, "it was present"),
                Err(error) => assert!(matches!(error, Error::Undecided), "{error}"),
            }
        }
    });
}

fn repair() {
    let moody = Moody::default();
    let node = builder()
        .remote(moody.clone(), MessagePack)
        .build()
        .unwrap();
    let still = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    still.block_on(async {
        node.insert("key".into(), "old".into()).await.unwrap();
        moody.set(Mood::Broken);
        assert_eq!(node.invalidate("key").await, Reach::Pending);
    });
    moody.set(Mood::Good);
    // The first runtime lives, and nobody drives it.
    in_tokio(until("the removal was repeated", async || {
        node.get("other").await;
        node.activity().unconfirmed == 0
    }));
    drop(still);
}

fn endless_times() {
    in_tokio(async {
        let builder = jetcache_tokio::builder::<String, Arc<str>>("long");
        let builder = builder.ttl(Duration::MAX).local_ttl(Duration::MAX);
        let builder = builder
            .negative_ttl(Duration::MAX)
            .remote_timeout(Duration::MAX);
        let builder = builder
            .load_timeout(Duration::MAX)
            .lease_wait(Duration::MAX);
        let node = builder
            .remote(Moody::default(), MessagePack)
            .build()
            .unwrap();
        node.get_or_load("key", brings("value")).await.unwrap();
        assert_eq!(
            node.insert("key".into(), "two".into()).await.unwrap(),
            Reach::Everywhere
        );
        let long = || {
            ready(Ok::<_, LoadError>(
                Load::from(Arc::from("x")).ttl(Duration::MAX),
            ))
        };
        node.get_or_load("other", long).await.unwrap();
        node.close().await;
    });
}

fn lone_load() {
    in_tokio(async {
        let node = builder().loader(|_: String| ready(Ok::<_, LoadError>(Arc::from("value"))));
        let node = node.build().unwrap();
        node.load("key").await.unwrap();
        assert_eq!((node.stats().coalesced, node.stats().misses), (0, 1));
    });
}

fn open_brace() {
    let open = builder()
        .namespace("{ns")
        .remote(Moody::default(), MessagePack)
        .build();
    assert!(matches!(open, Err(Error::Config(_))));
    builder()
        .namespace("{ns}")
        .remote(Moody::default(), MessagePack)
        .build()
        .unwrap();
}

/// However many parts a batch has.
fn silent_batch() {
    let moody = Moody::default();
    moody.set(Mood::Silent);
    let ids: Vec<String> = (0..20).map(|id| id.to_string()).collect();
    let rows = |ids: Vec<String>| {
        let row = |id: String| (id, Arc::<str>::from("value"));
        ready(Ok::<_, LoadError>(
            ids.into_iter().map(row).collect::<Vec<_>>(),
        ))
    };
    let build = || builder().batch_chunk(5).remote(moody.clone(), MessagePack);
    in_tokio(async {
        let node = build().build().unwrap();
        assert_eq!(soon(node.get_many(&ids)).await.hits().count(), 0);
        assert_eq!(node.stats().remote_faults, 5, "the first part's");

        let node = build().build().unwrap();
        let batch = soon(node.get_many_or_load(&ids, rows)).await;
        assert_eq!(batch.into_values().unwrap().len(), 20);
        assert_eq!(node.stats().remote_faults, 5);

        let node = build().batch_loader(rows).build().unwrap();
        let batch = soon(node.load_many(&ids)).await;
        assert_eq!(batch.into_values().unwrap().len(), 20);
        assert_eq!(node.stats().remote_faults, 5);
        assert!(node.peek("19").is_hit());

        let one = |id: String| ready(Ok::<_, LoadError>(Arc::<str>::from(id)));
        let node = build().loader(one).build().unwrap();
        let batch = soon(node.load_many(&ids)).await;
        assert_eq!(batch.into_values().unwrap().len(), 20);
        assert_eq!(node.stats().remote_faults, 5);
    });
}

fn broken_batch() {
    let moody = Moody::default();
    moody.set(Mood::Broken);
    let ids: Vec<String> = (0..20).map(|id| id.to_string()).collect();
    let node = builder().batch_chunk(5).remote(moody.clone(), MessagePack);
    let node = node.build().unwrap();
    in_tokio(async {
        let entries = ids.iter().map(|id| (id.clone(), Arc::<str>::from("new")));
        let inserted = soon(node.insert_many(entries)).await;
        let pending =
            |(_, reached): &(_, Result<Reach, Error>)| matches!(reached, Ok(Reach::Pending));
        assert!(inserted.iter().all(pending), "{inserted:?}");
        assert_eq!(node.activity().unconfirmed, 20);
        assert_eq!(moody.claims(), 5, "the first part's");
        moody.set(Mood::Good);
        until("all are removed", async || node.activity().unconfirmed == 0).await;
    });
}

fn insert_many() {
    /// Panics at one value.
    struct Squeamish;
    impl Codec<Arc<str>> for Squeamish {
        fn id(&self) -> u8 {
            201
        }
        fn encode(&self, value: &Arc<str>, out: &mut Vec<u8>) -> Result<(), BoxError> {
            if &**value == "bad" {
                expected_panic("the codec");
            }
            out.extend_from_slice(value.as_bytes());
            Ok(())
        }
        fn decode(&self, bytes: &[u8]) -> Result<Arc<str>, BoxError> {
            Ok(str::from_utf8(bytes)?.into())
        }
    }
    let node = builder()
        .remote(Moody::default(), Squeamish)
        .build()
        .unwrap();
    in_tokio(async {
        let entries = [("a", "1"), ("b", "bad"), ("c", "3")];
        let entries = entries.map(|(key, text)| (key.to_string(), Arc::<str>::from(text)));
        let inserted: Vec<_> = soon(node.insert_many(entries)).await.into_iter().collect();
        assert!(matches!(inserted[0].1, Ok(Reach::Everywhere)));
        assert!(matches!(inserted[1].1, Err(Error::Panicked(_))));
        assert!(matches!(inserted[2].1, Ok(Reach::Everywhere)));
        assert_eq!(node.activity(), Default::default(), "nothing is in doubt");
        assert!(node.peek("c").is_hit());
    });
}
