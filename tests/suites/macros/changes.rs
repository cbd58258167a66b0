//! `#[invalidates]` and `#[writes_through]`.

use std::future::pending;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use futures_util::FutureExt;
use futures_util::future::{join, join_all};
use jetcache_adapters::{Memory, MessagePack};
use jetcache_core::{Cache, Cached, ErrorKind};

use crate::macros::{Failure, Value, in_a_task, on_tokio};

struct Service {
    users: Cache<u64, Value>,
    /// Another node's.
    other: Cache<u64, Value>,
    writes: AtomicU32,
}

impl Service {
    fn new() -> Self {
        let memory = Memory::new();
        let node = || {
            let builder = jetcache_tokio::builder("users");
            builder.remote(memory.clone(), MessagePack).build().unwrap()
        };
        Self {
            users: node(),
            other: node(),
            writes: AtomicU32::new(0),
        }
    }

    /// With two users in both levels.
    async fn with_users() -> Self {
        let service = Self::new();
        for id in [1, 2] {
            service.users.insert(id, "old".into()).await.unwrap();
        }
        service
    }

    #[jetcache_tokio::invalidates(cache = self.users, key = id)]
    async fn delete(&self, id: u64, fails: bool) -> Result<u64, Failure> {
        assert!(self.users.peek(&id).is_hit(), "not before it has succeeded");
        if fails { Err(Failure::Own(1)) } else { Ok(id) }
    }

    #[jetcache_tokio::invalidates(cache = self.users, key = 1)]
    #[jetcache_tokio::invalidates(cache = self.users, key = 2)]
    async fn delete_both(&self) {}

    #[jetcache_tokio::invalidates(cache = self.users, key = id, when = really)]
    async fn maybe(&self, id: u64, really: bool) {}

    #[jetcache_tokio::invalidates(cache = self.users)]
    async fn hang(&self, id: u64) {
        pending::<()>().await;
    }

    #[jetcache_tokio::invalidates(cache = self.users)]
    async fn crash(&self, id: u64) {
        panic!("on purpose");
    }

    #[jetcache_tokio::writes_through(cache = self.users, key = id)]
    async fn rename(&self, id: u64, name: &str) -> Result<Value, Failure> {
        self.writes.fetch_add(1, Ordering::Relaxed);
        tokio::task::yield_now().await;
        if name.is_empty() {
            return Err(Failure::Own(2));
        }
        Ok(name.into())
    }

    #[jetcache_tokio::writes_through(cache = self.users, key = id)]
    async fn remove(&self, id: u64) -> Result<Option<Value>, Failure> {
        Ok(None)
    }

    #[jetcache_tokio::writes_through(cache = self.users, key = id)]
    async fn plain(&self, id: u64) -> Value {
        "plain".into()
    }

    #[jetcache_tokio::writes_through(cache = self.users, key = id)]
    async fn never(&self, id: u64) -> Value {
        pending().await
    }
}

#[test]
fn what_succeeded_is_removed_everywhere() {
    on_tokio(async {
        let service = Service::with_users().await;
        assert_eq!(service.delete(1, false).await, Ok(1));
        assert_eq!(service.users.peek(&1), Cached::Miss);
        assert_eq!(service.other.get(&1).await, Cached::Miss);
        assert!(service.other.get(&2).await.is_hit());
        service.delete_both().await;
        assert_eq!(service.users.get(&2).await, Cached::Miss);
    });
}

#[test]
fn what_failed_stays() {
    on_tokio(async {
        let service = Service::with_users().await;
        assert_eq!(service.delete(1, true).await, Err(Failure::Own(1)));
        assert!(service.users.peek(&1).is_hit());
        service.maybe(1, false).await;
        assert!(service.users.peek(&1).is_hit());
        service.maybe(1, true).await;
        assert_eq!(service.users.peek(&1), Cached::Miss);
    });
}

#[test]
fn what_was_dropped_in_the_middle_is_removed() {
    on_tokio(async {
        let service = Service::with_users().await;
        assert!(service.hang(1).now_or_never().is_none());
        is_gone(&service.users, 1).await;
        let crashed = std::panic::AssertUnwindSafe(service.crash(2)).catch_unwind();
        assert!(crashed.await.is_err());
        is_gone(&service.users, 2).await;
        is_gone(&service.other, 2).await;
        // What was never begun has changed nothing.
        service.users.insert(1, "new".into()).await.unwrap();
        drop(service.hang(1));
        assert!(service.users.peek(&1).is_hit());
    });
}

#[test]
fn what_was_written_is_in_the_cache() {
    on_tokio(async {
        let service = Service::with_users().await;
        assert_eq!(service.rename(1, "new").await, Ok("new".into()));
        assert_eq!(service.users.peek(&1), Cached::Hit("new".into()));
        assert_eq!(service.other.get(&1).await, Cached::Hit("new".into()));
        assert_eq!(service.remove(1).await, Ok(None));
        assert_eq!(service.users.peek(&1), Cached::Absent);
        assert_eq!(&*service.plain(1).await, "plain");
        assert_eq!(service.users.peek(&1), Cached::Hit("plain".into()));
    });
}

#[test]
fn what_could_not_be_written_is_removed() {
    on_tokio(async {
        let service = Service::with_users().await;
        assert_eq!(service.rename(1, "").await, Err(Failure::Own(2)));
        assert_eq!(service.users.peek(&1), Cached::Miss);
        assert!(service.never(2).now_or_never().is_none());
        is_gone(&service.users, 2).await;
    });
}

#[test]
fn each_caller_writes_for_itself() {
    on_tokio(async {
        let service = Service::new();
        let names = ["a", "b", "c"];
        let written = join_all(names.map(|name| service.rename(1, name))).await;
        assert_eq!(written, names.map(|name| Ok(name.into())));
        assert_eq!(service.writes.load(Ordering::Relaxed), 3);
        service.users.close().await;
        let closed = service.rename(1, "d").await;
        assert_eq!(closed, Err(Failure::Cache(ErrorKind::Closed)));
        assert_eq!(service.writes.load(Ordering::Relaxed), 3);
        // Nobody can be told.
        assert_eq!(&*service.plain(1).await, "plain");
    });
}

#[test]
fn their_futures_are_tasks_like_any_other() {
    in_a_task(async {
        let service = Service::with_users().await;
        let (deleted, renamed) = join(service.delete(1, false), service.rename(2, "new")).await;
        assert!(deleted.is_ok() && renamed.is_ok());
    });
}

#[test]
fn smol_has_the_same_attributes() {
    #[jetcache_smol::invalidates(cache = users, key = id)]
    async fn delete(users: &Cache<u64, Value>, id: u64) {}

    #[jetcache_smol::writes_through(cache = users, key = id)]
    async fn write(users: &Cache<u64, Value>, id: u64, name: Value) -> Result<Value, Failure> {
        Ok(name)
    }

    smol::block_on(async {
        let users = jetcache_smol::builder("users").build().unwrap();
        write(&users, 7, "Ada".into()).await.unwrap();
        assert_eq!(users.peek(&7), Cached::Hit("Ada".into()));
        delete(&users, 7).await;
        assert_eq!(users.peek(&7), Cached::Miss);
    });
}

async fn is_gone(users: &Cache<u64, Value>, id: u64) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while users.get(&id).await.is_hit() {
        assert!(Instant::now() < deadline, "{id} is still there");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}
