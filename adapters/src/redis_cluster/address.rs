//! Where a node listens, and how the nodes write it.

use std::fmt;
use std::sync::Arc;

use redis::ConnectionAddr;

/// Where a node listens.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(super) struct Address {
    pub(super) host: Arc<str>,
    pub(super) port: u16,
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

    /// `host:port` as the node at `asked` writes it: without a host it means its own.
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

    pub(super) fn new(host: &str, port: u16) -> Self {
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

#[cfg(test)]
mod tests {
    use super::*;

    fn asked() -> Address {
        Address::new("asked", 1)
    }

    #[test]
    fn an_address_is_read_from_its_end() {
        let parse = |text| Address::parse(text, &asked()).map(|address| address.to_string());
        assert_eq!(parse("10.0.0.1:7").unwrap(), "10.0.0.1:7");
        assert_eq!(parse("fe80::1:7").unwrap(), "fe80::1:7");
        assert_eq!(parse(":7").unwrap(), "asked:7");
        assert_eq!(parse("?:7"), None);
        assert_eq!(parse("host"), None);
        assert_eq!(parse("host:x"), None);
    }
}
