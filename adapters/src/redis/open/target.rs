//! The client that connects to a target, and how its sockets behave.

use std::time::Duration;

use redis::io::tcp::TcpSettings;
use redis::io::tcp::socket2::TcpKeepalive;
use redis::{Client, ConnectionAddr, ConnectionInfo, ProtocolVersion};
use rustls::crypto::CryptoProvider;

use crate::redis::open::error::OpenError;

/// A client that speaks RESP3, in which a connection tells its death at once.
pub(super) fn resp3_client(target: ConnectionInfo) -> Result<Client, OpenError> {
    if matches!(target.addr(), ConnectionAddr::TcpTls { .. })
        && CryptoProvider::get_default().is_none()
    {
        // Another thread may have installed one in the meantime, which is as good.
        let _ = rustls::crypto::ring::default_provider().install_default();
    }
    let login = target
        .redis_settings()
        .clone()
        .set_protocol(ProtocolVersion::RESP3);
    let target = target.set_redis_settings(login);
    Client::open(target).map_err(|error| OpenError::new(error.to_string()))
}

/// A peer that is gone without a word is noticed within some seconds by what is sent to it, and
/// within a minute by probes if nothing is.
pub(super) fn tcp() -> TcpSettings {
    let probes = TcpKeepalive::new()
        .with_time(Duration::from_secs(30))
        .with_interval(Duration::from_secs(10));
    let settings = TcpSettings::default()
        .set_nodelay(true)
        .set_keepalive(probes);
    #[cfg(any(target_os = "android", target_os = "fuchsia", target_os = "linux"))]
    let settings = settings.set_user_timeout(Duration::from_secs(5));
    settings
}
