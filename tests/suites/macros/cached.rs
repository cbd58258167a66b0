//! `#[cached]`.

use std::sync::LazyLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use futures_util::future::{join, join_all};
use jetcache_adapters::{Memory, MessagePack};
use jetcache_core::{Cache, Call, Error, ErrorKind, InL1, InL2};

use crate::macros::{Failure, Value, in_a_task, on_tokio};

/// A service in front of a database.
struct Service {
    users: Cache<u64, Value>,
    names: Cache<String, Value>,
    pairs: Cache<(String, String), Value>,
    asked: AtomicU32,
}

impl Service {
    fn new() -> Self {
        Self::over(&Memory::new())
    }

    fn over(memory: &Memory) -> Self {
        Self {
            users: (jetcache_tokio::builder("users").remote(memory.clone(), MessagePack))
                .build()
                .unwrap(),
            names: (jetcache_tokio::builder("names").remote(memory.clone(), MessagePack))
                .build()
                .unwrap(),
            pairs: jetcache_tokio::builder("pairs").build().unwrap(),
            asked: AtomicU32::new(0),
        }
    }

    fn ask(&self) -> u32 {
        self.asked.fetch_add(1, Ordering::Relaxed) + 1
    }

    fn asked(&self) -> u32 {
        self.asked.load(Ordering::Relaxed)
    }

    #[jetcache_tokio::cached(cache = self.users, key = id)]
    async fn user(&self, id: u64) -> Result<Option<Value>, Failure> {
        self.ask();
        tokio::task::yield_now().await;
        if id == 500 {
            return Err(Failure::Own(7));
        }
        Ok((id != 404).then(|| format!("user {id}").into()))
    }

    /// An early return, `?`, and no `Option`.
    #[jetcache_tokio::cached(cache = self.users)]
    async fn always(&self, id: u64) -> Result<Value, Failure> {
        self.ask();
        if id == 1 {
            return Ok("one".into());
        }
        let text: Result<String, Failure> = Ok(format!("always {id}"));
        Ok(text?.into())
    }

    #[jetcache_tokio::cached(cache = self.names, key = name)]
    async fn lent(&self, name: &str) -> Result<Value, Failure> {
        self.ask();
        Ok(name.into())
    }

    /// The body moves what the key is made of.
    #[jetcache_tokio::cached(cache = self.names, key = name)]
    async fn moved(&self, name: String) -> Result<Value, Failure> {
        self.ask();
        Ok(name.into())
    }

    #[jetcache_tokio::cached(cache = self.names, key = "{shop}/{id:04}")]
    async fn formatted(&self, shop: &str, id: u64) -> Result<Value, Failure> {
        self.ask();
        Ok(format!("{shop} {id}").into())
    }

    #[jetcache_tokio::cached(cache = self.pairs, key = (a.to_owned(), b.to_string()))]
    async fn pair<T: ToString + Send>(&self, a: &str, b: T) -> Result<Value, Failure> {
        Ok(format!("{a} {}", b.to_string()).into())
    }

    #[jetcache_tokio::cached(cache = self.users, key = id, when = id < 10)]
    async fn small(&self, id: u64) -> Result<Value, Failure> {
        Ok(self.ask().to_string().into())
    }

    #[jetcache_tokio::cached(
        cache = self.users,
        key = id,
        ttl = "10m",
        local_ttl = Duration::from_secs(5),
        tags = ["user:{id}", self.shop(), "all"],
        call = Call::new().stale_for(Duration::from_secs(1)),
    )]
    async fn tagged(&self, id: u64) -> Result<Value, Failure> {
        Ok(self.ask().to_string().into())
    }

    fn shop(&self) -> &'static str {
        "shop"
    }

    #[jetcache_tokio::cached(cache = self.users, key = id, ttl = "0s")]
    async fn never_kept(&self, id: u64) -> Result<Value, Failure> {
        Ok(self.ask().to_string().into())
    }

    #[jetcache_tokio::cached(cache = self.users, key = id)]
    async fn plain(&self, id: u64) -> Value {
        self.ask();
        format!("plain {id}").into()
    }

    #[jetcache_tokio::cached(cache = self.users, key = id)]
    async fn plain_option(&self, id: u64) -> Option<Value> {
        self.ask();
        (id != 404).then(|| "there".into())
    }

    #[jetcache_tokio::cached(cache = self.users, key = id)]
    async fn changing(&mut self, id: u64) -> Result<Value, Failure> {
        let asked = self.asked.get_mut();
        *asked += 1;
        Ok(asked.to_string().into())
    }
}

#[test]
fn many_callers_make_one_load() {
    on_tokio(async {
        let service = Service::new();
        let answers = join_all((0..50).map(|_| service.user(7))).await;
        assert!(
            answers
                .iter()
                .all(|answer| *answer == Ok(Some("user 7".into())))
        );
        assert_eq!(service.asked(), 1);
        assert_eq!(service.user(404).await, Ok(None));
        assert_eq!(service.user(404).await, Ok(None));
        assert_eq!(service.asked(), 2);
    });
}

#[test]
fn another_node_finds_it_in_l2() {
    on_tokio(async {
        let memory = Memory::new();
        let (one, two) = (Service::over(&memory), Service::over(&memory));
        one.user(7).await.unwrap();
        assert_eq!(two.user(7).await, Ok(Some("user 7".into())));
        assert_eq!(two.asked(), 0);
    });
}

#[test]
fn an_error_of_the_body_is_everybodys_own() {
    on_tokio(async {
        let service = Service::new();
        let (one, two) = join(service.user(500), service.user(500)).await;
        assert_eq!((one, two), (Err(Failure::Own(7)), Err(Failure::Own(7))));
        assert_eq!(service.asked(), 1);
    });
}

#[test]
fn an_error_of_the_cache_is_converted() {
    on_tokio(async {
        let service = Service::new();
        service.user(404).await.unwrap();
        let absent = service.always(404).await;
        assert_eq!(absent, Err(Failure::Cache(ErrorKind::NotFound)));
        service.users.close().await;
        let closed = service.user(7).await;
        assert_eq!(closed, Err(Failure::Cache(ErrorKind::Closed)));
    });
}

#[test]
fn an_error_that_cannot_be_cloned_is_inside_the_caches() {
    #[derive(Debug)]
    struct Whole(Option<Error>);

    impl std::fmt::Display for Whole {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            write!(f, "{:?}", self.0)
        }
    }

    impl std::error::Error for Whole {}

    impl From<Error> for Whole {
        fn from(error: Error) -> Self {
            Self(Some(error))
        }
    }

    #[jetcache_tokio::cached(cache = users, key = id)]
    async fn failing(users: &Cache<u64, Value>, id: u64) -> Result<Value, Whole> {
        Err(Whole(None))
    }

    on_tokio(async {
        let users = Service::new().users;
        let failed = failing(&users, 7).await.unwrap_err();
        let failed = failed.0.unwrap();
        assert!(failed.load_as::<Whole>().is_some_and(|own| own.0.is_none()));
    });
}

#[test]
fn a_key_is_whatever_the_arguments_say() {
    on_tokio(async {
        let service = Service::new();
        for _ in 0..2 {
            assert_eq!(service.always(1).await, Ok("one".into()));
            assert_eq!(service.always(2).await, Ok("always 2".into()));
            assert_eq!(service.lent("Ada").await, Ok("Ada".into()));
            assert_eq!(service.moved("Bob".into()).await, Ok("Bob".into()));
            assert_eq!(service.formatted("shop", 7).await, Ok("shop 7".into()));
            assert_eq!(service.pair("a:b", 'c').await, Ok("a:b c".into()));
            assert_eq!(service.pair("a", "b:c").await, Ok("a b:c".into()));
        }
        assert_eq!(service.asked(), 5);
        for key in ["Ada", "Bob", "shop/0007"] {
            assert!(service.names.peek(key).is_hit(), "{key}");
        }
    });
}

#[test]
fn a_call_may_leave_the_cache_alone() {
    on_tokio(async {
        let service = Service::new();
        let answers = [service.small(1).await, service.small(1).await];
        assert_eq!(answers, [Ok("1".into()), Ok("1".into())]);
        let answers = [service.small(10).await, service.small(10).await];
        assert_eq!(answers, [Ok("2".into()), Ok("3".into())]);
        assert!(!service.users.peek(&10).is_hit());
    });
}

#[test]
fn tags_and_times_are_those_that_stand_there() {
    on_tokio(async {
        let service = Service::new();
        for tag in ["user:7", "shop", "all"] {
            let before = service.tagged(7).await.unwrap();
            assert_eq!(service.tagged(7).await.unwrap(), before);
            service.users.invalidate_tag(tag).await.unwrap();
            assert_ne!(service.tagged(7).await.unwrap(), before, "{tag}");
        }
        let seen = service.users.inspect(&7).await;
        let InL1::Entry(near) = seen.l1 else {
            panic!("{seen:?}")
        };
        let InL2::Answered {
            entry: Some(far), ..
        } = seen.l2
        else {
            panic!("{near:?}")
        };
        assert!(near.left <= Duration::from_secs(5), "{near:?}");
        let left = far.left.unwrap();
        assert!(left <= Duration::from_secs(600), "{far:?}");
        assert!(left > Duration::from_secs(60), "{far:?}");
        let kept = [service.never_kept(8).await, service.never_kept(8).await];
        assert_ne!(kept[0], kept[1]);
    });
}

#[test]
fn a_plain_function_is_answered_by_its_body_if_the_cache_fails() {
    on_tokio(async {
        let service = Service::new();
        for _ in 0..2 {
            assert_eq!(&*service.plain(7).await, "plain 7");
            assert_eq!(service.plain_option(404).await, None);
        }
        assert_eq!(service.asked(), 2);
        // A placeholder is no value: the body brings one.
        assert_eq!(&*service.plain(404).await, "plain 404");
        service.users.close().await;
        assert_eq!(&*service.plain(8).await, "plain 8");
        assert_eq!(service.plain_option(8).await, Some("there".into()));
    });
}

#[test]
fn a_method_may_change_its_service() {
    on_tokio(async {
        let mut service = Service::new();
        assert_eq!(service.changing(7).await, Ok("1".into()));
        assert_eq!(service.changing(7).await, Ok("1".into()));
    });
}

/// In a static, on smol, with the runtime crate under another name.
mod elsewhere {
    use super::*;

    mod deep {
        pub(super) use jetcache_smol as renamed;
    }

    static CACHE: LazyLock<Cache<String, Value>> =
        LazyLock::new(|| jetcache_smol::builder("names").build().unwrap());

    #[jetcache_smol::cached(cache = CACHE, key = name, crate = deep::renamed)]
    async fn named(name: &str) -> Result<Value, Failure> {
        Ok(name.into())
    }

    #[jetcache_smol::cached(cache = CACHE, key = "all")]
    async fn all() -> Result<Value, Failure> {
        Ok("everything".into())
    }

    #[test]
    fn smol_has_the_same_attribute() {
        smol::block_on(async {
            assert_eq!(named("Ada").await, Ok("Ada".into()));
            assert_eq!(all().await, Ok("everything".into()));
            assert!(CACHE.peek("Ada").is_hit() && CACHE.peek("all").is_hit());
        });
    }
}

#[test]
fn its_future_is_a_task_like_any_other() {
    let service = Service::new();
    let answer = in_a_task(async move {
        let user = service.user(7).await;
        let name = service.moved("Ada".into()).await;
        let plain = service.plain(9).await;
        (user, name, plain)
    });
    assert_eq!(answer.0, Ok(Some("user 7".into())));
}
