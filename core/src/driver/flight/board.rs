//! Keys that are about to be looked up together: which shard each belongs to, and its text in L2.

use core::ops::Range;
use std::borrow::ToOwned;
use std::sync::Arc;

use crate::driver::flight::member::{Going, Member};
use crate::driver::flight::seat::Seat;
use crate::driver::link::text::USUAL_KEY;
use crate::driver::shared::Shared;
use crate::driver::shared::address::Address;
use crate::driver::world::bounds::{CacheKey, CacheValue};
use crate::machine::error::Error;
use crate::machine::generations::scope::bucket;
use crate::machine::lookup::step::Reply;
use crate::machine::policy::call::Call;
use crate::machine::shard::Role;

/// Rows by shard, so that those of one shard are asked about under one lock.
pub(crate) struct Board<K> {
    pub(crate) rows: Vec<Row<K>>,
    /// The texts of all of them, one behind the other.
    texts: String,
}

pub(crate) struct Row<K> {
    /// The key's place in the request.
    pub(crate) at: usize,
    pub(crate) hash: u64,
    pub(crate) shard: usize,
    /// The bucket of its text.
    pub(crate) bucket: u16,
    pub(crate) key: Arc<K>,
    /// Where its text stands among the texts; `None` without an L2, and for a key that L2 cannot
    /// hold.
    text: Option<Range<usize>>,
}

impl<K: CacheKey> Board<K> {
    /// A part of the keys. Those whose text is not what it should be are refused.
    pub(crate) fn new<Q, V: CacheValue>(
        shared: &Shared<K, V>,
        keys: &[&Q],
        part: Range<usize>,
        mut refuse: impl FnMut(usize, Error),
    ) -> Self
    where
        Q: ToOwned<Owned = K> + ?Sized,
    {
        // Each text is written to `own` first: a key that spoils its text spoils no other's.
        let (mut texts, mut own) = (String::new(), String::new());
        let mut rows = Vec::with_capacity(part.len());
        if let Some(link) = &shared.link {
            texts.reserve(part.len() * (link.texts.prefix.len() + USUAL_KEY));
        }
        for at in part {
            let key = Arc::new(keys[at].to_owned());
            let start = texts.len();
            let written = (shared.link.as_ref()).map(|link| link.texts.write_to(&mut own, &key));
            let can_be = match written.transpose() {
                Ok(can_be) => can_be.unwrap_or(false),
                Err(error) => {
                    refuse(at, error);
                    continue;
                }
            };
            if can_be {
                texts.push_str(&own);
            }
            let hash = shared.tables.hash(&*key);
            rows.push(Row {
                at,
                hash,
                shard: shared.tables.shard_of(hash),
                bucket: if can_be { bucket(&own) } else { 0 },
                key,
                text: can_be.then_some(start..texts.len()),
            });
        }
        rows.sort_by_key(|row| row.shard);
        Self { rows, texts }
    }

    /// The key's text in L2.
    pub(crate) fn text(&self, row: &Row<K>) -> Option<&str> {
        row.text.clone().map(|text| &self.texts[text])
    }

    /// Each key takes a seat in its flight: those that lead, and those that follow.
    pub(crate) fn join<V: CacheValue>(
        mut self,
        shared: &Arc<Shared<K, V>>,
        call: Call,
    ) -> Joined<K, V> {
        // Made outside the lock: after a panic under it, these seats leave once it is open.
        let mut seated = Vec::with_capacity(self.rows.len());
        let texts = &self.texts;
        let shard = |row: &Row<K>| row.shard;
        shared.ask_each(&mut self.rows, shard, |row, table, context, effects| {
            let address = Address {
                key: Arc::clone(&row.key),
                hash: row.hash,
                shard: row.shard,
                bucket: row.bucket,
                text: row.text.clone().map(|text| texts[text].into()),
            };
            let call = address.wishes(call.clone());
            let key = Arc::clone(&row.key);
            let (ticket, role) = table.join(key, row.bucket, call, context, effects);
            let seat = Seat::of(shared, address, Some(ticket));
            seated.push((Member { at: row.at, seat }, None));
            if let (Role::Lead, Some((member, step))) = (role, seated.last_mut()) {
                *step = Some(member.seat.step(Reply::Begin, table, context, effects));
            }
        });
        let (mut leading, mut following) = (Vec::with_capacity(seated.len()), Vec::new());
        for (mut member, step) in seated {
            match step.map(|step| member.seat.settle(step)) {
                Some(next) => leading.push((member, next)),
                None => following.push(member),
            }
        }
        (leading, following)
    }
}

/// Those that lead, and those that follow.
pub(crate) type Joined<K, V> = (Vec<Going<K, V>>, Vec<Member<K, V>>);
