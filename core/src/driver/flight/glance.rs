//! Reads without a loader: one round trip to L2 for all of them, and nothing in the machine's
//! tables meanwhile (PROTOCOL.md, R6).

use core::iter::zip;
use core::ops::Range;
use std::borrow::ToOwned;
use std::sync::Arc;

use crate::driver::flight::board::{Board, Row};
use crate::driver::generations::believe::believed;
use crate::driver::link::Link;
use crate::driver::link::format::Junk;
use crate::driver::link::outcomes::{answered, only};
use crate::driver::shared::Shared;
use crate::driver::shared::address::Address;
use crate::driver::world::bounds::{CacheKey, CacheValue};
use crate::driver::world::caught::caught;
use crate::machine::error::Fault;
use crate::machine::event::Event;
use crate::machine::lookup::step::{Answer, Seen};
use crate::machine::policy::call::Call;
use crate::machine::policy::outage::Outage;
use crate::machine::shard::glances::{Glance, Glanced, Kept};
use crate::machine::tier::entry::{Cached, Entry};
use crate::machine::time::Timestamp;
use crate::ports::remote::Found;

/// What a read of L2 brought for a key, until the machine has taken it.
type Brought<'a, K, V> = (
    &'a Row<K>,
    Glance,
    Option<Result<Option<Seen<Arc<V>>>, Fault>>,
);

/// What L2 knows of a key, and when the life of that ends.
pub(crate) type Known<V> = (Cached<Arc<V>>, Timestamp);

/// What L2 knows of the keys, which L1 does not have; and whether it stopped answering.
pub(crate) async fn glance<K: CacheKey, V: CacheValue, Q>(
    shared: &Arc<Shared<K, V>>,
    keys: &[&Q],
    call: Call,
) -> (Vec<Known<V>>, Outage)
where
    Q: ToOwned<Owned = K> + ?Sized,
{
    let mut answers = vec![(Cached::Miss, Timestamp::MAX); keys.len()];
    let mut outage = Outage::default();
    for part in parts(keys.len(), shared.loaders.chunk) {
        let call = call.clone().within(outage);
        // A key that L2 cannot hold is a miss.
        let board = Board::new(shared, keys, part, |_, _| {});
        glance_part(shared, board, call, &mut answers, &mut outage).await;
    }
    (answers, outage)
}

/// The same of one key, without the lists that many need.
pub(crate) async fn glance_one<K: CacheKey, V: CacheValue, Q>(
    shared: &Arc<Shared<K, V>>,
    key: &Q,
    call: &Call,
) -> Known<V>
where
    Q: ToOwned<Owned = K> + ?Sized,
{
    let nothing = (Cached::Miss, Timestamp::MAX);
    // A key whose text is not what it should be is a miss.
    let Ok(Address {
        key,
        hash,
        shard,
        text,
        bucket,
    }) = shared.address(Arc::new(key.to_owned()))
    else {
        return nothing;
    };
    let begun = shared.ask(shard, |table, context, effects| {
        let is_key = |other: &Arc<K>| *other == key;
        table.glance(hash, bucket, is_key, call.clone(), context, effects)
    });
    let (Some(glance), Some(link), Some(text)) = (begun, &shared.link, &text) else {
        return nothing;
    };
    let read = only(believed(shared, link.read(&[text]).await).await);
    let seen = read.map(|found| seen(shared, link, text, found));
    let until = end_of(&glance, &seen);
    let glanced = shared.ask(shard, |table, context, effects| {
        table.glanced(&glance, || Arc::clone(&key), seen, context, effects)
    });
    match glanced {
        Glanced::Answer(answer) => known(answer, until),
        Glanced::Keep(answer, write, entry) => {
            let announced = Announced {
                shared,
                writes: vec![(shard, write)],
            };
            keep(shared, &key, entry);
            drop(announced);
            (answer, until)
        }
    }
}

/// What L2 knows as the answer to a call that loads; `None` if it knows nothing.
pub(crate) fn answer<V>((found, until): Known<V>) -> Option<Answer<Arc<V>>> {
    let answer = |found| Answer {
        until,
        ..Answer::endless(Ok(found))
    };
    (!matches!(found, Cached::Miss)).then(|| answer(found))
}

/// The parts of a batch of so many keys.
pub(crate) fn parts(keys: usize, chunk: usize) -> impl Iterator<Item = Range<usize>> {
    let starts = (0..keys).step_by(chunk);
    starts.map(move |start| start..keys.min(start.saturating_add(chunk)))
}

async fn glance_part<K: CacheKey, V: CacheValue>(
    shared: &Arc<Shared<K, V>>,
    mut board: Board<K>,
    call: Call,
    answers: &mut [Known<V>],
    outage: &mut Outage,
) {
    let begun = shared.ask_each(
        &mut board.rows,
        |row| row.shard,
        |row, table, context, effects| {
            let is_key = |other: &Arc<K>| *other == row.key;
            table.glance(row.hash, row.bucket, is_key, call.clone(), context, effects)
        },
    );
    let Some(link) = &shared.link else {
        return;
    };
    let mut glances = Vec::with_capacity(begun.len());
    let mut asked = Vec::with_capacity(begun.len());
    for (row, glance) in zip(&board.rows, begun) {
        if let (Some(glance), Some(text)) = (glance, board.text(row)) {
            glances.push((row, glance));
            asked.push(text);
        }
    }
    if asked.is_empty() {
        return;
    }
    let read = believed(shared, link.read(&asked).await).await;
    outage.note(asked.len(), read.len(), answered(&read));
    let mut brought: Vec<Brought<'_, K, V>> = zip(zip(glances, &asked), read)
        .map(|(((row, glance), text), read)| {
            let seen = read.map(|found| seen(shared, link, text, found));
            (row, glance, Some(seen))
        })
        .collect();
    let mut announced = Announced {
        shared,
        writes: Vec::new(),
    };
    let writes = &mut announced.writes;
    let glanced = shared.ask_each(
        &mut brought,
        |(row, ..)| row.shard,
        |(row, glance, seen), table, context, effects| {
            let key = || Arc::clone(&row.key);
            let seen = seen.take()?;
            let until = end_of(glance, &seen);
            Some(match table.glanced(glance, key, seen, context, effects) {
                Glanced::Answer(answer) => (known(answer, until), None),
                Glanced::Keep(answer, write, entry) => {
                    writes.push((row.shard, write));
                    ((answer, until), Some(entry))
                }
            })
        },
    );
    for ((row, ..), glanced) in zip(brought, glanced) {
        let Some((answer, entry)) = glanced else {
            continue;
        };
        answers[row.at] = answer;
        if let Some(entry) = entry {
            keep(shared, &row.key, entry);
        }
    }
    drop(announced);
}

/// That there is nothing does not end: what stands there past its life would be read again and again.
fn known<V>(answer: Cached<Arc<V>>, until: Timestamp) -> Known<V> {
    match answer {
        Cached::Miss => (Cached::Miss, Timestamp::MAX),
        answer => (answer, until),
    }
}

/// When the life of what was seen ends.
fn end_of<V>(glance: &Glance, seen: &Result<Option<Seen<V>>, Fault>) -> Timestamp {
    match seen {
        Ok(Some(seen)) => glance.end_of(seen),
        Ok(None) | Err(_) => Timestamp::MAX,
    }
}

/// Writes to L1. A panic in the engine or in a `Clone` stops nothing else.
fn keep<K: CacheKey, V: CacheValue>(shared: &Shared<K, V>, key: &Arc<K>, entry: Entry<Arc<V>>) {
    if caught(|| shared.level1.write(key, entry)).is_err() {
        shared.journal.note_panic_of_local();
    }
}

fn seen<K: CacheKey, V: CacheValue>(
    shared: &Shared<K, V>,
    link: &Link<K, V>,
    text: &str,
    found: Option<Found>,
) -> Option<Seen<Arc<V>>> {
    let seen = link.format.decode(found);
    seen.unwrap_or_else(|Junk { why, .. }| {
        let key = text.into();
        shared.journal.note(&Event::Undecodable { key, why });
        None
    })
}

/// Announced writes to L1. Dropped, also by a panic, it seals them: changes wait for that.
struct Announced<'a, K: CacheKey, V: CacheValue> {
    shared: &'a Shared<K, V>,
    writes: Vec<(usize, Kept)>,
}

impl<K: CacheKey, V: CacheValue> Drop for Announced<'_, K, V> {
    fn drop(&mut self) {
        self.shared.ask_each(
            &mut self.writes,
            |(shard, _)| *shard,
            |(_, write), table, _, effects| table.kept(write, effects),
        );
    }
}
