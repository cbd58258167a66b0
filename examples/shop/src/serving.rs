//! Serving, until somebody says that it is enough.

use std::time::Duration;

use axum::Router;
use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::oneshot;
use tokio::time::sleep;

/// Serves until SIGTERM or Ctrl-C. Then it takes no more connections, and answers the requests that it
/// has, for ten seconds at most: a client that never reads must not keep the service from closing its
/// cache.
///
/// # Errors
/// If this process can hear no signals.
pub(crate) async fn serve(listener: TcpListener, router: Router) -> std::io::Result<()> {
    let (terminate, interrupt) = (
        signal(SignalKind::terminate())?,
        signal(SignalKind::interrupt())?,
    );
    let (stop, stopped) = oneshot::channel();
    let serving = axum::serve(listener, router).with_graceful_shutdown(async {
        let _ = stopped.await;
    });
    let stopping = async {
        told(terminate, interrupt).await;
        tracing::info!(
            "stopping: no more connections, and the requests that are here are answered"
        );
        let _ = stop.send(());
        sleep(PATIENCE).await;
    };
    tokio::select! {
        served = serving.into_future() => served,
        () = stopping => {
            tracing::warn!("some requests took more than {PATIENCE:?}: they are dropped");
            Ok(())
        }
    }
}

async fn told(mut terminate: Signal, mut interrupt: Signal) {
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
}

const PATIENCE: Duration = Duration::from_secs(10);
