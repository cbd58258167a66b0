//! One attempt to connect: what it needs to know, and what comes of it.

use std::convert::Infallible;
use std::time::Duration;

use jetcache_core::Fault;
use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client, ErrorKind, PushInfo, RedisError};

/// What an attempt to connect needs to know.
#[derive(Debug)]
pub(crate) struct Dial {
    /// Where to connect, with which login.
    pub(crate) client: Client,
    /// What `CLIENT LIST` is to show.
    pub(crate) name: Option<String>,
    /// How long one attempt may take.
    pub(crate) timeout: Duration,
    /// How long a subscription hears nothing before it asks for a sign of life.
    pub(crate) heartbeat: Duration,
}

impl Dial {
    /// A connection. What the server says on it unasked goes to `on_push`, which is dropped when
    /// the connection ends.
    pub(crate) async fn open(
        &self,
        on_push: impl Fn(PushInfo) + Send + Sync + 'static,
    ) -> Result<MultiplexedConnection, Fault> {
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(self.timeout))
            // None here: the cache has a timeout of its own, and drops the future.
            .set_response_timeout(None)
            .set_pipeline_buffer_size(QUEUE)
            .set_push_sender(move |push: PushInfo| {
                on_push(push);
                Ok::<(), Infallible>(())
            });
        let mut connection = self
            .client
            .get_multiplexed_async_connection_with_config(&config)
            .await
            .map_err(|error| fault(&error))?;
        if let Some(name) = &self.name {
            // Its answer is not waited for: a user without the right to do this can do without it.
            let mut command = redis::cmd("CLIENT");
            command.arg("SETNAME").arg(name).set_no_response(true);
            let _ = connection.send_packed_command(&command).await;
        }
        Ok(connection)
    }
}

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

/// How many batches wait to be written on one connection; callers beyond that wait for room. The
/// batches of callers that gave up stay until the server moves on, so this bounds memory, too.
const QUEUE: usize = 128;
