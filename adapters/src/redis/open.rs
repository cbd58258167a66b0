//! From a URL and settings to a client that has not connected yet.

pub(crate) mod error;
mod sentinel;
mod target;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use redis::{
    Client, ClientTlsConfig, ConnectionAddr, ConnectionInfo, IntoConnectionInfo, TlsCertificates,
};

use crate::redis::Redis;
use crate::redis::connection::Connections;
use crate::redis::connection::calm::Calm;
use crate::redis::connection::dial::Dial;
use crate::redis::connection::dial::target::Target;
use crate::redis::connection::primary::Primary;
use crate::redis::open::error::OpenError;
pub use crate::redis::open::sentinel::RedisSentinelBuilder;
use crate::redis::open::target::{resp3_client, tcp};

impl Redis {
    /// Redis at a URL: `redis://[user][:password@]host[:port][/database]`, `rediss://` for TLS, or
    /// `redis+unix:///path?db=0&user=..&pass=..`. It does not connect, and needs no running
    /// runtime.
    ///
    /// # Errors
    /// If the URL is not one of these.
    pub fn open(url: &str) -> Result<Self, OpenError> {
        Self::builder(url).open()
    }

    /// Redis at a URL (see [`open`](Self::open)), with settings.
    #[must_use]
    pub fn builder(url: impl Into<String>) -> RedisBuilder {
        RedisBuilder::new(url.into())
    }

    /// Redis at the address of a client of your own, with its login and its socket settings. The
    /// connections are made here, two a runtime, and speak RESP3.
    ///
    /// # Errors
    /// If redis-rs does not accept the client's address.
    pub fn from_client(client: &Client) -> Result<Self, OpenError> {
        let client = resp3_client(client.get_connection_info().clone())?;
        let settings = RedisBuilder::new(String::new());
        Ok(Self::made_of(settings.dial_to(Target::One(client))))
    }

    /// So many connections, each dialled like this.
    fn made_of((dial, count): (Dial, usize)) -> Self {
        let connections = Connections::new(Arc::new(dial), count);
        Self::over(Arc::new(connections), count)
    }
}

/// Settings for [`Redis`], made by [`Redis::builder`].
#[derive(Clone)]
pub struct RedisBuilder {
    url: String,
    connections: usize,
    name: String,
    timeout: Duration,
    heartbeat: Duration,
    patience: Duration,
    authorities: Option<Vec<u8>>,
    identity: Option<(Vec<u8>, Vec<u8>)>,
}

impl RedisBuilder {
    pub(crate) fn new(url: String) -> Self {
        Self {
            url,
            connections: CONNECTIONS,
            name: NAME.into(),
            timeout: TIMEOUT,
            heartbeat: HEARTBEAT,
            patience: PATIENCE,
            authorities: None,
            identity: None,
        }
    }

    /// How many connections a runtime uses in turn, 2 unless said otherwise. Answers on one
    /// connection come in order, so a big value holds up those behind it; more connections spread
    /// that, and let more reads be on their way before others [gather](Redis#many-calls-at-once). Each is
    /// made when it is first needed.
    #[must_use]
    pub fn connections(mut self, count: usize) -> Self {
        self.connections = count;
        self
    }

    /// The name that `CLIENT LIST` shows, `jetcache` unless said otherwise; an empty one is not
    /// set.
    #[must_use]
    pub fn client_name(mut self, name: impl Into<String>) -> Self {
        self.name = name.into();
        self
    }

    /// How long one attempt to connect may take, TLS and login included; 1 s unless said
    /// otherwise. Calls do not wait that long: the cache's `remote_timeout` bounds them, and the
    /// attempt goes on for those that follow.
    #[must_use]
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// How long a connection may answer nothing before it is buried and replaced, 2 s unless said
    /// otherwise. It counts from the first call that was given up unanswered, be it the first one
    /// after an hour of idling; whatever is answered meanwhile begins it anew. So a connection whose
    /// peer takes bytes and answers nothing (a load balancer whose backend is gone) is replaced by
    /// the first call that comes so long after the cache's `remote_timeout` ended one in vain; those
    /// who still wait for an answer on it are told then that there will be none.
    ///
    /// Make it a few times the longest `remote_timeout` of the caches that share this: a server that
    /// stands still for less keeps its connections.
    #[must_use]
    pub fn answer_timeout(mut self, span: Duration) -> Self {
        self.patience = span;
        self
    }

    /// How often a subscription asks the server for a sign of life, and how long it then waits for
    /// one; 5 s unless said otherwise. So a connection that broke without a word is noticed within
    /// twice as long. See [`pubsub`](Redis::pubsub) and [`tracking`](Redis::tracking).
    #[must_use]
    pub fn heartbeat(mut self, span: Duration) -> Self {
        self.heartbeat = span;
        self
    }

    /// The authorities to trust for `rediss://`, as PEM, in place of the public ones (Mozilla's
    /// list, built in).
    #[must_use]
    pub fn authorities(mut self, pem: impl Into<Vec<u8>>) -> Self {
        self.authorities = Some(pem.into());
        self
    }

    /// The certificate chain and private key that this client shows to a `rediss://` server that
    /// asks for them, as PEM.
    #[must_use]
    pub fn identity(mut self, chain: impl Into<Vec<u8>>, key: impl Into<Vec<u8>>) -> Self {
        self.identity = Some((chain.into(), key.into()));
        self
    }

    /// Checks the settings. It does not connect, and needs no running runtime.
    ///
    /// # Errors
    /// What is wrong with the settings, in words that say what to change.
    pub fn open(self) -> Result<Redis, OpenError> {
        self.dial().map(Redis::made_of)
    }

    /// The same settings for another URL.
    #[allow(dead_code, reason = "one server alone has one URL")]
    pub(crate) fn at(self, url: String) -> Self {
        Self { url, ..self }
    }

    /// What an attempt to connect needs, checked, and how many connections are wanted.
    pub(crate) fn dial(self) -> Result<(Dial, usize), OpenError> {
        self.check()?;
        let target = parse(&self.url)?;
        let client = self.client_at(target)?;
        Ok(self.dial_to(Target::One(client)))
    }

    fn check(&self) -> Result<(), OpenError> {
        if self.connections == 0 {
            return Err(OpenError::new("connections must be at least 1"));
        }
        if self.timeout.is_zero() {
            return Err(OpenError::new("connect_timeout must be above zero"));
        }
        if self.heartbeat.is_zero() {
            return Err(OpenError::new("heartbeat must be above zero"));
        }
        if self.patience.is_zero() {
            return Err(OpenError::new("answer_timeout must be above zero"));
        }
        if self.name.chars().any(|c| !c.is_ascii_graphic()) {
            return Err(OpenError::new(
                "client_name must be of printable ASCII characters without spaces",
            ));
        }
        Ok(())
    }

    /// A client that connects to this target with these settings.
    fn client_at(&self, target: ConnectionInfo) -> Result<Client, OpenError> {
        // Sending the library's name needs one more right; without it, the server would refuse and
        // log that at every connection.
        let login = target.redis_settings().clone().set_skip_set_lib_name();
        let target = target.set_tcp_settings(tcp()).set_redis_settings(login);
        self.client(target)
    }

    fn dial_to(self, target: Target) -> (Dial, usize) {
        let dial = Dial {
            target,
            name: Some(self.name).filter(|name| !name.is_empty()),
            timeout: self.timeout,
            heartbeat: self.heartbeat,
            patience: self.patience,
            tally: Arc::default(),
            door: Calm::default(),
            renewals: Arc::default(),
            primary: Primary::default(),
            scripts: Arc::default(),
        };
        (dial, self.connections)
    }

    fn has_certificates(&self) -> bool {
        self.authorities.is_some() || self.identity.is_some()
    }

    fn client(&self, target: ConnectionInfo) -> Result<Client, OpenError> {
        if !self.has_certificates() {
            return resp3_client(target);
        }
        if !matches!(target.addr(), ConnectionAddr::TcpTls { .. }) {
            return Err(OpenError::new("certificates need a rediss:// URL"));
        }
        if self
            .authorities
            .as_ref()
            .is_some_and(|pem| !has_certificate(pem))
        {
            return Err(OpenError::new("authorities: no certificate in this PEM"));
        }
        let certificates = TlsCertificates {
            client_tls: self
                .identity
                .clone()
                .map(|(client_cert, client_key)| ClientTlsConfig {
                    client_cert,
                    client_key,
                }),
            root_cert: self.authorities.clone(),
        };
        let client_with = Client::build_with_tls(target, certificates)
            .map_err(|error| OpenError::new(format!("certificates: {error}")))?;
        resp3_client(client_with.get_connection_info().clone())
    }
}

impl fmt::Debug for RedisBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The URL may hold a password, and the identity is a secret.
        f.debug_struct("RedisBuilder")
            .field("connections", &self.connections)
            .field("client_name", &self.name)
            .field("connect_timeout", &self.timeout)
            .finish_non_exhaustive()
    }
}

fn parse(url: &str) -> Result<ConnectionInfo, OpenError> {
    url.into_connection_info().map_err(|error| {
        OpenError::new(format!(
            "not a Redis URL ({error}): expected redis://, rediss:// or redis+unix://, as in \
             redis://user:password@host:6379/0"
        ))
    })
}

fn has_certificate(pem: &[u8]) -> bool {
    const BEGIN: &[u8] = b"-----BEGIN CERTIFICATE-----";
    pem.windows(BEGIN.len()).any(|window| window == BEGIN)
}

const CONNECTIONS: usize = 2;
const NAME: &str = "jetcache";
const TIMEOUT: Duration = Duration::from_secs(1);
const HEARTBEAT: Duration = Duration::from_secs(5);
const PATIENCE: Duration = Duration::from_secs(2);
