//! What a server's answer to a command means.

use jetcache_core::ports::remote::{Claimed, Extended, Filled, Granted, Head, Placed, Stamp};
use jetcache_core::{Fault, Token};
use redis::{ServerError, ServerErrorKind, Value};

use crate::redis::connection::greeting::too_old;

/// The value, or the server's error.
pub(crate) fn outcome(value: Value) -> Result<Value, Fault> {
    match value {
        // What we send is well-formed, for servers that know its options.
        Value::ServerError(error) if error.details() == Some("syntax error") => Err(
            Fault::Refused(too_old(&format!("this server ({error})")).into()),
        ),
        Value::ServerError(error) => Err(refused(&error)),
        value => Ok(value),
    }
}

/// What a server's refusal means, with what to do about it where we know.
fn refused(error: &ServerError) -> Fault {
    let advice = match error.kind() {
        Some(ServerErrorKind::NoPerm) => return lacks(error),
        Some(ServerErrorKind::ReadOnly) => {
            "this server is a replica, which takes no changes: connect to the primary"
        }
        Some(
            ServerErrorKind::Moved
            | ServerErrorKind::Ask
            | ServerErrorKind::CrossSlot
            | ServerErrorKind::ClusterDown,
        ) => "this server is a node of a cluster, for which there is `RedisCluster`",
        Some(ServerErrorKind::BusyLoading) => "the server is loading its data, wait",
        Some(ServerErrorKind::MasterDown) => "this replica has lost its primary, wait",
        _ if error.code() == "OOM" => {
            "the server is out of memory and evicts nothing: raise its maxmemory, or choose another \
             maxmemory-policy"
        }
        _ => return Fault::Refused(error.to_string().into()),
    };
    Fault::Refused(format!("{advice} ({error})").into())
}

/// The user lacks a right.
pub(super) fn lacks(error: &ServerError) -> Fault {
    Fault::Refused(
        format!("the user lacks a right, the docs of `Redis` have the list, +evalsha among them: {error}")
            .into(),
    )
}

/// Whether `SET .. NX GET` granted the lease: nobody held it, or this token did already. A mark
/// begins with `!`.
pub(super) fn granted(holder: Value, token: Token) -> Result<Granted, Fault> {
    match holder {
        Value::Nil => Ok(Granted::Yes),
        Value::BulkString(holder) if holder == token.to_string().as_bytes() => Ok(Granted::Yes),
        Value::BulkString(holder) if holder.starts_with(b"!") => Ok(Granted::Failing),
        Value::BulkString(_) => Ok(Granted::No),
        other => Err(unexpected(&other)),
    }
}

/// Whether a script answered that it did what it was asked to.
pub(super) fn is_one(answer: Value) -> Result<bool, Fault> {
    match answer {
        Value::Int(number) => Ok(number == 1),
        other => Err(unexpected(&other)),
    }
}

/// What a claim answered: 0, 1, or what it spared; and maybe what an entry begins with.
pub(super) fn claimed(answer: Value) -> Result<Claimed, Fault> {
    let (outcome, head) = match &answer {
        Value::Array(parts) => match &parts[..] {
            [outcome, Value::BulkString(head)] => (outcome, Head::of(head)),
            _ => return Err(unexpected(&answer)),
        },
        outcome => (outcome, None),
    };
    match outcome {
        Value::Int(0) => Ok(Claimed::Refused(head)),
        Value::Int(_) => Ok(Claimed::Granted(None, head)),
        Value::BulkString(text) if text.is_empty() => Ok(Claimed::Granted(None, head)),
        Value::BulkString(text) => match str::from_utf8(text).map(stamp) {
            Ok(Some(stamp)) => Ok(Claimed::Granted(Some(stamp), head)),
            _ => Err(unexpected(&answer)),
        },
        other => Err(unexpected(other)),
    }
}

fn stamp(digest: &str) -> Option<Stamp> {
    u64::from_str_radix(digest, 16).ok().map(Stamp::new)
}

pub(super) fn filled(answer: Value) -> Result<Filled, Fault> {
    Ok(if is_one(answer)? {
        Filled::Stored
    } else {
        Filled::Refused
    })
}

/// What an extension answered: 0 for refused, 1 for extended, 2 for something else.
pub(super) fn extended(answer: Value) -> Result<Extended, Fault> {
    match answer {
        Value::Int(0) => Ok(Extended::Refused),
        Value::Int(1) => Ok(Extended::Stored),
        Value::Int(2) => Ok(Extended::Unlike),
        other => Err(unexpected(&other)),
    }
}

/// What a put answered: 0 for refused, 1 for stored, 2 for overtaken.
pub(super) fn placed(answer: Value) -> Result<Placed, Fault> {
    match answer {
        Value::Int(0) => Ok(Placed::Refused),
        Value::Int(1) => Ok(Placed::Stored),
        Value::Int(2) => Ok(Placed::Overtaken),
        other => Err(unexpected(&other)),
    }
}

/// Cut short: the answer may be a big value.
pub(super) fn unexpected(value: &Value) -> Fault {
    let mut text = format!("an answer that was not expected: {value:?}");
    if let Some((end, _)) = text.char_indices().nth(200) {
        text.truncate(end);
    }
    Fault::Refused(text.into())
}
