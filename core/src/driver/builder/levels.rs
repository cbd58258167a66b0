//! The settings of L1 and L2: engines, names, formats.

use core::hash::Hash;
use core::num::NonZeroUsize;
use core::time::Duration;
use std::sync::Arc;

use crate::driver::builder::Builder;
use crate::driver::bus::hub::Hub;
use crate::driver::link::Link;
use crate::driver::link::announce::Announcer;
use crate::driver::link::format::Format;
use crate::driver::link::namespaces::{Namespaces, Registration};
use crate::driver::link::text::Texts;
use crate::driver::shared::level1::Level1;
use crate::driver::world::erased::{AnyRemote, AnyRuntime};
use crate::machine::error::Error;
use crate::machine::policy::Kind;
use crate::machine::tier::wire::Wire;
use crate::ports::codec::Codec;
use crate::ports::compression::Compression;
use crate::ports::key::Key;
use crate::ports::local::Local;
use crate::ports::remote::Remote;

pub(super) struct Levels<K, V> {
    engine: Engine<K, V>,
    l1: L1<K, V>,
    l2: Option<L2<K, V>>,
    namespace: Option<String>,
    separator: String,
    pub(super) wire: Wire,
    compressions: Vec<Arc<dyn Compression>>,
    max_value_size: usize,
}

enum L1<K, V> {
    Off,
    Sized(usize),
    Own(Arc<dyn Local<K, V>>),
}

/// Makes an L1 engine of so many entries.
pub(super) type Engine<K, V> = fn(NonZeroUsize) -> Arc<dyn Local<K, V>>;

struct L2<K, V> {
    remote: Arc<dyn AnyRemote>,
    /// What the caches of this one's node have taken of it.
    namespaces: Option<Arc<Namespaces>>,
    codec: Arc<dyn Codec<V>>,
    write_key: fn(&K, &mut String),
    parse_key: fn(&str) -> Option<K>,
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

    /// # Errors
    /// [`Error::Config`] for an L1 without room, a namespace that cannot be or is taken, a format
    /// that does not fit the values, a bus that does not fit L2.
    pub(super) fn build(
        self,
        name: &Arc<str>,
        runtime: &Arc<dyn AnyRuntime>,
        hub: Option<&Arc<Hub>>,
        timeout: Duration,
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
        let prefix = prefix(self.namespace.as_deref().unwrap_or(name), &self.separator)?;
        let Some(l2) = self.l2 else {
            return Ok((Level1(local), None, None));
        };
        let format = Format::new(self.wire, l2.codec, self.compressions, self.max_value_size)?;
        let namespaces = l2.namespaces.as_ref();
        let registration = namespaces.map(|taken| taken.take(&prefix, name));
        let link = Link {
            texts: Texts {
                prefix,
                write: l2.write_key,
                parse: l2.parse_key,
                wire: self.wire,
            },
            format,
            announcer: Announcer::new(&l2.remote, hub, name)?,
            remote: l2.remote,
            hub: hub.cloned(),
            runtime: Arc::clone(runtime),
            timeout,
        };
        Ok((Level1(local), Some(link), registration.transpose()?))
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

/// L1 and L2.
impl<K: Hash + Eq + Clone + Send + Sync + 'static, V: Clone + Send + Sync + 'static> Builder<K, V> {
    /// How many entries L1 holds at most, in the default engine. Default: 10,000.
    pub fn capacity(mut self, entries: usize) -> Self {
        self.levels.l1 = L1::Sized(entries);
        self
    }

    /// The engine that [`capacity`](Self::capacity) sizes, in place of the node's.
    pub fn default_engine(mut self, engine: fn(NonZeroUsize) -> Arc<dyn Local<K, V>>) -> Self {
        self.levels.engine = engine;
        self
    }

    /// This L1, in place of the default engine.
    pub fn local(mut self, local: impl Local<K, V> + 'static) -> Self {
        self.levels.l1 = L1::Own(Arc::new(local));
        self
    }

    /// No L1.
    pub fn no_local(mut self) -> Self {
        self.levels.l1 = L1::Off;
        self
    }

    /// This L2 for this cache alone, with values written by `codec`. It need not be reachable yet.
    pub fn remote(self, remote: impl Remote, codec: impl Codec<V>) -> Self
    where
        K: Key,
    {
        self.connected(Arc::new(remote), None, Arc::new(codec))
    }

    /// No L2.
    pub fn no_remote(mut self) -> Self {
        self.levels.l2 = None;
        self
    }

    /// This L2, which a node's caches share if there are `namespaces`.
    pub(super) fn connected(
        mut self,
        remote: Arc<dyn AnyRemote>,
        namespaces: Option<Arc<Namespaces>>,
        codec: Arc<dyn Codec<V>>,
    ) -> Self
    where
        K: Key,
    {
        self.levels.l2 = Some(L2 {
            remote,
            namespaces,
            codec,
            write_key: K::write,
            parse_key: K::parse,
        });
        self
    }

    /// What L2's keys begin with, followed by the separator. Default: the cache's name.
    pub fn namespace(mut self, namespace: &str) -> Self {
        self.levels.namespace = Some(namespace.to_owned());
        self
    }

    /// What stands between the namespace and the key in L2; empty for nothing. Default: a colon.
    pub fn separator(mut self, separator: &str) -> Self {
        self.levels.separator = separator.to_owned();
        self
    }

    /// How entries are written in L2. Default: [`Wire::Native`].
    pub fn wire(mut self, wire: Wire) -> Self {
        self.levels.wire = wire;
        self
    }

    /// How long an encoded value may be, in bytes and before compression. A longer one is refused
    /// by an insert ([`Error::TooLarge`]), stays in L1 only when it is loaded, and is a miss when
    /// it stands in L2. Default: 64 MiB.
    pub fn max_value_size(mut self, bytes: usize) -> Self {
        self.levels.max_value_size = bytes;
        self
    }

    /// One more compression that entries of L2 may have been written with, beside the codec's own.
    /// The runtime crates call this for those that they were built with.
    pub fn decompress(mut self, method: Arc<dyn Compression>) -> Self {
        self.levels.compressions.push(method);
        self
    }
}

const DEFAULT_CAPACITY: usize = 10_000;
const DEFAULT_MAX_VALUE_SIZE: usize = 64 << 20;
const SEPARATOR: &str = ":";
