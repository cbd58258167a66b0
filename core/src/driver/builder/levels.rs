//! Turns the settings of L1 and L2 into the levels of a cache: engines, names, formats.

use core::num::NonZeroUsize;
use std::sync::Arc;

use crate::driver::bus::hub::Hub;
use crate::driver::link::Link;
use crate::driver::link::announce::Announcer;
use crate::driver::link::format::Format;
use crate::driver::link::gate::Gate;
use crate::driver::link::log::Log;
use crate::driver::link::namespaces::{Namespaces, Registration};
use crate::driver::link::primary::Primary;
use crate::driver::link::text::Texts;
use crate::driver::shared::generated::Generated;
use crate::driver::shared::journal::Journal;
use crate::driver::shared::level1::Level1;
use crate::driver::world::erased::{AnyRemote, AnyRuntime};
use crate::machine::error::Error;
use crate::machine::policy::breaker::Breaker;
use crate::machine::policy::{Kind, Policy};
use crate::machine::tier::wire::Wire;
use crate::ports::codec::Codec;
use crate::ports::compression::Compression;
use crate::ports::local::Local;

pub(super) struct Levels<K, V> {
    pub(super) engine: Engine<K, V>,
    pub(super) l1: L1<K, V>,
    pub(super) l2: Option<L2<K, V>>,
    pub(super) namespace: Option<String>,
    pub(super) separator: String,
    pub(super) wire: Wire,
    pub(super) compressions: Vec<Arc<dyn Compression>>,
    pub(super) max_value_size: usize,
    pub(super) read_back: usize,
    /// `None` for no breaker.
    pub(super) breaker: Option<Breaker>,
}

pub(super) enum L1<K, V> {
    Off,
    Sized(usize),
    Own(Arc<dyn Local<K, V>>),
}

/// Makes an L1 engine of so many entries.
pub(super) type Engine<K, V> = fn(NonZeroUsize) -> Arc<dyn Local<K, V>>;

pub(super) struct L2<K, V> {
    pub(super) remote: Arc<dyn AnyRemote>,
    /// The prefixes that the caches of its node have taken, if it has a node.
    pub(super) namespaces: Option<Arc<Namespaces>>,
    pub(super) codec: Arc<dyn Codec<V>>,
    pub(super) write_key: fn(&K, &mut String),
    pub(super) parse_key: fn(&str) -> Option<K>,
}

/// The levels of a cache, and the part of L2 that it has taken.
type Built<K, V> = (Level1<K, V>, Option<Link<K, V>>, Option<Registration>);

impl<K, V: 'static> Levels<K, V> {
    pub(super) fn new(engine: Engine<K, V>, compressions: Vec<Arc<dyn Compression>>) -> Self {
        Self {
            engine,
            l1: L1::Sized(DEFAULT_CAPACITY),
            l2: None,
            namespace: None,
            separator: SEPARATOR.into(),
            wire: Wire::Native,
            compressions,
            max_value_size: DEFAULT_MAX_VALUE_SIZE,
            read_back: DEFAULT_READ_BACK,
            breaker: Some(Breaker::default()),
        }
    }

    /// # Errors
    /// [`Error::Config`] if there is no level at all.
    pub(super) fn kind(&self) -> Result<Kind, Error> {
        match (&self.l1, &self.l2) {
            (L1::Off, Some(_)) => Ok(Kind::Remote),
            (_, Some(_)) => Ok(Kind::Both),
            (L1::Off, None) => Err(Error::config(
                "neither L1 nor L2: leave out no_local, or give the builder a remote",
            )),
            (_, None) => Ok(Kind::Local),
        }
    }

    /// Whether L2 keeps a log of raises.
    pub(super) fn keeps_log(&self) -> bool {
        let log = |l2: &L2<K, V>| self.wire == Wire::Native && l2.remote.keeps_log();
        self.l2.as_ref().is_some_and(log)
    }

    /// # Errors
    /// [`Error::Config`] for an L1 without room, a namespace that cannot be or is taken, a format
    /// that does not fit the values, a bus that does not fit L2.
    pub(super) fn build(
        self,
        journal: &Arc<Journal>,
        runtime: &Arc<dyn AnyRuntime>,
        hub: Option<&Arc<Hub>>,
        policy: &Policy,
    ) -> Result<Built<K, V>, Error> {
        let local = match self.l1 {
            L1::Off => None,
            L1::Own(local) => Some(local),
            L1::Sized(capacity) => {
                let capacity = NonZeroUsize::new(capacity).ok_or_else(|| {
                    Error::config("capacity is zero: give it at least 1, or use no_local for no L1")
                })?;
                Some((self.engine)(capacity))
            }
        };
        let generations = Arc::<Generated>::default();
        let level1 = Level1 {
            local,
            generations: Arc::clone(&generations),
            journal: Arc::clone(journal),
        };
        let name = &journal.name;
        let prefix = prefix(self.namespace.as_deref().unwrap_or(name), &self.separator)?;
        let Some(l2) = self.l2 else {
            return Ok((level1, None, None));
        };
        let format = Format::new(
            self.wire,
            l2.codec,
            self.compressions,
            self.max_value_size,
            self.read_back,
        )?;
        if let Some(breaker) = &self.breaker {
            breaker.check()?;
        }
        let timeout = policy.remote_timeout;
        let gate = |breaker| {
            let gate = Gate::new(breaker, &l2.remote, runtime, timeout, self.wire, &prefix);
            Arc::new(gate)
        };
        let gate = self.breaker.map(gate);
        let namespaces = (l2.namespaces).or_else(|| l2.remote.server().map(Namespaces::of));
        let registration = namespaces.map(|taken| taken.take(&prefix, name));
        let log = (policy.log).then(|| Log::new(&prefix, generations));
        let link = Link {
            texts: Texts {
                prefix,
                write: l2.write_key,
                parse: l2.parse_key,
                wire: self.wire,
            },
            format,
            announcer: Announcer::new(&l2.remote, hub, name)?,
            primary: (!policy.failover_window.is_zero())
                .then(|| Primary::of(&l2.remote, runtime).map(Arc::new))
                .flatten(),
            remote: l2.remote,
            hub: hub.cloned(),
            journal: Arc::clone(journal),
            runtime: Arc::clone(runtime),
            timeout,
            gate,
            log,
        };
        Ok((level1, Some(link), registration.transpose()?))
    }
}

/// # Errors
/// [`Error::Config`] for keys whose leases could have the same name: of `ns:x` and `{ns:x}`, for
/// instance.
fn prefix(namespace: &str, separator: &str) -> Result<String, Error> {
    let prefix = format!("{namespace}{separator}");
    if prefix.starts_with('{') && !prefix.contains('}') {
        return Err(Error::config(
            "the namespace begins with { and has no }: leave the brace out, or close it",
        ));
    }
    Ok(prefix)
}

const DEFAULT_CAPACITY: usize = 10_000;
const DEFAULT_MAX_VALUE_SIZE: usize = 64 << 20;
/// Enough to see each shape of most types.
const DEFAULT_READ_BACK: usize = 32;
const SEPARATOR: &str = ":";
