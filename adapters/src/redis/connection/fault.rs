//! What an error of the client means to the cache.

use jetcache_core::Fault;
use redis::{ErrorKind, RedisError};

/// An error that the server answered is a refusal; any other means that it was not reached.
pub(crate) fn fault(error: &RedisError) -> Fault {
    let text = error.to_string().into();
    match error.kind() {
        ErrorKind::Server(_)
        | ErrorKind::Extension
        | ErrorKind::AuthenticationFailed
        | ErrorKind::RESP3NotSupported
        | ErrorKind::InvalidClientConfig => Fault::Refused(text),
        _ => Fault::Unreachable(text),
    }
}
