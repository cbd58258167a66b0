//! Which master has which slot, as far as this client knows.

use std::fmt;
use std::sync::Arc;

use redis::{ConnectionAddr, Value};

use jetcache_core::Fault;

use crate::redis::lease_key::SLOTS;
use crate::redis::script::outcome;

/// Where a node listens.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(super) struct Address {
    pub(super) host: Arc<str>,
    pub(super) port: u16,
}

/// The masters, and for each slot the number of its master.
#[derive(Default)]
pub(super) struct Map {
    masters: Vec<Address>,
    owners: Vec<Option<u16>>,
}

impl Address {
    pub(super) fn of(address: &ConnectionAddr) -> Option<Self> {
        match address {
            ConnectionAddr::Tcp(host, port) | ConnectionAddr::TcpTls { host, port, .. } => {
                Some(Self::new(host, *port))
            }
            _ => None,
        }
    }

    /// `host:port` as a node writes it who was reached at `asked`: without a host it means its own.
    pub(super) fn parse(text: &str, asked: &Self) -> Option<Self> {
        let (host, port) = text.rsplit_once(':')?;
        let port = port.parse().ok()?;
        match host {
            "?" => None,
            "" => Some(Self {
                host: Arc::clone(&asked.host),
                port,
            }),
            host => Some(Self::new(host, port)),
        }
    }

    fn new(host: &str, port: u16) -> Self {
        Self {
            host: host.into(),
            port,
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.host, self.port)
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Map {
    /// What the node at `asked` answered to `CLUSTER SLOTS`: ranges, each with its first and last
    /// slot, its master, and its replicas.
    pub(super) fn parse(answer: Value, asked: &Address) -> Result<Self, Fault> {
        let answer = outcome(answer)?;
        let Value::Array(ranges) = &answer else {
            return Err(strange(&answer));
        };
        let mut map = Self::default();
        for range in ranges {
            let (first, last, master) = parts(range).ok_or_else(|| strange(range))?;
            if let Some(master) = host(master, asked).ok_or_else(|| strange(range))? {
                map.assign(first..=last, master);
            }
        }
        if map.masters.is_empty() {
            return Err(Fault::Refused(
                format!("the node at {asked} knows of no master with slots").into(),
            ));
        }
        Ok(map)
    }

    /// The master of a slot.
    pub(super) fn owner(&self, slot: usize) -> Option<&Address> {
        let owner = (*self.owners.get(slot)?)?;
        self.masters.get(usize::from(owner))
    }

    /// The masters, without those that lost all of their slots to [`assign`](Self::assign).
    pub(super) fn masters(&self) -> &[Address] {
        &self.masters
    }

    /// From here on these slots are this master's.
    pub(super) fn assign(&mut self, slots: impl IntoIterator<Item = usize>, master: Address) {
        let known = self.masters.iter().position(|known| *known == master);
        let number = known.unwrap_or_else(|| {
            self.masters.push(master);
            self.masters.len() - 1
        });
        self.owners.resize(SLOTS, None);
        for slot in slots {
            if let Some(owner) = self.owners.get_mut(slot) {
                *owner = u16::try_from(number).ok();
            }
        }
    }
}

fn parts(range: &Value) -> Option<(usize, usize, &[Value])> {
    let Value::Array(parts) = range else {
        return None;
    };
    let [
        Value::Int(first),
        Value::Int(last),
        Value::Array(master),
        ..,
    ] = &parts[..]
    else {
        return None;
    };
    Some((
        usize::try_from(*first).ok()?,
        usize::try_from(*last).ok().filter(|last| *last < SLOTS)?,
        master,
    ))
}

/// A node's address; none if the one who was asked does not know it.
fn host(node: &[Value], asked: &Address) -> Option<Option<Address>> {
    let [name, Value::Int(port), ..] = node else {
        return None;
    };
    let name = match name {
        Value::BulkString(name) => str::from_utf8(name).ok()?,
        Value::SimpleString(name) => name,
        Value::Nil => "",
        _ => return None,
    };
    let port = u16::try_from(*port).ok()?;
    Some(Address::parse(&format!("{name}:{port}"), asked))
}

fn strange(value: &Value) -> Fault {
    let text: String = format!("CLUSTER SLOTS: {value:?}")
        .chars()
        .take(200)
        .collect();
    Fault::Refused(text.into())
}
