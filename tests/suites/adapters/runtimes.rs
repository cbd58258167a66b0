//! The runtimes.

use jetcache_adapters::contract;
use jetcache_smol::Smol;
use jetcache_smol::async_std::AsyncStd;
use jetcache_tokio::Tokio;

use super::verbs::{many, single};

#[test]
fn tokio_keeps_the_contract() {
    many().block_on(contract::runtime::run(&Tokio::new()));
    single().block_on(contract::runtime::run(&Tokio::new()));
}

#[test]
fn smol_keeps_the_contract() {
    smol::block_on(contract::runtime::run(&Smol::new()));
}

#[test]
fn async_std_keeps_the_contract() {
    smol::block_on(contract::runtime::run(&AsyncStd::new()));
}
