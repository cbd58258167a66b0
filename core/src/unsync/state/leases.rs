//! Who may fill which key of L2.

use alloc::vec::Vec;
use core::time::Duration;

use crate::machine::tier::verb::Granted;
use crate::machine::time::Timestamp;
use crate::machine::token::Token;

/// The leases of L2 (PROTOCOL.md, R2). A store that belongs to one cache need not keep them itself. There
/// are as many as there are loads and changes under way.
#[derive(Debug)]
pub(super) struct Leases<K>(Vec<Lease<K>>);

#[derive(Debug)]
struct Lease<K> {
    key: K,
    token: Token,
    /// When others may have it: its holder may be silent. Nobody renews it, so one that loads for longer
    /// may lose it, and then fills nothing.
    ends: Timestamp,
}

impl<K> Default for Leases<K> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<K: Eq + Clone> Leases<K> {
    /// A load asks for the lease.
    pub(super) fn ask(&mut self, key: &K, token: Token, life: Duration, now: Timestamp) -> Granted {
        match self.0.iter().find(|lease| lease.key == *key) {
            Some(lease) if lease.token != token && now < lease.ends => Granted::No,
            _ => {
                self.claim(key, token, now + life);
                Granted::Yes
            }
        }
    }

    /// A change takes it, whoever had it.
    pub(super) fn claim(&mut self, key: &K, token: Token, ends: Timestamp) {
        self.revoke(key);
        self.0.push(Lease {
            key: key.clone(),
            token,
            ends,
        });
    }

    /// Nobody has it any more.
    pub(super) fn revoke(&mut self, key: &K) {
        self.0.retain(|lease| lease.key != *key);
    }

    /// Whether the token has it; then it is given back.
    pub(super) fn spend(&mut self, key: &K, token: Token) -> bool {
        let before = self.0.len();
        self.0
            .retain(|lease| lease.key != *key || lease.token != token);
        self.0.len() < before
    }
}
