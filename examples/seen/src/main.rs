//! A service on smol that can be seen: what its cache does is at `/metrics`, how L2 is at `/health`, one
//! key at `/inspect/ID`, and the log says when L2 goes and comes back.
//!
//! `seen ADDRESS [REDIS_URL]`. It says where it listens, and ends with its standard input.

#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "it is here to talk"
)]

mod http;

use std::error::Error;
use std::io;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use futures_lite::{AsyncReadExt, future};
use jetcache_smol::{Cache, Memory, MessagePack, Metrics, Redis};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use smol::net::TcpListener;

type Users = Cache<u64, Arc<str>>;

/// What each request may use.
#[derive(Clone)]
struct Service {
    users: Users,
    metrics: Metrics,
    prometheus: PrometheusHandle,
}

fn main() -> ExitCode {
    // The cache's own lines have the target `jetcache`, and fields.
    tracing_subscriber::fmt().with_writer(io::stderr).init();
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (address, redis) = match &arguments[..] {
        [address] => (address, None),
        [address, redis] => (address, Some(redis.as_str())),
        _ => {
            eprintln!("usage: seen ADDRESS [REDIS_URL]");
            return ExitCode::from(2);
        }
    };
    match smol::block_on(run(address, redis)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("seen: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run(address: &str, redis: Option<&str>) -> Result<(), Box<dyn Error>> {
    // Histograms need buckets, or the exporter makes summaries of them.
    let buckets = Matcher::Prefix("jetcache_".into());
    let prometheus = PrometheusBuilder::new()
        .set_buckets_for_metric(buckets, &Metrics::BUCKETS)?
        .install_recorder()?;
    // One line to switch the figures on, and one in `answer` to bring them up to date.
    let metrics = Metrics::new();
    let users = jetcache_smol::builder("users")
        .observer(metrics.clone())
        .stats_every(Duration::from_secs(60));
    let users = match redis {
        Some(url) => users.remote(Redis::open(url)?, MessagePack).build()?,
        None => users.remote(Memory::new(), MessagePack).build()?,
    };
    let service = Service {
        users,
        metrics,
        prometheus,
    };
    let listener = TcpListener::bind(address).await?;
    println!("listening on {}", listener.local_addr()?);
    let serving = async {
        loop {
            let (stream, _) = listener.accept().await?;
            let service = service.clone();
            let answering = http::answer(stream, async move |path| service.answer(&path).await);
            smol::spawn(answering).detach();
        }
    };
    let ended = async {
        smol::Unblock::new(io::stdin())
            .read_to_end(&mut Vec::new())
            .await?;
        Ok::<_, io::Error>(())
    };
    future::or(serving, ended).await?;
    service.users.close().await;
    Ok(())
}

impl Service {
    async fn answer(&self, path: &str) -> (&'static str, String) {
        let id = |text: &str| text.parse::<u64>().ok();
        let parts: Vec<&str> = path.split('/').skip(1).collect();
        match parts[..] {
            ["metrics"] => {
                self.metrics.publish();
                ("200 OK", self.prometheus.render())
            }
            ["health"] => ("200 OK", self.health().await),
            ["inspect", text] if id(text).is_some() => {
                let key = id(text).unwrap_or_default();
                ("200 OK", self.users.inspect(&key).await.to_string())
            }
            ["users", text] if id(text).is_some() => self.user(id(text).unwrap_or_default()).await,
            _ => (
                "404 Not Found",
                "try /users/7, /metrics, /health, /inspect/7\n".into(),
            ),
        }
    }

    async fn user(&self, id: u64) -> (&'static str, String) {
        match self
            .users
            .get_or_load(&id, async || Ok(row(id).await?))
            .await
        {
            Ok(Some(user)) => ("200 OK", format!("{user}\n")),
            Ok(None) => ("404 Not Found", format!("there is no user {id}\n")),
            Err(error) => ("503 Service Unavailable", format!("{error}\n")),
        }
    }

    /// 200 without Redis, too: a restart would not better it, and would empty L1.
    async fn health(&self) -> String {
        let ping = self.users.ping().await;
        let remote = self.users.remote();
        let status = if ping.is_ok() { "ok" } else { "degraded" };
        serde_json::json!({ "status": status, "l2": remote }).to_string()
    }
}

/// The database. Ids from 100 on do not exist, and it does not like 13.
async fn row(id: u64) -> io::Result<Option<Arc<str>>> {
    smol::Timer::after(Duration::from_millis(5)).await;
    match id {
        13 => Err(io::Error::other("the database does not like 13")),
        100.. => Ok(None),
        _ => Ok(Some(format!("user {id}").into())),
    }
}
