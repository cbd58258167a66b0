//! The cache for threads, on every runtime and on none.

pub(crate) mod places;

use std::cell::Cell;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Barrier, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use jetcache_core::{Blocking, Cached, Call, Error, Load, LoadError, Reach};

use crate::behaviour::stage::{Cases, Stage, Value, expected_panic, value};

type Threaded = Blocking<String, Value>;

pub(crate) const CASES: Cases<fn(&Stage)> = &[
    ("a_call_waits_for_its_answer", answers),
    ("a_batch_waits_for_its_answers", batches),
    ("changes_are_everywhere_when_they_return", changes),
    ("a_loader_may_borrow_and_block", borrows),
    ("a_thousand_threads_load_a_cold_key_once", thousand),
    ("threads_and_tasks_share_a_load", shared),
    ("a_loader_that_fails_is_its_callers_error", fails),
    ("a_panic_is_an_error_for_all_who_wait", panics),
    ("a_loader_may_load_another_key", nested),
    ("a_loader_that_waits_for_itself_is_told", rings),
    ("a_lease_outlives_its_time_while_a_loader_blocks", kept),
    ("those_who_wait_do_not_wait_for_ever", deposed),
    ("a_registered_loader_runs_as_a_task", registered),
    ("a_closed_cache_loads_nothing", closed),
];

fn node(stage: &Stage) -> Threaded {
    stage.node().blocking()
}

fn key() -> String {
    "k".to_owned()
}

fn nobody() -> Result<Value, LoadError> {
    panic!("this loader should not have run")
}

fn answers(stage: &Stage) {
    let (one, two) = (node(stage), node(stage));
    assert_eq!(one.get("k"), Cached::Miss);
    assert!(!one.exists("k"));
    let loaded = one.get_or_load("k", || Ok(value("v"))).unwrap();
    assert_eq!(loaded, Some(value("v")));
    assert_eq!(one.peek("k"), Cached::Hit(value("v")));
    // From L2, and from L1.
    for _ in 0..2 {
        assert_eq!(two.get_or_load("k", nobody).unwrap(), loaded);
        assert!(two.exists("k") && two.get("k").is_hit());
    }
    let absent = one.get_or_load("n", || Ok(None::<Value>)).unwrap();
    assert_eq!((absent, two.get("n")), (None, Cached::Absent));
    assert_eq!(one.get_or_load_value("k", nobody).unwrap(), value("v"));
    let absent = two.get_or_load_value("n", || Ok(value("not asked")));
    assert!(matches!(absent, Err(Error::NotFound)), "{absent:?}");
    let call = Call::new().ttl(Duration::ZERO).refresh();
    let refused = one.get_or_load_value_with("k", &call, nobody);
    assert!(matches!(refused, Err(Error::Config(_))), "{refused:?}");
    let refused = one.load_value("other");
    assert!(matches!(refused, Err(Error::Config(_))), "{refused:?}");
    let refreshed = one.load_with("k", &Call::new().refresh());
    assert!(matches!(refreshed, Err(Error::Config(_))), "{refreshed:?}");
}

fn batches(stage: &Stage) {
    let (one, two) = (node(stage), node(stage));
    let keys = ["a", "b", "c"];
    let mut asked = Vec::new();
    let loaded = one.get_many_or_load(keys, |keys| {
        asked.extend(keys.clone());
        let brought = keys.into_iter().filter(|key| key != "c");
        Ok(brought
            .map(|key| (key.clone(), value(&key)))
            .collect::<Vec<_>>())
    });
    let loaded: Vec<_> = loaded
        .unwrap()
        .into_iter()
        .map(|(_, it)| it.unwrap())
        .collect();
    assert_eq!(loaded, [Some(value("a")), Some(value("b")), None]);
    asked.sort_unstable();
    assert_eq!(asked, keys);
    let none = |_| -> Result<Vec<(String, Value)>, LoadError> { panic!("all are in L2") };
    let again = two.get_many_or_load(keys, none).unwrap();
    assert!(again.into_iter().all(|(_, it)| it.is_ok()));
    let found = two.get_many(keys).unwrap();
    assert_eq!(found.into_iter().filter(|(_, it)| it.is_hit()).count(), 2);
    let entries = keys.map(|key| (key.to_owned(), value("new")));
    let inserted = one.insert_many(entries).unwrap();
    assert!(
        inserted
            .into_iter()
            .all(|(_, it)| it.unwrap() == Reach::Everywhere)
    );
    let removed = one.invalidate_many(keys).unwrap();
    assert!(removed.into_iter().all(|(_, it)| it == Reach::Everywhere));
    let found = one.get_many(keys).unwrap();
    assert!(found.into_iter().all(|(_, it)| it == Cached::Miss));
}

fn changes(stage: &Stage) {
    let (one, two) = (node(stage), node(stage));
    let reach = one.insert(key(), value("1")).unwrap();
    assert_eq!(
        (reach, two.get("k")),
        (Reach::Everywhere, Cached::Hit(value("1")))
    );
    assert!(!one.insert_if_absent(key(), value("2")).unwrap());
    assert!(one.insert_if_present(key(), value("3")).unwrap());
    let mut rows = 0;
    let written = one.write_through("k", || {
        rows += 1;
        Ok(value("4"))
    });
    assert_eq!((written.unwrap(), rows), (Some(value("4")), 1));
    assert_eq!(node(stage).get("k"), Cached::Hit(value("4")));
    assert_eq!(one.invalidate("k").unwrap(), Reach::Everywhere);
    one.confirmed("k").unwrap();
    assert_eq!(one.get("k"), Cached::Miss);

    let call = Call::new().tags(["t"]);
    one.insert_with(key(), value("5"), &call).unwrap();
    assert_eq!(one.invalidate_tag("t").unwrap(), Reach::Everywhere);
    assert_eq!(one.get("k"), Cached::Miss);
    one.insert(key(), value("6")).unwrap();
    assert_eq!(one.clear().unwrap(), Reach::Everywhere);
    assert_eq!(one.get("k"), Cached::Miss);
    let many = (0..65).map(|tag| tag.to_string());
    let refused = one.insert_with(key(), value("7"), &Call::new().tags(many));
    assert!(matches!(refused, Err(Error::TooManyTags(_))), "{refused:?}");
}

fn borrows(stage: &Stage) {
    let node = node(stage);
    // Neither of them may cross threads.
    let rows = Cell::new(0);
    let row = std::rc::Rc::new(value("v"));
    let here = thread::current().id();
    let loaded = node.get_or_load("k", || {
        assert_eq!(thread::current().id(), here);
        rows.set(rows.get() + 1);
        thread::sleep(Duration::from_millis(20));
        Ok(Load::from(Value::clone(&row)).ttl(Duration::from_secs(60)))
    });
    assert_eq!((loaded.unwrap(), rows.get()), (Some(value("v")), 1));
}

fn thousand(stage: &Stage) {
    let node = node(stage);
    let loads = AtomicUsize::new(0);
    let at_once = Barrier::new(1000);
    thread::scope(|scope| {
        for _ in 0..1000 {
            let thread = thread::Builder::new().stack_size(256 * 1024);
            let ask = || {
                at_once.wait();
                let load = || {
                    loads.fetch_add(1, Ordering::SeqCst);
                    thread::sleep(Duration::from_millis(50));
                    Ok(value("v"))
                };
                assert_eq!(node.get_or_load("k", load).unwrap(), Some(value("v")));
            };
            thread.spawn_scoped(scope, ask).unwrap();
        }
    });
    assert_eq!(loads.load(Ordering::SeqCst), 1);
}

fn shared(stage: &Stage) {
    let node = node(stage);
    let (begun, begins) = mpsc::channel();
    let (end, ends) = mpsc::channel();
    thread::scope(|scope| {
        let leader = || {
            node.get_or_load("k", move || {
                begun.send(()).unwrap();
                ends.recv().unwrap();
                Ok(value("thread"))
            })
        };
        let leader = scope.spawn(leader);
        begins.recv().unwrap();
        let follower = scope.spawn(|| {
            let loader = async || Ok(value("task"));
            stage.host().block_on(node.cache().get_or_load("k", loader))
        });
        until("it waits", || node.cache().activity().waiters > 0);
        end.send(()).unwrap();
        for caller in [leader, follower] {
            assert_eq!(caller.join().unwrap().unwrap(), Some(value("thread")));
        }
    });
}

fn fails(stage: &Stage) {
    let node = node(stage);
    let parse = || Ok(value(&"x".parse::<u8>()?.to_string()));
    for error in [
        node.get_or_load("k", parse).unwrap_err(),
        node.write_through("k", parse).unwrap_err(),
    ] {
        assert!(
            error.load_as::<std::num::ParseIntError>().is_some(),
            "{error:?}"
        );
    }
    let batch = |_| -> Result<Vec<(String, Value)>, LoadError> { Err("no".into()) };
    let failed = node.get_many_or_load(["k"], batch).unwrap();
    assert!(
        failed
            .into_iter()
            .all(|(_, it)| matches!(it, Err(Error::Load(_))))
    );
    assert_eq!(
        node.get_or_load("k", || Ok(value("v"))).unwrap(),
        Some(value("v"))
    );
}

fn panics(stage: &Stage) {
    let node = node(stage);
    let (begun, begins) = mpsc::channel();
    let (end, ends) = mpsc::channel::<()>();
    thread::scope(|scope| {
        let leader = scope.spawn(|| {
            node.get_or_load("k", move || -> Result<Value, LoadError> {
                begun.send(()).unwrap();
                let _ = ends.recv();
                expected_panic("as the case says")
            })
        });
        begins.recv().unwrap();
        let follower = scope.spawn(|| node.get_or_load("k", nobody));
        until("it waits", || node.cache().activity().waiters > 0);
        drop(end);
        for caller in [leader, follower] {
            assert!(matches!(caller.join().unwrap(), Err(Error::Panicked(_))));
        }
    });
    let write = || -> Result<Value, LoadError> { expected_panic("as the case says") };
    assert!(matches!(
        node.write_through("k", write),
        Err(Error::Panicked(_))
    ));
    let batch =
        |_| -> Result<Vec<(String, Value)>, LoadError> { expected_panic("as the case says") };
    let failed = node.get_many_or_load(["k"], batch).unwrap();
    assert!(
        failed
            .into_iter()
            .all(|(_, it)| matches!(it, Err(Error::Panicked(_))))
    );
    assert_eq!(
        node.get_or_load("k", || Ok(value("v"))).unwrap(),
        Some(value("v"))
    );
}

fn nested(stage: &Stage) {
    let node = node(stage);
    let loaded = node.get_or_load("outer", || {
        let inner = node.get_or_load("inner", || Ok(value("v")))?;
        Ok(inner)
    });
    assert_eq!(loaded.unwrap(), Some(value("v")));
    assert_eq!(node.get("inner"), Cached::Hit(value("v")));
}

fn rings(stage: &Stage) {
    let node = node(stage);
    let own = node.get_or_load("k", || {
        let own = node.get_or_load("k", nobody);
        assert!(matches!(own, Err(Error::Deadlock)), "{own:?}");
        Ok(value("v"))
    });
    assert_eq!(own.unwrap(), Some(value("v")));
    // By way of a thread that waits for this one's load in the middle of its own.
    let both = Barrier::new(2);
    let crosswise = |mine: &'static str, other: &'static str| {
        let mut inner = None;
        let outer = node.get_or_load(mine, || {
            both.wait();
            inner = Some(node.get_or_load(other, || Ok(value("by hand"))).is_err());
            Ok(value(mine))
        });
        assert_eq!(outer.unwrap(), Some(value(mine)));
        inner.unwrap()
    };
    thread::scope(|scope| {
        let one = scope.spawn(|| crosswise("a", "b"));
        let two = scope.spawn(|| crosswise("b", "a"));
        assert!(
            one.join().unwrap() | two.join().unwrap(),
            "one of them is told"
        );
    });
}

fn kept(stage: &Stage) {
    let lease = Duration::from_secs(3);
    let builder = stage.builder().remote_timeout(lease / 4).lease(lease);
    let node = builder.build().unwrap().blocking();
    let loaded = node.get_or_load("k", || {
        thread::sleep(lease + Duration::from_millis(500));
        Ok(value("v"))
    });
    assert_eq!(loaded.unwrap(), Some(value("v")));
    assert_eq!(
        stage.node().blocking().get("k"),
        Cached::Hit(value("v")),
        "it is in L2"
    );
}

fn deposed(stage: &Stage) {
    let builder = stage.builder().load_timeout(Duration::from_millis(300));
    let node = builder.build().unwrap().blocking();
    let (begun, begins) = mpsc::channel();
    let (end, ends) = mpsc::channel::<()>();
    thread::scope(|scope| {
        let slow = scope.spawn(|| {
            node.get_or_load("k", move || {
                begun.send(()).unwrap();
                let _ = ends.recv();
                Ok(value("slow"))
            })
        });
        begins.recv().unwrap();
        // It waits for the slow one, fails with it or loads for itself; the next one loads.
        let _ = node.get_or_load("k", || Ok(value("quick")));
        let next = node.get_or_load("k", || Ok(value("quick"))).unwrap();
        assert_eq!(next, Some(value("quick")));
        drop(end);
        let slow = slow.join().unwrap();
        assert!(matches!(slow, Err(Error::Timeout(_))), "{slow:?}");
        assert_eq!(node.get("k"), Cached::Hit(value("quick")));
    });
}

fn registered(stage: &Stage) {
    let loads = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&loads);
    let builder = stage.builder().loader(move |key: String| {
        let loads = Arc::clone(&counted);
        async move {
            loads.fetch_add(1, Ordering::SeqCst);
            Ok::<_, LoadError>(value(&key))
        }
    });
    let node = builder.build().unwrap().blocking();
    for _ in 0..2 {
        assert_eq!(node.load("k").unwrap(), Some(value("k")));
    }
    assert_eq!(loads.load(Ordering::SeqCst), 1);
    let many = node.load_many(["k", "l"]).unwrap();
    assert!(
        many.into_iter()
            .all(|(key, it)| it.unwrap() == Some(value(key)))
    );
    assert_eq!(loads.load(Ordering::SeqCst), 2);
}

fn closed(stage: &Stage) {
    let node = node(stage);
    node.insert(key(), value("v")).unwrap();
    node.close().unwrap();
    let loaded = node.get_or_load("k", nobody);
    assert!(matches!(loaded, Err(Error::Closed)), "{loaded:?}");
    assert_eq!(node.get("k"), Cached::Miss);
}

fn until(what: &str, holds: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !holds() {
        assert!(Instant::now() < deadline, "waited in vain until {what}");
        thread::sleep(Duration::from_millis(5));
    }
}
