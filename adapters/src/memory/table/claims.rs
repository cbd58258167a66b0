//! What an insert does: a claim, and a put in its place.

use core::hash::{Hash, Hasher};
use std::hash::DefaultHasher;

use jetcache_core::Token;
use jetcache_core::machine::tier::envelope::{Head, is_present};
use jetcache_core::machine::tier::wire::PLACEHOLDER;
use jetcache_core::machine::time::millis;
use jetcache_core::ports::remote::{Claim, Claimed, Condition, Filled, Placed, Put, Stamp, Wire};

use crate::memory::table::Table;

impl Table {
    /// Puts the token's claim in the place of any lease or other claim, and removes the value unless
    /// it is to be spared; under a condition only if it holds or the claim is the token's already.
    pub fn claim(&mut self, now: u64, claim: &Claim<'_>, wire: Wire) -> Claimed {
        let &Claim { key, token, .. } = claim;
        let standing = self.holder(now, key).map(|holder| holder.0);
        let holds = self.holds(now, key, claim.condition, claim.dead, wire);
        let head = match wire {
            Wire::Native if claim.condition.is_some() => self.head(now, key),
            _ => None,
        };
        if standing != Some(token) && !holds {
            return Claimed::Refused(head);
        }
        if !claim.spares {
            self.values.pop(key);
            self.grant(now, key, token, millis(claim.life));
            return Claimed::Granted(None, head);
        }
        let earlier = standing.and_then(|_| self.leases.pop(key));
        self.grant(now, key, token, millis(claim.life));
        if let Some(lease) = self.leases.get_mut(key) {
            lease.claims.push((token, now));
            lease.put = earlier.as_ref().is_some_and(|earlier| earlier.put);
            let earlier = earlier.into_iter().flat_map(|lease| lease.claims);
            lease.claims.extend(earlier.take(CLAIMS - 1));
        }
        Claimed::Granted(self.stamp(now, key), head)
    }

    /// Puts the value in the place of what stands there, if the claim is the token's or remembers
    /// it; what is refused, without a condition, removes what its claim has spared.
    pub fn put(&mut self, now: u64, put: &Put<'_>, wire: Wire) -> Placed {
        let key = put.key;
        let stands = self.stamp(now, key);
        let same = stands == put.spared;
        let strange = wire == Wire::JetcacheGo && !same && stands.is_some();
        let filled = match self.aged(now, put) {
            Some((aged, after_put))
                if (after_put || !strange)
                    && self.holds(now, key, put.condition, put.dead, wire) =>
            {
                self.store(now, key, &put.value, aged, wire, false)
            }
            _ => Filled::Refused,
        };
        self.used(key, put.token, filled);
        if filled == Filled::Stored {
            return Placed::Stored;
        }
        if same && put.condition.is_none() {
            self.values.pop(key);
        }
        if same {
            Placed::Refused
        } else {
            Placed::Overtaken
        }
    }

    /// How old the claim of the token is, if its value may be stored; and whether the value of an
    /// earlier claim stands there.
    fn aged(&mut self, now: u64, put: &Put<'_>) -> Option<(u64, bool)> {
        let (token, left) = self.holder(now, put.key)?;
        let lease = self.leases.peek(put.key)?;
        let claims = &lease.claims;
        if claims.is_empty() {
            let aged = millis(put.value.lease).saturating_sub(left);
            return (token == put.token).then_some((aged, false));
        }
        let place = claims.iter().position(|(claim, _)| *claim == put.token)?;
        Some((now.saturating_sub(claims[place].1), lease.put))
    }

    /// The claim of the token is used up, and with a value stored so are those before it.
    fn used(&mut self, key: &str, token: Token, filled: Filled) {
        let Some(lease) = self.leases.peek_mut(key) else {
            return;
        };
        if lease.token == token {
            self.leases.pop(key);
        } else if filled == Filled::Stored
            && let Some(place) = lease.claims.iter().position(|(claim, _)| *claim == token)
        {
            lease.claims.truncate(place);
            lease.put = true;
        }
    }

    /// Whether the condition of an insert holds, if the entry of the sum `dead` counts as absent.
    fn holds(
        &mut self,
        now: u64,
        key: &str,
        condition: Option<Condition>,
        dead: Option<u32>,
        wire: Wire,
    ) -> bool {
        let Some(condition) = condition else {
            return true;
        };
        let present = self.value(now, key).is_some_and(|row| match wire {
            Wire::JetcacheGo => row.bytes != PLACEHOLDER,
            _ => {
                let sum = dead
                    .and_then(|_| Head::of(&row.bytes))
                    .map(|head| head.sum());
                is_present(&row.bytes, now) && (dead.is_none() || sum != dead)
            }
        });
        present == (condition == Condition::Present)
    }

    fn head(&mut self, now: u64, key: &str) -> Option<Head> {
        Head::of(&self.value(now, key)?.bytes)
    }

    fn stamp(&mut self, now: u64, key: &str) -> Option<Stamp> {
        let row = self.value(now, key)?;
        let mut digest = DefaultHasher::new();
        (row.until, &row.bytes).hash(&mut digest);
        Some(Stamp::new(digest.finish()))
    }
}

/// How many claims one remembers, its own included.
const CLAIMS: usize = 1000;
