//! An L2 that is silent, slow or wrong at the worst moment.

use std::future::{Ready, pending, ready};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::join_all;
use jetcache_core::{Error, LoadError, Reach};
use jetcache_tokio::MessagePack;

use crate::behaviour::stage::Cases;
use crate::behaviour::stage::moody::{Mood, Moody};

use super::{brings, builder, in_tokio, ms, soon, until};

pub(crate) const CASES: Cases<fn()> = &[
    (
        "a_deposed_leader_that_has_not_loaded_yet_keeps_its_loader",
        deposed_before_load,
    ),
    (
        "a_deposed_leader_gives_back_the_lease_that_it_hears_of",
        deposed_with_lease,
    ),
    ("what_an_l2_in_doubt_refuses_is_undecided", undecided),
    (
        "an_insert_that_a_broken_adapter_was_given_is_undecided",
        broken_adapter,
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
    ("a_silent_l2_costs_a_batch_one_timeout", silent_batch),
    (
        "an_l2_that_grants_no_lease_costs_a_batch_one_timeout",
        silent_leases,
    ),
    (
        "a_broken_l2_is_asked_for_one_part_of_many_changes",
        broken_batch,
    ),
];

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
        // The second one deposes the first, and loads.
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

/// What it was asked to store may stand in L2.
fn broken_adapter() {
    for mood in [Mood::PutPanics, Mood::PutMiscounts] {
        in_tokio(async {
            let moody = Moody::default();
            let node = builder().remote(moody.clone(), MessagePack);
            let node = node.build().unwrap();
            moody.set(mood);
            let absent = node.insert_if_absent("key".into(), "new".into()).await;
            assert!(matches!(absent, Err(Error::Undecided)), "{absent:?}");
            let plain = node.insert("other".into(), "new".into()).await;
            assert_eq!(plain.unwrap(), Reach::Pending);
            moody.set(Mood::Good);
            for key in ["key", "other"] {
                soon(node.confirmed(key)).await.unwrap();
            }
            let absent = node.insert_if_absent("key".into(), "newer".into()).await;
            assert!(absent.unwrap());
        });
    }
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
        // The key is in L2, but this node goes on without L2.
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

/// The row of each id.
type Rows = Vec<(String, Arc<str>)>;

/// A loader of a batch.
fn rows(ids: Vec<String>) -> Ready<Result<Rows, LoadError>> {
    let row = |id: String| (id, Arc::<str>::from("value"));
    ready(Ok(ids.into_iter().map(row).collect()))
}

/// Once L2 was silent to one chunk, the others are not sent.
fn silent_batch() {
    let moody = Moody::default();
    moody.set(Mood::Silent);
    let ids: Vec<String> = (0..20).map(|id| id.to_string()).collect();
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

/// It answers reads, and then is silent.
fn silent_leases() {
    let moody = Moody::default();
    moody.set(Mood::SilentLease);
    let ids: Vec<String> = (0..20).map(|id| id.to_string()).collect();
    let node = builder().batch_chunk(5).remote(moody.clone(), MessagePack);
    let node = node.build().unwrap();
    in_tokio(async {
        let batch = soon(node.get_many_or_load(&ids, rows)).await;
        assert_eq!(batch.into_values().unwrap().len(), 20);
        assert_eq!(moody.leases(), 5, "the first part's");
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
