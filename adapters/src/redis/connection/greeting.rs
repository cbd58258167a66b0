//! What a server says first: why it lets nobody in, and how old it is.

use std::time::Duration;

use jetcache_core::Fault;
use redis::aio::MultiplexedConnection;
use redis::{ConnectionAddr, ErrorKind, Pipeline, RedisConnectionInfo, RedisError, Value};

use crate::redis::connection::fault::fault;

/// How the login was given, for the words that say what to change.
pub(super) struct Given {
    login: &'static str,
    no_password: &'static str,
    database: &'static str,
}

pub(super) const GIVEN_BY_URL: Given = Given {
    login: "the URL",
    no_password: "the URL has none, as in redis://user:password@host:6379/0",
    database: "the number at the URL's end",
};

pub(super) const GIVEN_APART: Given = Given {
    login: "`username` and `password`",
    no_password: "none was given with `password`",
    database: "which was given with `database`",
};

/// Why an attempt to connect failed. What the user of this library can mend is said in words.
pub(super) fn denial(error: &RedisError, login: &RedisConnectionInfo, given: &Given) -> Fault {
    let who = match login.username() {
        Some(user) => format!("user `{user}`"),
        None => "the default user".into(),
    };
    let words = match error.kind() {
        ErrorKind::RESP3NotSupported => too_old("this server, which does not know HELLO,"),
        _ if error.code() == Some("WRONGPASS")
            || error.kind() == ErrorKind::AuthenticationFailed =>
        {
            format!(
                "wrong user or password ({who}), look at {}: {error}",
                given.login
            )
        }
        _ if error.code() == Some("NOAUTH") => format!(
            "the server wants a password and {}: {error}",
            given.no_password
        ),
        _ if login.db() != 0 && error.to_string().contains(DATABASE) => format!(
            "the server does not let {who} have database {}, {}: there is no such database, or the \
             right +select is missing: {error}",
            login.db(),
            given.database
        ),
        _ if error.to_string().contains(FULL) => format!(
            "the server has as many clients as it may have: open fewer connections \
             (`RedisBuilder::connections`), or raise its maxclients: {error}"
        ),
        _ if error.code() == Some("NOPROTO") || error.to_string().contains("unknown command") => {
            format!(
                "this server, or a proxy before it, does not speak RESP3 (HELLO), which is needed: \
                 {error}"
            )
        }
        _ => return fault(error),
    };
    Fault::Refused(words.into())
}

/// Asks the server who it is, and if it is to be `identified` what tells its process and its history
/// from others.
pub(super) async fn greeting(
    connection: &MultiplexedConnection,
    patience: Duration,
    identified: bool,
) -> Result<(Value, Option<String>), Fault> {
    let mut connection = connection.clone();
    connection.set_response_timeout(patience);
    let mut questions = Pipeline::with_capacity(2);
    // It needs no right. A user without the right to the next one does without the answer.
    questions.cmd("HELLO");
    if identified {
        questions.cmd("INFO").arg("server").arg("replication");
    }
    let count = questions.len();
    let answers = connection.send_packed_commands(&questions, 0, count).await;
    let mut answers = answers.map_err(|error| fault(&error))?.into_iter();
    let greeting = answers.next().unwrap_or(Value::Nil);
    if let Value::ServerError(error) = greeting {
        return Err(fault(&error.into()));
    }
    Ok((greeting, answers.next().as_ref().and_then(identity)))
}

/// The id that the process drew when it was started, and that of what it has: one that was a replica
/// meanwhile has the other's.
fn identity(info: &Value) -> Option<String> {
    let info = match info {
        Value::VerbatimString { text, .. } => text,
        other => text(other)?,
    };
    let field = |name| {
        let mut lines = info.lines().filter_map(|line| line.strip_prefix(name));
        lines.next().map(str::trim)
    };
    let history = field("master_replid:").unwrap_or_default();
    Some(format!("{} {history}", field("run_id:")?))
}

/// Whether the server says that it is one.
pub(super) fn is_replica(greeting: &Value) -> bool {
    matches!(field(greeting, "role"), Some("replica" | "slave"))
}

/// A server that is too old is refused here: it would answer reads, and refuse the leases without
/// which no load is stored.
pub(super) fn check_age(greeting: &Value) -> Result<(), Fault> {
    match old(greeting) {
        Some(server) => Err(Fault::Refused(too_old(&server).into())),
        None => Ok(()),
    }
}

/// A replica that the Sentinels named is refused: they may be behind what they have done.
pub(super) fn check_role(greeting: &Value, address: &ConnectionAddr) -> Result<(), Fault> {
    if !is_replica(greeting) {
        return Ok(());
    }
    let words = format!(
        "the Sentinels name {address}, which is a replica by now: they are asked again after a \
         pause, look at `SENTINEL MASTERS` if this stays"
    );
    Err(Fault::Refused(words.into()))
}

/// The server, if its greeting says that it is too old. One that cannot be understood is given the
/// benefit of the doubt: its first refusal will tell.
fn old(greeting: &Value) -> Option<String> {
    let version = field(greeting, "version")?;
    let major: u64 = version.split('.').next()?.parse().ok()?;
    let server = field(greeting, "server").unwrap_or("the server");
    (major < OLDEST).then(|| format!("{server} {version}"))
}

fn field<'a>(greeting: &'a Value, name: &str) -> Option<&'a str> {
    let Value::Map(fields) = greeting else {
        return None;
    };
    let (_, value) = fields.iter().find(|(field, _)| text(field) == Some(name))?;
    text(value)
}

/// What is to be done about a server that is too old.
pub(crate) fn too_old(server: &str) -> String {
    format!(
        "{server} is too old: Redis 7.0, Valkey 7.2 or later is needed (older ones do not know \
         SET with NX and GET); nothing is read from it or stored there until it is upgraded"
    )
}

fn text(value: &Value) -> Option<&str> {
    match value {
        Value::BulkString(bytes) => std::str::from_utf8(bytes).ok(),
        Value::SimpleString(text) => Some(text),
        _ => None,
    }
}

/// What a server says before it closes the connection of one client too many.
const FULL: &str = "max number of clients";

/// What redis-rs says when `SELECT` is refused.
const DATABASE: &str = "refused to switch database";

/// The oldest major version that will do. Valkey began with 7.2.
const OLDEST: u64 = 7;

#[cfg(test)]
mod tests {
    use super::*;

    fn greeting(server: &str, version: &str) -> Value {
        let bulk = |text: &str| Value::BulkString(text.as_bytes().to_vec());
        Value::Map(vec![
            (bulk("server"), bulk(server)),
            (bulk("version"), bulk(version)),
            (bulk("proto"), Value::Int(3)),
        ])
    }

    #[test]
    fn old_servers_are_known_by_their_greeting() {
        for (server, version) in [("redis", "6.2.14"), ("redis", "6.0.0"), ("keydb", "6.3.4")] {
            let named = format!("{server} {version}");
            assert_eq!(old(&greeting(server, version)), Some(named));
        }
        for (server, version) in [
            ("redis", "7.0.15"),
            ("redis", "8.2.1"),
            ("redis", "255.255.255"),
            ("valkey", "7.2.4"),
            ("valkey", "9.0.0"),
            ("dragonfly", "df-v1.30"),
            ("redis", ""),
        ] {
            assert_eq!(old(&greeting(server, version)), None, "{server} {version}");
        }
        assert_eq!(old(&Value::Okay), None);
    }

    #[test]
    fn ids_stand_among_other_lines() {
        let info = "# Server\r\nredis_version:7.0.15\r\nrun_id:0f3c\r\ntcp_port:6379\r\n\
                    \r\n# Replication\r\nrole:master\r\nmaster_replid:9a\r\nmaster_replid2:00\r\n";
        let bulk = Value::BulkString(info.into());
        assert_eq!(identity(&bulk).as_deref(), Some("0f3c 9a"));
        let verbatim = Value::VerbatimString {
            format: redis::VerbatimFormat::Text,
            text: info.into(),
        };
        assert_eq!(identity(&verbatim).as_deref(), Some("0f3c 9a"));
        assert_eq!(identity(&Value::Nil), None);
        assert_eq!(identity(&Value::BulkString("# Server".into())), None);
    }

    #[test]
    fn replicas_are_known_by_their_greeting() {
        let address = ConnectionAddr::Tcp("host".into(), 7);
        let check = |role: &str| {
            let bulk = |text: &str| Value::BulkString(text.as_bytes().to_vec());
            check_role(&Value::Map(vec![(bulk("role"), bulk(role))]), &address)
        };
        for role in ["replica", "slave"] {
            let refused = check(role);
            assert!(matches!(refused, Err(Fault::Refused(why)) if why.contains("host:7")));
        }
        assert!(check("master").is_ok() && check_role(&Value::Okay, &address).is_ok());
    }
}
