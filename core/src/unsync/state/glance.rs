//! Reads without a loader.

use core::hash::Hash;

use crate::machine::policy::call::Call;
use crate::machine::shard::glances::Glanced;
use crate::machine::tier::entry::Cached;
use crate::unsync::clock::Clock;
use crate::unsync::level2::Level2;
use crate::unsync::state::{Rest, State};

impl<K: Hash + Eq + Clone, V: Clone, L: Level2<K, V>> State<K, V, L> {
    /// What L2 knows of a key that L1 does not have.
    pub(in crate::unsync) fn glance(
        &mut self,
        key: &K,
        call: Call,
        clock: &mut dyn Clock,
        rest: &mut Rest<K, V>,
    ) -> Cached<V> {
        let (hash, bucket) = (self.hash(key), self.level2.bucket(key));
        let glance = self.ask(clock.moment(), rest, |table, context, effects| {
            table.glance(hash, bucket, |other| other == key, call, context, effects)
        });
        let Some(glance) = glance else {
            return Cached::Miss;
        };
        let read = self.read(key, rest);
        let glanced = self.ask(clock.moment(), rest, |table, context, effects| {
            table.glanced(&glance, || key.clone(), read, context, effects)
        });
        match glanced {
            Glanced::Answer(answer) => answer,
            Glanced::Keep(answer, kept, entry) => {
                self.keep(key, entry, rest);
                self.table.kept(&kept, &mut rest.effects);
                answer
            }
        }
    }
}
