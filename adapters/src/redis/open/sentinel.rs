//! From a group's name and its Sentinels to a client that has not connected yet.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use redis::{Client, ConnectionAddr, ConnectionInfo, IntoConnectionInfo, ProtocolVersion};

use crate::redis::Redis;
use crate::redis::connection::dial::sentinels::Sentinels;
use crate::redis::connection::dial::target::Target;
use crate::redis::open::RedisBuilder;
use crate::redis::open::error::OpenError;

impl Redis {
    /// The primary of the group that Sentinels watch under this name, whichever server that is: a
    /// failover needs no restart. Each Sentinel is `host:port`, or a URL,
    /// `redis://[user][:password@]host:port`, with `rediss://` for TLS; name all of them, since any
    /// may be down.
    ///
    /// ```
    /// # mod jetcache_tokio { pub use jetcache_adapters::*; pub use jetcache_core::*; }
    /// use jetcache_tokio::Redis;
    ///
    /// // It does not connect: that happens at the first call, and again whenever it must.
    /// let sentinels = ["host1:26379", "host2:26379", "host3:26379"];
    /// let redis = Redis::sentinel("mymaster", sentinels)
    ///     .password("secret")
    ///     .open()?;
    /// let bus = redis.pubsub("jetcache"); // it follows a failover, too
    /// # let _ = bus;
    /// # Ok::<(), jetcache_tokio::redis::OpenError>(())
    /// ```
    ///
    /// # Who is the primary
    /// Each attempt to connect asks the Sentinels, one after the other, the one that answered last
    /// first; each may take an equal part of
    /// [`connect_timeout`](RedisSentinelBuilder::connect_timeout), so one that is dead or hangs
    /// does not use it up. A replica that they name, because they are behind, is refused and asked
    /// for again after a pause. All connections to the primary before, those of the buses too, are
    /// left as soon as one attempt has reached the next. Such an attempt is brought about by the old
    /// one when it breaks a connection, refuses a change, or answers nothing for
    /// [`answer_timeout`](RedisSentinelBuilder::answer_timeout).
    ///
    /// It need not do any of these: after a failover by hand (`SENTINEL FAILOVER`) or a partition it
    /// takes changes for some ten seconds, until the Sentinels make it a replica, and then they are
    /// lost. So calls ask the Sentinels, too, once a second in the background, and a bus that hears
    /// nothing does at each [`heartbeat`](RedisSentinelBuilder::heartbeat).
    ///
    /// # What a failover loses
    /// Redis replicates behind the caller's back. What the old primary acknowledged and had not
    /// passed on is lost with it, a removal among them: the promoted replica may still have the
    /// value before. `min-replicas-to-write` and `min-replicas-max-lag` bound how much that is.
    #[must_use]
    pub fn sentinel<S: Into<String>>(
        group: impl Into<Arc<str>>,
        sentinels: impl IntoIterator<Item = S>,
    ) -> RedisSentinelBuilder {
        RedisSentinelBuilder {
            group: group.into(),
            sentinels: sentinels.into_iter().map(Into::into).collect(),
            node: RedisBuilder::new(String::new()),
            login: Login::default(),
            database: 0,
            tls: false,
            sentinel_login: Login::default(),
        }
    }
}

/// Settings for a [`Redis`] with Sentinels, made by [`Redis::sentinel`].
#[derive(Clone)]
pub struct RedisSentinelBuilder {
    group: Arc<str>,
    sentinels: Vec<String>,
    // The settings that are no matter of the address. Its URL is not used.
    node: RedisBuilder,
    login: Login,
    database: u32,
    tls: bool,
    sentinel_login: Login,
}

#[derive(Clone, Default)]
struct Login {
    username: Option<String>,
    password: Option<String>,
}

impl RedisSentinelBuilder {
    /// The user of the data servers, `default` unless said otherwise. It needs a
    /// [`password`](Self::password).
    #[must_use]
    pub fn username(mut self, name: impl Into<String>) -> Self {
        self.login.username = Some(name.into());
        self
    }

    /// The password for the data servers; none unless said otherwise.
    #[must_use]
    pub fn password(mut self, password: impl Into<String>) -> Self {
        self.login.password = Some(password.into());
        self
    }

    /// The database's number, 0 unless said otherwise.
    #[must_use]
    pub fn database(mut self, number: u32) -> Self {
        self.database = number;
        self
    }

    /// The data servers are spoken to over TLS. Their certificates must be for the names or
    /// addresses that the Sentinels give.
    #[must_use]
    pub fn tls(mut self) -> Self {
        self.tls = true;
        self
    }

    /// The user of the Sentinels whose URL names none, `default` unless said otherwise. It needs a
    /// [`sentinel_password`](Self::sentinel_password), and as rights
    /// `+sentinel|get-master-addr-by-name`.
    #[must_use]
    pub fn sentinel_username(mut self, name: impl Into<String>) -> Self {
        self.sentinel_login.username = Some(name.into());
        self
    }

    /// The password for the Sentinels whose URL has none; none unless said otherwise, for it is not
    /// that of the data servers.
    #[must_use]
    pub fn sentinel_password(mut self, password: impl Into<String>) -> Self {
        self.sentinel_login.password = Some(password.into());
        self
    }

    /// How many connections a runtime has to the primary, 2 unless said otherwise. See
    /// [`RedisBuilder::connections`].
    #[must_use]
    pub fn connections(mut self, count: usize) -> Self {
        self.node = self.node.connections(count);
        self
    }

    /// The name that `CLIENT LIST` shows on the data servers, `jetcache` unless said otherwise; an
    /// empty one is not set.
    #[must_use]
    pub fn client_name(mut self, name: impl Into<String>) -> Self {
        self.node = self.node.client_name(name);
        self
    }

    /// How long one attempt to connect may take, the questions to the Sentinels, TLS and login
    /// included; 1 s unless said otherwise. With three Sentinels each may take a quarter of it.
    /// Calls do not wait that long, and the attempt goes on for those that follow.
    #[must_use]
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.node = self.node.connect_timeout(timeout);
        self
    }

    /// How long a connection may answer nothing before it is buried and replaced, 2 s unless said
    /// otherwise: so long a primary that hangs is waited for, if the Sentinels have found another
    /// one by then. See [`RedisBuilder::answer_timeout`].
    #[must_use]
    pub fn answer_timeout(mut self, span: Duration) -> Self {
        self.node = self.node.answer_timeout(span);
        self
    }

    /// How often a subscription asks the primary for a sign of life, and how long it then waits for
    /// one; 5 s unless said otherwise. See [`RedisBuilder::heartbeat`].
    #[must_use]
    pub fn heartbeat(mut self, span: Duration) -> Self {
        self.node = self.node.heartbeat(span);
        self
    }

    /// The authorities to trust for TLS, with data servers and Sentinels, as PEM, in place of the
    /// public ones.
    #[must_use]
    pub fn authorities(mut self, pem: impl Into<Vec<u8>>) -> Self {
        self.node = self.node.authorities(pem);
        self
    }

    /// The certificate chain and private key that this client shows, as PEM, to data servers and
    /// Sentinels that ask for them over TLS.
    #[must_use]
    pub fn identity(mut self, chain: impl Into<Vec<u8>>, key: impl Into<Vec<u8>>) -> Self {
        self.node = self.node.identity(chain, key);
        self
    }

    /// Checks the settings. It does not connect, and needs no running runtime.
    ///
    /// # Errors
    /// What is wrong with the settings, in words that say what to change.
    pub fn open(self) -> Result<Redis, OpenError> {
        self.node.check()?;
        if self.group.is_empty() {
            return Err(OpenError::new(
                "the group has no name: give the one in the Sentinels' `sentinel monitor`, often \
                 mymaster",
            ));
        }
        if self.sentinels.is_empty() {
            return Err(OpenError::new(
                "no Sentinels: give the address of each, as in host:26379",
            ));
        }
        let mut is_tls = self.tls;
        let mut sentinels = Vec::with_capacity(self.sentinels.len());
        for text in &self.sentinels {
            let client = self.sentinel_client(parse(text)?)?;
            let address = client.get_connection_info().addr();
            is_tls |= matches!(address, ConnectionAddr::TcpTls { .. });
            sentinels.push(client);
        }
        if self.node.has_certificates() && !is_tls {
            return Err(OpenError::new(
                "certificates need `tls`, or Sentinels whose URLs are rediss://",
            ));
        }
        // The Sentinels say where; this says how.
        let somewhere = parse(if self.tls {
            "rediss://primary:6379"
        } else {
            "redis://primary:6379"
        })?;
        let somewhere = self.login.of("username", "password", somewhere)?;
        let login = somewhere.redis_settings().clone();
        let login = login.set_db(i64::from(self.database));
        let client = self.client_at(somewhere.set_redis_settings(login))?;
        let login = client.get_connection_info().clone();
        let group = Sentinels::new(Arc::clone(&self.group), sentinels, login);
        Ok(Redis::made_of(self.node.dial_to(Target::Group(group))))
    }

    fn sentinel_client(&self, target: ConnectionInfo) -> Result<Client, OpenError> {
        let has_login = target.redis_settings().password().is_some();
        let target = if has_login {
            target
        } else {
            let login = &self.sentinel_login;
            login.of("sentinel_username", "sentinel_password", target)?
        };
        let client = self.client_at(target)?;
        // One question needs no greeting, for which old Sentinels want a right.
        let target = client.get_connection_info().clone();
        let login = target.redis_settings().clone();
        let target = target.set_redis_settings(login.set_protocol(ProtocolVersion::RESP2));
        Client::open(target).map_err(|error| OpenError::new(error.to_string()))
    }

    /// Certificates are for those who speak TLS.
    fn client_at(&self, target: ConnectionInfo) -> Result<Client, OpenError> {
        if matches!(target.addr(), ConnectionAddr::TcpTls { .. }) {
            self.node.client_at(target)
        } else {
            RedisBuilder::new(String::new()).client_at(target)
        }
    }
}

impl Login {
    /// The same target with this login.
    fn of(
        &self,
        username: &str,
        password: &str,
        target: ConnectionInfo,
    ) -> Result<ConnectionInfo, OpenError> {
        let mut login = target.redis_settings().clone();
        match (&self.username, &self.password) {
            (None, None) => return Ok(target),
            (Some(_), None) => {
                let words = format!("`{username}` needs `{password}`, too");
                return Err(OpenError::new(words));
            }
            (name, Some(secret)) => {
                login = login.set_password(secret);
                if let Some(name) = name {
                    login = login.set_username(name);
                }
            }
        }
        Ok(target.set_redis_settings(login))
    }
}

/// A Sentinel: `host:port`, or a URL. Errors do not show what stands before an `@`.
fn parse(text: &str) -> Result<ConnectionInfo, OpenError> {
    let (scheme, rest) = text.split_once("://").unwrap_or(("redis", text));
    let shown = rest.rsplit_once('@').map_or(rest, |(_, rest)| rest);
    let wrong = |what: &str| {
        OpenError::new(format!(
            "the Sentinel `{shown}` {what}: write host:26379, or \
             redis://user:password@host:26379 with rediss:// for TLS"
        ))
    };
    if !matches!(scheme, "redis" | "rediss") {
        return Err(wrong("has another scheme than redis or rediss"));
    }
    let authority = shown.split(['/', '?', '#']).next().unwrap_or(shown);
    let Some((host, port)) = authority.rsplit_once(':') else {
        return Err(wrong("names no port"));
    };
    if host.is_empty() {
        return Err(wrong("names no host"));
    }
    if !matches!(port.parse::<u16>(), Ok(1..)) {
        return Err(wrong("has a port that is none"));
    }
    let target = format!("{scheme}://{rest}").as_str().into_connection_info();
    let target = target.map_err(|error| wrong(&format!("is no address ({error})")))?;
    if target.redis_settings().db() != 0 {
        return Err(wrong("has a database, which Sentinels do not have"));
    }
    Ok(target)
}

impl fmt::Debug for RedisSentinelBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The Sentinels' URLs may hold passwords.
        f.debug_struct("RedisSentinelBuilder")
            .field("group", &self.group)
            .field("sentinels", &self.sentinels.len())
            .field("node", &self.node)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(builder: RedisSentinelBuilder) -> String {
        builder.open().unwrap_err().to_string()
    }

    #[test]
    fn what_cannot_be_opened_says_what_to_do() {
        for (text, word) in [
            ("", "no port"),
            ("host", "no port"),
            ("host:", "a port that is none"),
            ("host:0", "a port that is none"),
            ("host:65536", "a port that is none"),
            ("host:26379x", "a port that is none"),
            (":26379", "no host"),
            ("http://host:1", "scheme"),
            ("redis+unix:///file", "scheme"),
            ("redis://host/1", "no port"),
            ("redis://host:1/1", "database"),
            ("redis://user:secret@host", "no port"),
            ("user:secret@host:x", "a port that is none"),
            ("ho st:1", "no address"),
        ] {
            let said = error(Redis::sentinel("mymaster", ["good:1", text]));
            assert!(said.contains(word) && said.contains("host:26379"), "{said}");
            assert!(!said.contains("secret"), "{said}");
        }
        let group = || Redis::sentinel("mymaster", ["host:1"]);
        for (builder, word) in [
            (Redis::sentinel("", ["host:1"]), "mymaster"),
            (Redis::sentinel("mymaster", [""; 0]), "host:26379"),
            (group().username("me"), "`password`"),
            (group().sentinel_username("me"), "`sentinel_password`"),
            (group().authorities("pem"), "`tls`"),
            (group().tls().authorities("pem"), "certificate"),
            (group().connections(0), "connections"),
            (group().connect_timeout(Duration::ZERO), "connect_timeout"),
        ] {
            let said = error(builder);
            assert!(said.contains(word), "{said}");
        }
    }

    #[test]
    fn each_form_of_an_address_is_read() {
        for (text, address, password) in [
            ("host:1", "host:1", None),
            ("10.0.0.1:1", "10.0.0.1:1", None),
            ("redis://host:1", "host:1", None),
            ("rediss://:p%40w@host:1", "host:1", Some("p@w")),
            ("me:pw@host:1", "host:1", Some("pw")),
        ] {
            let target = parse(text).unwrap();
            assert_eq!(target.addr().to_string(), address);
            assert_eq!(target.redis_settings().password(), password);
            let tls = matches!(target.addr(), ConnectionAddr::TcpTls { .. });
            assert_eq!(tls, text.starts_with("rediss"));
        }
        assert!(parse("[::1]:1").is_ok());
    }

    #[test]
    fn no_password_is_shown() {
        let builder = Redis::sentinel("mymaster", ["redis://:secret@host:1"])
            .password("secret")
            .sentinel_password("secret");
        let shown = format!("{builder:?} {:?}", builder.clone().open().unwrap());
        assert!(
            shown.contains("mymaster") && !shown.contains("secret"),
            "{shown}"
        );
    }
}
