//! The client that connects to a target, and how its sockets behave.

use std::time::Duration;

use redis::io::tcp::TcpSettings;
use redis::io::tcp::socket2::TcpKeepalive;
use redis::{Client, ConnectionAddr, ConnectionInfo, ProtocolVersion};
use rustls::crypto::CryptoProvider;

use crate::redis::open::error::OpenError;

/// A client that speaks RESP3, over which a connection reports its own end at once.
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

/// A peer that vanished without closing its socket is noticed within seconds if something is sent
/// to it (the user timeout), and within a minute by probes if nothing is (keep-alive).
pub(super) fn tcp() -> TcpSettings {
    let probes = TcpKeepalive::new()
        .with_time(Duration::from_secs(30))
        .with_interval(Duration::from_secs(10));
    let settings = TcpSettings::default()
        // A command is small, and somebody waits for its answer: it must not wait for more bytes.
        .set_nodelay(true)
        .set_keepalive(probes);
    #[cfg(any(target_os = "android", target_os = "fuchsia", target_os = "linux"))]
    let settings = settings.set_user_timeout(Duration::from_secs(5));
    settings
}
