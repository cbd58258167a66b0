//! One attempt to connect: what it needs to know, and what comes of it.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use jetcache_core::Fault;
use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client, ProtocolVersion, PushInfo};

use crate::redis::connection::calm::{Calm, Renewals};
use crate::redis::connection::fault::fault;
use crate::redis::connection::greeting::{check_age, denial};
use crate::redis::connection::tally::Tally;

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
    /// How long a connection may answer nothing of what was given up.
    pub(crate) patience: Duration,
    /// What all connections of the handle count together.
    pub(crate) tally: Arc<Tally>,
    /// Whether the server lets us in.
    pub(crate) door: Calm,
    /// When it was found to be a replica.
    pub(crate) renewals: Arc<Renewals>,
    /// Whether it lets us run scripts.
    pub(crate) scripts: Arc<Calm>,
}

impl Dial {
    /// A connection. What the server says on it unasked goes to `on_push`, which is dropped when
    /// the connection ends.
    pub(crate) async fn open(
        &self,
        on_push: impl Fn(PushInfo) + Send + Sync + 'static,
    ) -> Result<MultiplexedConnection, Fault> {
        let config = self.config().set_push_sender(move |push: PushInfo| {
            on_push(push);
            Ok::<(), Infallible>(())
        });
        let mut connection = self.connect(&self.client, &config).await?;
        check_age(&connection, self.timeout).await?;
        if let Some(name) = &self.name {
            // Its answer is not waited for: a user without the right to do this can do without it.
            let mut command = redis::cmd("CLIENT");
            command.arg("SETNAME").arg(name).set_no_response(true);
            let _ = connection.send_packed_command(&command).await;
        }
        Ok(connection)
    }

    /// A nameless connection that speaks RESP2.
    pub(crate) async fn open_resp2(&self) -> Result<MultiplexedConnection, Fault> {
        let target = self.client.get_connection_info().clone();
        let login = target.redis_settings().clone();
        let login = login.set_protocol(ProtocolVersion::RESP2);
        let client = Client::open(target.set_redis_settings(login));
        let client = client.map_err(|error| fault(&error))?;
        self.connect(&client, &self.config()).await
    }

    fn config(&self) -> AsyncConnectionConfig {
        AsyncConnectionConfig::new()
            .set_connection_timeout(Some(self.timeout))
            // None here: the cache has a timeout of its own, and drops the future.
            .set_response_timeout(None)
            .set_pipeline_buffer_size(QUEUE)
    }

    async fn connect(
        &self,
        client: &Client,
        config: &AsyncConnectionConfig,
    ) -> Result<MultiplexedConnection, Fault> {
        let connecting = client.get_multiplexed_async_connection_with_config(config);
        connecting
            .await
            .map_err(|error| denial(&error, client.get_connection_info().redis_settings()))
    }
}

/// How many batches wait to be written on one connection; callers beyond that wait for room. The
/// batches of callers that gave up stay until the server moves on, so this bounds memory, too.
const QUEUE: usize = 128;
