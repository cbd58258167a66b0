//! Renewing the life of a value where it stands.

use jetcache_core::machine::tier::envelope::stamp;
use jetcache_core::machine::time::millis;
use jetcache_core::ports::remote::{Extend, Extended};

use crate::memory::table::Table;
use crate::memory::table::life;

impl Table {
    /// Lets the value be fresh for another while, if the lease is the token's and the value still is what
    /// its header says; and gives the lease back.
    pub fn extend(&mut self, now: u64, extend: &Extend<'_>) -> Extended {
        let &Extend { key, header, .. } = extend;
        let left = match self.holder(now, key) {
            Some((token, left)) if token == extend.token => left,
            _ => return Extended::Refused,
        };
        let stands = self.value(now, key).map(|row| &*row.bytes);
        if !stands.is_some_and(|bytes| bytes.starts_with(header.bytes())) {
            return Extended::Unlike;
        }
        self.leases.pop(key);
        let aged = millis(extend.lease).saturating_sub(left);
        let life = life::left(extend.life, aged, extend.age).min(millis(header.life()));
        match self.values.get_mut(key) {
            Some(row) if life > 0 => {
                let end = now.saturating_add(life);
                stamp(&mut row.bytes, end);
                row.until = end.saturating_add(millis(header.stale()));
                Extended::Stored
            }
            _ => Extended::Refused,
        }
    }
}
