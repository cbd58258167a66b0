//! How to connect to any node of the cluster.

use std::sync::Arc;

use jetcache_core::Fault;
use redis::{Client, ConnectionAddr, ConnectionInfo};

use crate::redis::connection::calm::Calm;
use crate::redis::connection::dial::Dial;
use crate::redis::connection::fault::fault;
use crate::redis_cluster::address::Address;

/// How to connect to any of them.
pub(super) struct Dialer {
    pub(super) dial: Dial,
    pub(super) count: usize,
}

impl Dialer {
    /// Whether a node at this target takes the same login.
    pub(super) fn suits(&self, target: &ConnectionInfo) -> bool {
        let own = self.dial.client.get_connection_info();
        let (login, other) = (own.redis_settings(), target.redis_settings());
        login.username() == other.username()
            && login.password() == other.password()
            && match (own.addr(), target.addr()) {
                (
                    ConnectionAddr::TcpTls { insecure, .. },
                    ConnectionAddr::TcpTls {
                        insecure: other, ..
                    },
                ) => insecure == other,
                (ConnectionAddr::Tcp(..), ConnectionAddr::Tcp(..)) => true,
                _ => false,
            }
    }

    pub(super) fn dial(&self, address: &Address) -> Result<Dial, Fault> {
        let own = self.dial.client.get_connection_info().clone();
        let mut target = own.addr().clone();
        if let ConnectionAddr::Tcp(host, port) | ConnectionAddr::TcpTls { host, port, .. } =
            &mut target
        {
            *host = address.host.as_ref().into();
            *port = address.port;
        }
        Ok(Dial {
            client: Client::open(own.set_addr(target)).map_err(|error| fault(&error))?,
            name: self.dial.name.clone(),
            timeout: self.dial.timeout,
            heartbeat: self.dial.heartbeat,
            patience: self.dial.patience,
            tally: Arc::clone(&self.dial.tally),
            door: Calm::default(),
            renewals: Arc::default(),
            scripts: Arc::clone(&self.dial.scripts),
        })
    }
}
