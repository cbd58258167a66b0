//! One attempt to connect: what it needs to know, and what comes of it.

pub(crate) mod reign;
pub(crate) mod sentinels;
pub(crate) mod target;

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use jetcache_core::Fault;
use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client, ProtocolVersion, PushInfo};

use crate::redis::connection::calm::{Calm, Renewals};
use crate::redis::connection::dial::reign::Reign;
use crate::redis::connection::dial::target::{Place, Target};
use crate::redis::connection::fault::fault;
use crate::redis::connection::greeting::{check_age, check_role, greeting, is_replica};
use crate::redis::connection::primary::Primary;
use crate::redis::connection::tally::Tally;

/// What an attempt to connect needs to know.
#[derive(Debug)]
pub(crate) struct Dial {
    /// Where to connect, with which login.
    pub(crate) target: Target,
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
    /// Which server process answers there.
    pub(crate) primary: Primary,
    /// Whether it lets us run scripts.
    pub(crate) scripts: Arc<Calm>,
}

/// A connection, and where it leads.
pub(crate) struct Opened {
    pub(crate) connection: MultiplexedConnection,
    /// How to connect to the same server.
    pub(crate) client: Client,
    /// For how long this is the right server.
    pub(crate) reign: Reign,
    /// Which of those that were at this address it is.
    pub(crate) turn: u64,
}

impl Dial {
    /// A connection. What the server says on it unasked goes to `on_push`, which is dropped when
    /// the connection ends.
    pub(crate) async fn open(
        &self,
        on_push: impl Fn(PushInfo) + Send + Sync + 'static,
    ) -> Result<Opened, Fault> {
        let place = self.target.find(self.timeout).await?;
        self.open_place(place, on_push).await
    }

    /// Whether it is time to [`look`](Self::look).
    pub(crate) fn is_due(&self) -> bool {
        self.target.is_due()
    }

    /// Looks for another primary than the one to which connections lead. Those end if there is one;
    /// if it cannot be reached, nothing is worse than before.
    pub(crate) async fn look(&self) {
        if let Ok(place) = self.target.find(self.timeout).await
            && !self.target.is_known(&place)
        {
            let _ = self.open_place(place, drop).await;
        }
    }

    async fn open_place(
        &self,
        place: Place,
        on_push: impl Fn(PushInfo) + Send + Sync + 'static,
    ) -> Result<Opened, Fault> {
        let config = self
            .config(place.left)
            .set_push_sender(move |push: PushInfo| {
                on_push(push);
                Ok::<(), Infallible>(())
            });
        match self.open_at(&place.client, &config).await {
            Ok((connection, turn)) => Ok(Opened {
                connection,
                turn,
                reign: self.target.found(&place),
                client: place.client,
            }),
            Err(fault) => {
                self.target.missed(&place);
                Err(fault)
            }
        }
    }

    async fn open_at(
        &self,
        client: &Client,
        config: &AsyncConnectionConfig,
    ) -> Result<(MultiplexedConnection, u64), Fault> {
        let mut connection = self.connect(client, config).await?;
        let is_asked = self.primary.is_asked();
        let (greeting, mut id) = greeting(&connection, self.timeout, is_asked).await?;
        check_age(&greeting)?;
        if self.target.wants_a_primary() {
            let address = client.get_connection_info().addr();
            check_role(&greeting, address)?;
            // One that does not say which process it is is known by where it is.
            id = id.or_else(|| is_asked.then(|| address.to_string()));
        }
        if let Some(name) = &self.name {
            // Its answer is not waited for: a user without the right to do this can do without it.
            let mut command = redis::cmd("CLIENT");
            command.arg("SETNAME").arg(name).set_no_response(true);
            let _ = connection.send_packed_command(&command).await;
        }
        // Before anything is answered. What a replica says of itself is said of no primary.
        let turn = match is_replica(&greeting) {
            true => self.primary.turn(),
            false => self.primary.met(id.as_deref()),
        };
        Ok((connection, turn))
    }

    /// A nameless connection that speaks RESP2, to the server of another one.
    pub(crate) async fn open_resp2(&self, other: &Client) -> Result<MultiplexedConnection, Fault> {
        let target = other.get_connection_info().clone();
        let login = target.redis_settings().clone();
        let login = login.set_protocol(ProtocolVersion::RESP2);
        let client = Client::open(target.set_redis_settings(login));
        let client = client.map_err(|error| fault(&error))?;
        self.connect(&client, &self.config(self.timeout)).await
    }

    fn config(&self, timeout: Duration) -> AsyncConnectionConfig {
        AsyncConnectionConfig::new()
            .set_connection_timeout(Some(timeout))
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
        connecting.await.map_err(|error| self.target.denial(&error))
    }
}

/// How many batches wait to be written on one connection; callers beyond that wait for room. The
/// batches of callers that gave up stay until the server moves on, so this bounds memory, too.
const QUEUE: usize = 128;
