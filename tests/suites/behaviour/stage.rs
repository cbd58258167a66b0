//! The stage on which a case is played: a runtime, an L2, and the nodes between them.

pub(crate) mod airwaves;
pub(crate) mod face;
pub(crate) mod moody;

use std::future::{Future, Ready, ready};
use std::io;
use std::panic::resume_unwind;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, Once, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use jetcache_adapters::{Memory, MessagePack, Redis, Threads, compressions};
use jetcache_core::ports::bus::Kind;
use jetcache_core::ports::remote::{Claim, Fill, Granted, LeaseAsk, Stored, Wire};
use jetcache_core::{Builder, Codec, LoadError, Remote, Token, roll};
use jetcache_tests::redis_server::RedisServer;
use tracing::subscriber::DefaultGuard;
use tracing_subscriber::fmt::format::FmtSpan;

pub(crate) type Value = Arc<String>;
use crate::behaviour::stage::face::Faced;
pub(crate) use crate::behaviour::stage::face::Node;
pub(crate) type Played<'a> = Pin<Box<dyn Future<Output = ()> + 'a>>;
pub(crate) type Case = fn(&Stage) -> Played<'_>;

/// Cases, each under the sentence that it proves.
pub(crate) type Cases<C> = &'static [(&'static str, C)];

#[derive(Clone, Copy, Debug)]
pub(crate) enum Host {
    Tokio,
    Smol,
    AsyncStd,
    /// Without any executor.
    Threads,
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum L2 {
    /// In the process.
    Memory,
    /// A real server that all cases share, each in a namespace of its own.
    Redis,
    /// A real server of this case's own, which it may kill.
    OwnRedis,
}

pub(crate) struct Stage {
    host: Host,
    namespace: String,
    memory: Memory,
    url: Option<String>,
    server: Option<Mutex<RedisServer>>,
}

impl Host {
    pub(crate) const ALL: [Self; 3] = [Self::Tokio, Self::Smol, Self::AsyncStd];

    pub(crate) fn block_on<T>(self, future: impl Future<Output = T>) -> T {
        match self {
            Self::Tokio => tokio::runtime::Builder::new_multi_thread()
                .worker_threads(2)
                .enable_all()
                .build()
                .expect("a tokio runtime")
                .block_on(future),
            Self::Smol | Self::Threads => smol::block_on(future),
            Self::AsyncStd => async_std::task::block_on(future),
        }
    }

    pub(crate) fn spawn(self, future: impl Future<Output = ()> + Send + 'static) {
        match self {
            Self::Tokio => drop(tokio::spawn(future)),
            Self::Smol => smol::spawn(future).detach(),
            Self::AsyncStd => drop(async_std::task::spawn(future)),
            Self::Threads => drop(thread::spawn(|| smol::block_on(future))),
        }
    }

    pub(crate) async fn sleep(self, span: Duration) {
        match self {
            Self::Tokio => tokio::time::sleep(span).await,
            Self::Smol | Self::AsyncStd | Self::Threads => {
                smol::Timer::after(span).await;
            }
        }
    }

    pub(crate) fn builder(self, name: &str) -> Builder<String, Value> {
        match self {
            Self::Tokio => jetcache_tokio::builder(name),
            Self::Smol => jetcache_smol::builder(name),
            Self::AsyncStd => jetcache_smol::async_std::builder(name),
            Self::Threads => self.parent().local_cache(name),
        }
    }

    pub(crate) fn parent(self) -> jetcache_tokio::Node {
        match self {
            Self::Tokio => jetcache_tokio::node(),
            Self::Smol => jetcache_smol::node(),
            Self::AsyncStd => jetcache_smol::async_std::node(),
            Self::Threads => {
                let node = jetcache_core::Node::new(Threads::new()).engine();
                compressions()
                    .into_iter()
                    .fold(node, jetcache_tokio::Node::decompress)
            }
        }
    }
}

impl Stage {
    pub(crate) fn new(host: Host, l2: L2, name: &str) -> Self {
        let server = matches!(l2, L2::OwnRedis).then(RedisServer::start);
        let url = match l2 {
            L2::Memory => None,
            L2::Redis => Some(shared_redis()),
            L2::OwnRedis => server.as_ref().map(RedisServer::url),
        };
        Self {
            host,
            // All runtimes play the same cases over one server, so each case has a namespace.
            namespace: format!("{host:?}-{name}"),
            memory: Memory::new(),
            url,
            server: server.map(Mutex::new),
        }
    }

    pub(crate) fn host(&self) -> Host {
        self.host
    }

    pub(crate) fn server(&self) -> MutexGuard<'_, RedisServer> {
        let server = self
            .server
            .as_ref()
            .expect("this case has a server of its own");
        server.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The full text of a key in L2.
    pub(crate) fn key(&self, id: &str) -> String {
        format!("{}:{id}", self.namespace)
    }

    /// A builder for one more node over the stage's L2.
    pub(crate) fn builder(&self) -> Builder<String, Value> {
        self.builder_with(MessagePack)
    }

    /// The same with another codec.
    pub(crate) fn builder_with(&self, codec: impl Codec<Value>) -> Builder<String, Value> {
        self.with_l2(self.host.builder("users").namespace(&self.namespace), codec)
    }

    /// A builder for a node whose name no other cache of this process has, and that name.
    pub(crate) fn builder_alone(&self) -> (Builder<String, Value>, String) {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("{}-{count}", self.namespace);
        let builder = self.host.builder(&name);
        (self.with_l2(builder, MessagePack), name)
    }

    fn with_l2(
        &self,
        builder: Builder<String, Value>,
        codec: impl Codec<Value>,
    ) -> Builder<String, Value> {
        match &self.url {
            None => builder.remote(self.memory.clone(), codec),
            Some(url) => {
                let builder = builder.remote(Redis::open(url).expect("a good URL"), codec);
                // The shared server is never away, only late.
                match self.server {
                    None => builder.remote_timeout(PATIENCE),
                    Some(_) => builder,
                }
            }
        }
    }

    pub(crate) fn node(&self) -> Node {
        let node = self.builder().build().expect("a good configuration");
        node.faced()
    }

    /// The parent of many caches over the stage's L2.
    pub(crate) fn parent(&self) -> jetcache_tokio::Node {
        let parent = self.host.parent();
        match &self.url {
            None => parent.remote(self.memory.clone()),
            Some(url) => parent.remote(Redis::open(url).expect("a good URL")),
        }
    }

    /// A node without an L2.
    pub(crate) fn local_node(&self) -> Node {
        let node = self.host.builder("users").build();
        node.expect("a good configuration").faced()
    }

    /// Puts bytes under a key of L2, as a stranger would.
    pub(crate) async fn plant(&self, id: &str, bytes: &[u8]) {
        let key = self.key(id);
        match &self.url {
            None => plant(&self.memory, &key, bytes).await,
            Some(url) => plant(&Redis::open(url).expect("a good URL"), &key, bytes).await,
        }
    }

    /// Removes a key of L2, as a stranger would.
    pub(crate) async fn remove(&self, id: &str) {
        let key = self.key(id);
        let removed = match &self.url {
            None => self.memory.remove(&[&key]).await,
            Some(url) => Redis::open(url).expect("a good URL").remove(&[&key]).await,
        };
        removed
            .into_iter()
            .for_each(|removed| removed.expect("a removal"));
    }

    /// Whether L2 says that a load of the key has failed lately.
    pub(crate) async fn is_failing(&self, id: &str) -> bool {
        let key = self.key(id);
        let ask = LeaseAsk {
            key: &key,
            token: Token::from_bits(roll()),
            life: Duration::from_millis(1),
        };
        let leased = match &self.url {
            None => self.memory.lease(&[ask], Wire::Native).await,
            Some(url) => {
                let redis = Redis::open(url).expect("a good URL");
                redis.lease(&[ask], Wire::Native).await
            }
        };
        let leased = leased.into_iter().next().expect("an outcome");
        leased.expect("an answer").granted == Granted::Failing
    }

    /// The bytes that stand under a key of L2.
    pub(crate) async fn bytes(&self, id: &str) -> Option<Vec<u8>> {
        self.bytes_at(&self.key(id)).await
    }

    /// The same for the full text of a key.
    pub(crate) async fn bytes_at(&self, key: &str) -> Option<Vec<u8>> {
        match &self.url {
            None => bytes(&self.memory, key).await,
            Some(url) => bytes(&Redis::open(url).expect("a good URL"), key).await,
        }
    }

    /// Waits until something holds.
    pub(crate) async fn until(&self, what: &str, mut holds: impl AsyncFnMut() -> bool) {
        let deadline = Instant::now() + Duration::from_secs(20);
        while !holds().await {
            assert!(Instant::now() < deadline, "waited in vain until {what}");
            self.host.sleep(Duration::from_millis(5)).await;
        }
    }

    pub(crate) async fn until_quiet(&self, node: &Node) {
        self.until("nothing is under way", async || {
            let activity = node.activity();
            activity == Default::default() && node.tasks() == 0
        })
        .await;
    }
}

/// A `remote_timeout` for an L2 that is late at most, on a machine that does other things too.
pub(crate) const PATIENCE: Duration = Duration::from_secs(2);

/// The URL of the server that all cases share.
pub(crate) fn shared_redis() -> String {
    static SERVER: LazyLock<RedisServer> = LazyLock::new(RedisServer::start);
    SERVER.url()
}

async fn plant(remote: &impl Remote, key: &str, bytes: &[u8]) {
    let (token, life) = (Token::from_bits(roll()), Duration::from_secs(60));
    let claim = Claim {
        key,
        token,
        life,
        condition: None,
        dead: None,
        spares: false,
    };
    remote
        .claim(&[claim], Wire::Native)
        .await
        .remove(0)
        .expect("a claim");
    let value = Stored {
        replaces: None,
        bytes,
        life,
        stale: Duration::ZERO,
        lease: life,
        age: Duration::ZERO,
    };
    let fill = Fill {
        key,
        token,
        value,
        kind: Kind::SetByOnce,
    };
    remote
        .fill(&[fill], Wire::Native)
        .await
        .remove(0)
        .expect("a fill");
}

async fn bytes(remote: &impl Remote, key: &str) -> Option<Vec<u8>> {
    let read = remote.read(&[key], Wire::Native).await.remove(0);
    read.expect("a read").map(|found| found.bytes)
}

pub(crate) fn value(text: &str) -> Value {
    Arc::new(text.to_owned())
}

/// A loader that brings this text.
pub(crate) fn brings(text: &str) -> impl FnOnce() -> Ready<Result<Value, LoadError>> + use<> {
    let value = value(text);
    move || ready(Ok(value))
}

/// A loader that must not run.
pub(crate) async fn nobody() -> Result<Option<Value>, LoadError> {
    panic!("this loader should not have run")
}

/// A panic that a case expects. It unwinds as any other does, past the hook that would print it and
/// its backtrace.
pub(crate) fn expected_panic(text: &'static str) -> ! {
    resume_unwind(Box::new(text))
}

/// What was logged in this process through `tracing`.
#[derive(Clone, Debug, Default)]
pub(crate) struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    /// The log, which begins at the first call.
    pub(crate) fn capture() -> Self {
        static LOG: LazyLock<Log> = LazyLock::new(Log::default);
        static ONCE: Once = Once::new();
        ONCE.call_once(|| {
            let writer = || LOG.clone();
            tracing_subscriber::fmt()
                .with_writer(writer)
                .with_ansi(false)
                .init();
        });
        LOG.clone()
    }

    /// A log of its own for this thread, with the spans that begin there, for as long as the guard
    /// lives.
    pub(crate) fn trace() -> (Self, DefaultGuard) {
        let log = Self::default();
        let own = log.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_max_level(tracing::Level::DEBUG)
            .with_span_events(FmtSpan::NEW)
            .with_writer(move || own.clone())
            .with_ansi(false)
            .finish();
        (log, tracing::subscriber::set_default(subscriber))
    }

    pub(crate) fn contains(&self, text: &str) -> bool {
        self.count(text) > 0
    }

    /// How many lines have this text.
    pub(crate) fn count(&self, text: &str) -> usize {
        let log = self.text();
        log.lines().filter(|line| line.contains(text)).count()
    }

    /// The first line that has this text.
    pub(crate) fn line(&self, text: &str) -> Option<String> {
        self.lines(text).into_iter().next()
    }

    /// The lines that have this text.
    pub(crate) fn lines(&self, text: &str) -> Vec<String> {
        let log = self.text();
        let lines = log.lines().filter(|line| line.contains(text));
        lines.map(str::to_owned).collect()
    }

    pub(crate) fn text(&self) -> String {
        let log = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        String::from_utf8_lossy(&log).into_owned()
    }
}

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
