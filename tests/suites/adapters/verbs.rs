//! The verbs of L2 for one key, and the runtimes to call them on.

use std::time::Duration;

use jetcache_adapters::contract;
use jetcache_core::ports::bus::Kind;
use jetcache_core::ports::remote::{
    Claim, Claimed, Fill, Filled, Found, Herald, LeaseAsk, Leased, Stored, Wire,
};
use jetcache_core::{Condition, Fault, Remote, Token};
use tokio::runtime::{Builder, Runtime};

pub(crate) const T: Token = Token::from_bits(1);
pub(crate) const MINUTE: Duration = Duration::from_secs(60);

pub(crate) async fn read(remote: &impl Remote, key: &str) -> Result<Option<Found>, Fault> {
    remote.read(&[key], Wire::Native).await.remove(0)
}

pub(crate) async fn lease(remote: &impl Remote, key: &str, token: Token) -> Result<Leased, Fault> {
    remote
        .lease(
            &[LeaseAsk {
                key,
                token,
                life: MINUTE,
            }],
            Wire::Native,
        )
        .await
        .remove(0)
}

pub(crate) async fn fill(
    remote: &impl Remote,
    key: &str,
    token: Token,
    v: &[u8],
) -> Result<Filled, Fault> {
    remote
        .fill(
            &[Fill {
                key,
                token,
                value: stored(v),
                kind: Kind::Set,
            }],
            Wire::Native,
        )
        .await
        .remove(0)
}

pub(crate) async fn claim(remote: &impl Remote, key: &str, token: Token) -> Result<bool, Fault> {
    claim_if(remote, key, token, None).await
}

pub(crate) async fn claim_if(
    remote: &impl Remote,
    key: &str,
    token: Token,
    condition: Option<Condition>,
) -> Result<bool, Fault> {
    remote
        .claim(
            &[Claim {
                key,
                token,
                life: MINUTE,
                condition,
                dead: None,
                spares: false,
            }],
            Wire::Native,
        )
        .await
        .remove(0)
        .map(|claimed| matches!(claimed, Claimed::Granted(..)))
}

pub(crate) fn stored(bytes: &[u8]) -> Stored<'_> {
    Stored {
        replaces: None,
        bytes,
        life: MINUTE,
        stale: Duration::ZERO,
        lease: MINUTE,
        age: MINUTE,
    }
}

/// Runs the contract in both formats, on tokio.
pub(crate) fn contract_on_tokio(remote: &impl Remote) {
    many().block_on(async {
        contract::remote::run(remote, tokio::time::sleep).await;
        contract::remote::run_generations(remote).await;
        contract::remote::run_jetcache_go(remote, tokio::time::sleep).await;
        contract::remote::run_unload(remote, tokio::time::sleep).await;
    });
}

/// tokio with two workers.
pub(crate) fn many() -> Runtime {
    Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap()
}

/// tokio on the caller's thread.
pub(crate) fn single() -> Runtime {
    Builder::new_current_thread().enable_all().build().unwrap()
}

/// The same store, which now publishes in the name of a cache and a node.
pub(crate) fn telling<R: Remote>(remote: &R) -> R {
    let herald = Herald {
        channel: "shop".into(),
        cache: "any".into(),
        source: "12345678".into(),
    };
    remote.announcing(herald).unwrap()
}
