//! What leaders ask of L2: read, lease and fill, for one seat or for many together.

use core::iter::zip;
use core::time::Duration;
use std::sync::Arc;

use crate::driver::flight::lease::ask;
use crate::driver::flight::seat::{Next, Seat};
use crate::driver::generations::believe::believed;
use crate::driver::link::{Ask, Link};
use crate::driver::shared::Shared;
use crate::driver::world::bounds::{CacheKey, CacheValue};
use crate::driver::world::caught::caught;
use crate::machine::error::{Error, Fault};
use crate::machine::generations::scope;
use crate::machine::generations::tags::Tags;
use crate::machine::lookup::step::{Extension, Filling, Reply};
use crate::machine::tier::mark::Mark;
use crate::machine::tier::verb::{Announce, Times};
use crate::machine::token::Token;
use crate::ports::bus::Kind;
use crate::ports::remote::{Extend, Fill, Leased, Stored};

/// How each seat goes on, in the order of the seats.
pub(crate) type Nexts<V> = Vec<Next<V>>;

pub(crate) async fn read<K: CacheKey, V: CacheValue>(
    shared: &Arc<Shared<K, V>>,
    seats: &mut [&mut Seat<K, V>],
) -> Nexts<V> {
    let Some((link, texts)) = route(shared, seats) else {
        return closed(seats);
    };
    let keys: Vec<&str> = texts.iter().map(|text| &***text).collect();
    let read = believed(shared, link.read(&keys).await).await;
    zip(seats, read)
        .map(|(seat, read)| Next::Reply(seat.read(read)))
        .collect()
}

pub(crate) async fn lease<K: CacheKey, V: CacheValue>(
    shared: &Arc<Shared<K, V>>,
    seats: &mut [&mut Seat<K, V>],
    leases: &[(Token, Duration)],
) -> Nexts<V> {
    let Some((link, texts)) = route(shared, seats) else {
        return closed(seats);
    };
    let asks = zip(seats.iter(), zip(texts, leases)).map(|(seat, (key, (token, life)))| Ask {
        key: Arc::clone(key),
        shard: seat.address().shard,
        token: *token,
        life: *life,
    });
    let leased = ask(shared, link, asks.collect()).await;
    // At once: a seat that is dropped while what was raised is asked for gives it back.
    for (seat, _) in zip(seats.iter_mut(), &leased).filter(|(_, leased)| is_granted(leased)) {
        seat.is_granted();
    }
    // A second look that finds nothing shows nothing dead. What it finds came before this number.
    let leased = match leased.iter().any(has_found) {
        true => believed(shared, (leased, link.look_beside().await)).await,
        false => leased,
    };
    zip(seats, leased)
        .map(|(seat, leased)| Next::Reply(seat.leased(leased)))
        .collect()
}

fn has_found(leased: &Result<Leased, Fault>) -> bool {
    leased.as_ref().is_ok_and(|leased| leased.found.is_some())
}

fn is_granted(leased: &Result<Leased, Fault>) -> bool {
    leased.as_ref().is_ok_and(Leased::is_granted)
}

/// `loaded`: what the others are told of a value that was loaded, and not to refresh the key.
pub(crate) async fn fill<K: CacheKey, V: CacheValue>(
    shared: &Arc<Shared<K, V>>,
    seats: &mut [&mut Seat<K, V>],
    fillings: &[Filling<Arc<V>>],
    loaded: Kind,
) -> Nexts<V> {
    let Some((link, texts)) = route(shared, seats) else {
        return closed(seats);
    };
    let encoded: Vec<Result<Vec<u8>, Error>> = fillings
        .iter()
        .map(|filling| {
            let beside = Beside {
                tags: &filling.tags,
                mark: filling.mark.as_ref(),
                born: filling.born,
            };
            encode(link, filling.value.as_deref(), beside, filling.times)
        })
        .collect();
    let fills: Vec<(Announce, Fill<'_>)> = zip(zip(seats.iter(), &texts), zip(fillings, &encoded))
        .filter_map(|((seat, key), (filling, encoded))| {
            let bytes = encoded.as_ref().ok()?;
            let fill = Fill {
                key,
                token: filling.token,
                value: stored(filling.times, bytes, seat.junk()),
                kind: told_as(seat, loaded),
            };
            Some((filling.announce, fill))
        })
        .collect();
    // Only what was encoded was sent, so only that takes an outcome below.
    let mut filled = link.fill(&fills).await.into_iter();
    zip(seats, encoded)
        .map(|(seat, encoded)| match encoded {
            Ok(_) => Next::Reply(Reply::Stored(filled.next().unwrap_or(Err(Fault::Timeout)))),
            Err(panicked @ Error::Panicked(_)) => Next::Over(seat.fail(panicked)),
            Err(error) => {
                let key = seat.address().text.as_deref();
                shared.journal.warn_of_value(key, &error);
                Next::Reply(Reply::Stored(Err(unencoded(error))))
            }
        })
        .collect()
}

/// Renews what stands in L2. `loaded`: as of [`fill`].
pub(crate) async fn extend<K: CacheKey, V: CacheValue>(
    shared: &Arc<Shared<K, V>>,
    seats: &mut [&mut Seat<K, V>],
    extensions: &[Extension],
    loaded: Kind,
) -> Nexts<V> {
    let Some((link, texts)) = route(shared, seats) else {
        return closed(seats);
    };
    let mut extends = Vec::with_capacity(extensions.len());
    for ((seat, key), extension) in zip(zip(seats.iter(), &texts), extensions) {
        let Times {
            life, lease, age, ..
        } = extension.times;
        let extend = Extend {
            key,
            token: extension.token,
            header: &extension.header,
            life,
            lease,
            age,
            kind: told_as(seat, loaded),
        };
        extends.push((extension.announce, extend));
    }
    let extended = link.extend(&extends).await;
    let replies = extended.into_iter().map(Reply::Extended);
    replies.map(Next::Reply).collect()
}

/// What the others are told of what this seat's flight has loaded.
fn told_as<K: CacheKey, V: CacheValue>(seat: &Seat<K, V>, loaded: Kind) -> Kind {
    if seat.refreshes() {
        Kind::SetByRefresh
    } else {
        loaded
    }
}

/// The bytes that L2 is to hold, with what is kept beside the value.
///
/// # Errors
/// [`Error::Encode`], [`Error::TooLarge`], and [`Error::Panicked`] if the codec panicked.
pub(crate) fn encode<K, V: CacheValue>(
    link: &Link<K, V>,
    value: Option<&V>,
    beside: Beside<'_>,
    times: Times,
) -> Result<Vec<u8>, Error> {
    let Beside { tags, mark, born } = beside;
    let mut bytes = caught(|| link.format.encode_marked(value, tags, mark))??;
    link.format.seal(&mut bytes, times, born);
    Ok(bytes)
}

/// What L2 keeps beside a value.
pub(crate) struct Beside<'a> {
    pub(crate) tags: &'a Tags,
    pub(crate) mark: Option<&'a Mark>,
    /// Under which number it was loaded.
    pub(crate) born: scope::Mark,
}

/// Why a value cannot be sent to L2.
pub(crate) fn unencoded(error: Error) -> Fault {
    match error {
        Error::TooLarge { .. } => Fault::TooLarge,
        error => Fault::Encode(error.to_string().into()),
    }
}

pub(crate) fn stored<'a>(times: Times, bytes: &'a [u8], replaces: Option<&'a [u8]>) -> Stored<'a> {
    Stored {
        bytes,
        replaces,
        life: times.life,
        stale: times.stale,
        lease: times.lease,
        age: times.age,
    }
}

/// The L2 to ask, and the texts of the keys.
type Route<'a, 's, K, V> = (&'a Link<K, V>, Vec<&'s Arc<str>>);

/// Both or none: a key has a text if and only if the cache has an L2.
fn route<'a, 's, K: CacheKey, V: CacheValue>(
    shared: &'a Shared<K, V>,
    seats: &'s [&mut Seat<K, V>],
) -> Option<Route<'a, 's, K, V>> {
    let texts = seats.iter().map(|seat| seat.address().text.as_ref());
    shared.link.as_ref().zip(texts.collect())
}

/// The machine asked for L2, but this cache has none.
fn closed<K: CacheKey, V: CacheValue>(seats: &[&mut Seat<K, V>]) -> Nexts<V> {
    let closed = |seat: &&mut Seat<K, V>| Next::Over(seat.fail(Error::Closed));
    seats.iter().map(closed).collect()
}
