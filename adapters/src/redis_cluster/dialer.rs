//! How to connect to any node of the cluster.

use std::sync::Arc;

use jetcache_core::Fault;
use redis::{ConnectionAddr, ConnectionInfo};

use crate::redis::connection::calm::Calm;
use crate::redis::connection::dial::Dial;
use crate::redis::connection::dial::target::{Target, elsewhere};
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
        let own = self.dial.target.info();
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
        let client = elsewhere(self.dial.target.info(), &address.host, address.port);
        Ok(Dial {
            target: Target::One(client.map_err(|error| fault(&error))?),
            name: self.dial.name.clone(),
            timeout: self.dial.timeout,
            heartbeat: self.dial.heartbeat,
            patience: self.dial.patience,
            tally: Arc::clone(&self.dial.tally),
            door: Calm::default(),
            renewals: Arc::default(),
            primary: self.dial.primary.other(),
            scripts: Arc::clone(&self.dial.scripts),
        })
    }
}
