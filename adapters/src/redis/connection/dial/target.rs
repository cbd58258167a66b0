//! Where to connect: always to one server, or to whatever server leads a group by now.

use std::fmt;
use std::time::{Duration, Instant};

use jetcache_core::Fault;
use redis::{Client, ConnectionAddr, ConnectionInfo, RedisError};

use crate::redis::connection::dial::reign::Reign;
use crate::redis::connection::dial::sentinels::Sentinels;
use crate::redis::connection::fault::fault;
use crate::redis::connection::greeting::{GIVEN_APART, GIVEN_BY_URL, denial};

/// Where to connect, with which login.
#[derive(Debug)]
pub(crate) enum Target {
    /// To this server.
    One(Client),
    /// To the primary that these name.
    Group(Sentinels),
}

/// Where one attempt connects.
pub(super) struct Place {
    pub(super) client: Client,
    /// How much of the attempt's time is left.
    pub(super) left: Duration,
    /// Which Sentinel named it.
    by: usize,
}

impl Target {
    /// The login; for one server its address as well.
    pub(crate) fn info(&self) -> &ConnectionInfo {
        match self {
            Self::One(client) => client.get_connection_info(),
            Self::Group(sentinels) => sentinels.login(),
        }
    }

    /// Where an attempt that may take so long is to connect.
    pub(super) async fn find(&self, timeout: Duration) -> Result<Place, Fault> {
        match self {
            Self::One(client) => Ok(Place {
                client: client.clone(),
                left: timeout,
                by: 0,
            }),
            Self::Group(sentinels) => {
                let begun = Instant::now();
                let (by, host, port) = sentinels.ask_around(timeout).await?;
                let client = elsewhere(sentinels.login(), &host, port);
                Ok(Place {
                    client: client.map_err(|error| fault(&error))?,
                    left: timeout.saturating_sub(begun.elapsed()),
                    by,
                })
            }
        }
    }

    /// Whether a replica will not do.
    pub(super) fn wants_a_primary(&self) -> bool {
        matches!(self, Self::Group(_))
    }

    /// There is a connection to this place, and for how long it is the right one.
    pub(super) fn found(&self, place: &Place) -> Reign {
        match self {
            Self::One(_) => Reign::endless(),
            Self::Group(sentinels) => sentinels.found(place.client.get_connection_info().addr()),
        }
    }

    /// Whether it is time to look for another primary though nothing is wrong.
    pub(super) fn is_due(&self) -> bool {
        match self {
            Self::One(_) => false,
            Self::Group(sentinels) => sentinels.is_due(),
        }
    }

    /// Whether connections lead to this place already.
    pub(super) fn is_known(&self, place: &Place) -> bool {
        match self {
            Self::One(_) => true,
            Self::Group(sentinels) => sentinels.is_known(place.client.get_connection_info().addr()),
        }
    }

    /// A place led nowhere.
    pub(super) fn missed(&self, place: &Place) {
        if let Self::Group(sentinels) = self {
            sentinels.doubt(place.by);
        }
    }

    /// Why an attempt to connect failed, in words that say what to change.
    pub(super) fn denial(&self, error: &RedisError) -> Fault {
        let given = match self {
            Self::One(_) => &GIVEN_BY_URL,
            Self::Group(_) => &GIVEN_APART,
        };
        denial(error, self.info().redis_settings(), given)
    }
}

/// The same login at another address.
pub(crate) fn elsewhere(
    login: &ConnectionInfo,
    new_host: &str,
    new_port: u16,
) -> Result<Client, RedisError> {
    let mut target = login.addr().clone();
    if let ConnectionAddr::Tcp(host, port) | ConnectionAddr::TcpTls { host, port, .. } = &mut target
    {
        *host = new_host.into();
        *port = new_port;
    }
    Client::open(login.clone().set_addr(target))
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::One(client) => client.get_connection_info().addr().fmt(f),
            Self::Group(sentinels) => sentinels.fmt(f),
        }
    }
}
