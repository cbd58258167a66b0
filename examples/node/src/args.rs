//! The options of the command line.

use std::ffi::OsStr;
use std::path::PathBuf;
use std::time::Duration;

use jetcache_tokio::Wire;
use lexopt::{Arg, Error, Parser, ValueExt};
use tracing_subscriber::filter::LevelFilter;

use crate::words::{millis, number};

pub(crate) const USAGE: &str = "\
node: a cache node that is driven by lines on stdin; the head of its main.rs has the lines

  --runtime tokio|smol|async-std  what it runs on (tokio)
  --redis URL                     L2 is this Redis
  --redis-cluster URL,URL,..      L2 is the Redis Cluster of these nodes; one of them is enough
  --redis-sentinel NAME@HOST:PORT,HOST:PORT,..
                                  L2 is the primary of the group NAME, which these Sentinels know
  --memory                        L2 is in the process (the default)
  --ca FILE                       the authorities to trust for rediss://, as PEM; with
                                  --redis-sentinel the servers speak TLS
  --wire native|jetcache-go       how entries are written in L2 (native)
  --codec msgpack|json|postcard   how values are written in them (msgpack); no postcard with
                                  --wire jetcache-go
  --max-value-bytes N             how long an encoded value may be (64 MiB)
  --no-local                      no L1
  --local quick|moka|lru          L1's engine (quick)
  --capacity N                    L1 holds at most N entries (10000)
  --max-bytes N                   L1 holds at most N bytes; not with lru
  --namespace NS                  what L2's keys begin with (node)
  --bus pubsub|tracking           hear of other nodes' changes over L2's Redis: as it tells them, or
                                  as it sees them; no tracking with --redis-cluster (none)
  --bus-channel NAME              the channel of pubsub, and pubsub if --bus is not given (jetcache)
  --source-id ID                  what this node's id on the bus begins with (nothing)
  --blind-local-ttl-ms N          how long L1 keeps a value at most while the bus is down (local TTL)
  --ttl-ms N                      how long a value is fresh (1 h)
  --local-ttl-ms N                how long L1 keeps it at most (1 min)
  --negative-ttl-ms N             how long \"does not exist\" is remembered (1 min)
  --jitter PERCENT                what is taken off them, 10 s at most (10)
  --remote-timeout-ms N           how long one operation of L2 may take (250)
  --load-timeout-ms N             how long a loader may take (10000)
  --stale-ms N                    how long after its TTL a value may be served stale (0)
  --stale-retry-ms N              how long after a failed load the next one is tried (1000)
  --soft-timeout-ms N             how long a load is waited for if there is a stale value
  --eager                         a hit late in a value's life has it loaded anew
  --max-loads N                   how many loaders may run at once; a load waits 1 s for its turn
  --check-one-in N                one L1 hit in so many is compared with L2 (needs a bus)
  --lease-ms N                    how long a lease stands that is not renewed (8 x remote timeout)
  --lease-wait-ms N               how long to wait for another's lease (2000)
  --refresh-ms N                  how often keys asked for with `refresh` are loaded anew
  --stop-refresh-ms N             how long after they were asked for last (refresh + 1000)
  --log [LEVEL]                   the log goes to stderr: error, warn, info, debug or trace (info);
                                  without this option there is none
";

/// What the command line asks for.
#[derive(Debug)]
pub(crate) enum Parsed {
    Options(Box<Options>),
    Help,
}

/// How a node is to be made. What was not given is the cache's own default.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Options {
    pub(crate) runtime: Host,
    pub(crate) remote: Remote,
    pub(crate) authorities: Option<PathBuf>,
    pub(crate) wire: Wire,
    pub(crate) codec: Codec,
    pub(crate) max_value: Option<usize>,
    pub(crate) max_loads: Option<usize>,
    pub(crate) check_one_in: Option<u32>,
    pub(crate) local: Local,
    pub(crate) bound: Bound,
    pub(crate) namespace: Option<String>,
    pub(crate) bus: Option<Bus>,
    pub(crate) source_id: Option<String>,
    pub(crate) blind_local_ttl: Option<Duration>,
    pub(crate) refresh: Option<Duration>,
    pub(crate) stop_refresh: Option<Duration>,
    pub(crate) jitter: Option<u8>,
    pub(crate) ttl: Option<Duration>,
    pub(crate) local_ttl: Option<Duration>,
    pub(crate) negative_ttl: Option<Duration>,
    pub(crate) stale: Option<Duration>,
    pub(crate) stale_retry: Option<Duration>,
    pub(crate) soft_timeout: Option<Duration>,
    pub(crate) eager: bool,
    pub(crate) remote_timeout: Option<Duration>,
    pub(crate) load_timeout: Option<Duration>,
    pub(crate) lease: Option<Duration>,
    pub(crate) lease_wait: Option<Duration>,
    pub(crate) log: Option<LevelFilter>,
}

/// What the node runs on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Host {
    #[default]
    Tokio,
    Smol,
    AsyncStd,
}

/// The L2.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum Remote {
    #[default]
    Memory,
    Redis(String),
    Cluster(Vec<String>),
    /// A group's name and its Sentinels.
    Sentinel(String, Vec<String>),
}

/// How the node hears of what others change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Bus {
    /// Over this channel.
    PubSub(String),
    Tracking,
}

/// How values are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Codec {
    #[default]
    MessagePack,
    Json,
    Postcard,
}

/// The L1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Local {
    Off,
    #[default]
    Quick,
    Moka,
    Lru,
}

/// How much L1 holds at most.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Bound {
    #[default]
    Usual,
    Entries(usize),
    Bytes(u64),
}

impl Options {
    /// # Errors
    /// What is wrong with the command line.
    pub(crate) fn parse(mut parser: Parser) -> Result<Parsed, Error> {
        let mut options = Self::default();
        let (mut memory, mut redis, mut cluster, mut sentinel) = (false, None, None, None);
        let (mut no_local, mut local) = (false, None);
        let (mut capacity, mut max_bytes) = (None, None);
        let (mut bus_kind, mut channel) = (None, None);
        while let Some(arg) = parser.next()? {
            let name = match &arg {
                Arg::Long(name) => (*name).to_owned(),
                Arg::Short('h') => return Ok(Parsed::Help),
                Arg::Short(_) | Arg::Value(_) => return Err(arg.unexpected()),
            };
            let mut text = || parser.value()?.string();
            match &*name {
                "help" => return Ok(Parsed::Help),
                "log" => options.log = Some(log(&mut parser)?),
                "runtime" => options.runtime = host(&text()?)?,
                "redis" => redis = Some(text()?),
                "redis-cluster" => cluster = Some(text()?),
                "redis-sentinel" => sentinel = Some(text()?),
                "memory" => memory = true,
                "eager" => options.eager = true,
                "ca" => options.authorities = Some(text()?.into()),
                "no-local" => no_local = true,
                "wire" => options.wire = wire(&text()?)?,
                "codec" => options.codec = codec(&text()?)?,
                "max-loads" => {
                    options.max_loads = Some(number("--max-loads", &text()?)?);
                }
                "check-one-in" => {
                    options.check_one_in = Some(number("--check-one-in", &text()?)?);
                }
                "max-value-bytes" => {
                    options.max_value = Some(number("--max-value-bytes", &text()?)?);
                }
                "local" => local = Some(local_engine(&text()?)?),
                "capacity" => capacity = Some(number("--capacity", &text()?)?),
                "max-bytes" => max_bytes = Some(number("--max-bytes", &text()?)?),
                "namespace" => options.namespace = Some(text()?),
                "bus" => bus_kind = Some(text()?),
                "bus-channel" => channel = Some(text()?),
                "source-id" => options.source_id = Some(text()?),
                "jitter" => options.jitter = Some(number("--jitter", &text()?)?),
                _ => {
                    let Some(span) = options.span(&name) else {
                        return Err(format!("there is no option --{name}").into());
                    };
                    *span = Some(millis(&format!("--{name}"), &text()?)?);
                }
            }
        }
        options.remote = remote(memory, redis, cluster, sentinel)?;
        options.bus = bus(bus_kind.as_deref(), channel)?;
        if options.bus.is_some() && options.remote == Remote::Memory {
            return Err(
                "--bus and --bus-channel need --redis, --redis-cluster or --redis-sentinel".into(),
            );
        }
        if options.bus.is_none()
            && (options.source_id.is_some() || options.blind_local_ttl.is_some())
        {
            return Err("--source-id and --blind-local-ttl-ms need --bus or --bus-channel".into());
        }
        if options.refresh.is_none() && options.stop_refresh.is_some() {
            return Err("--stop-refresh-ms needs --refresh-ms".into());
        }
        if options.authorities.is_some() && options.remote == Remote::Memory {
            return Err(
                "--ca needs --redis or --redis-cluster with rediss:// URLs, or --redis-sentinel"
                    .into(),
            );
        }
        if options.wire == Wire::JetcacheGo && options.codec == Codec::Postcard {
            return Err(
                "--codec postcard: jetcache-go does not know it; with --wire jetcache-go the codec \
                 is msgpack or json"
                    .into(),
            );
        }
        options.bound = match (capacity, max_bytes) {
            (Some(_), Some(_)) => return Err("--capacity and --max-bytes: choose one".into()),
            (_, Some(0)) => return Err("--max-bytes is zero: give it at least 1".into()),
            (_, Some(bytes)) => Bound::Bytes(bytes),
            (Some(entries), None) => Bound::Entries(entries),
            (None, None) => Bound::Usual,
        };
        if no_local && (local.is_some() || options.bound != Bound::Usual) {
            return Err("--no-local: leave out --local, --capacity and --max-bytes".into());
        }
        if local == Some(Local::Lru) && matches!(options.bound, Bound::Bytes(_)) {
            return Err("--local lru is bounded by --capacity, not by --max-bytes".into());
        }
        options.local = if no_local {
            Local::Off
        } else {
            local.unwrap_or_default()
        };
        Ok(Parsed::Options(Box::new(options)))
    }

    /// The span that this option sets.
    fn span(&mut self, name: &str) -> Option<&mut Option<Duration>> {
        Some(match name {
            "ttl-ms" => &mut self.ttl,
            "local-ttl-ms" => &mut self.local_ttl,
            "negative-ttl-ms" => &mut self.negative_ttl,
            "stale-ms" => &mut self.stale,
            "stale-retry-ms" => &mut self.stale_retry,
            "soft-timeout-ms" => &mut self.soft_timeout,
            "remote-timeout-ms" => &mut self.remote_timeout,
            "load-timeout-ms" => &mut self.load_timeout,
            "lease-ms" => &mut self.lease,
            "lease-wait-ms" => &mut self.lease_wait,
            "blind-local-ttl-ms" => &mut self.blind_local_ttl,
            "refresh-ms" => &mut self.refresh,
            "stop-refresh-ms" => &mut self.stop_refresh,
            _ => return None,
        })
    }
}

/// The level of the log: the next word, unless that is an option.
fn log(parser: &mut Parser) -> Result<LevelFilter, Error> {
    let mut word = parser.optional_value();
    if word.is_none()
        && let Some(mut rest) = parser.try_raw_args()
    {
        let is_level = |next: &OsStr| !next.as_encoded_bytes().starts_with(b"-");
        word = rest.next_if(is_level);
    }
    Ok(match word {
        None => LevelFilter::INFO,
        Some(word) => match &*word.string()? {
            "error" => LevelFilter::ERROR,
            "warn" => LevelFilter::WARN,
            "info" => LevelFilter::INFO,
            "debug" => LevelFilter::DEBUG,
            "trace" => LevelFilter::TRACE,
            word => {
                let words = "--log is error, warn, info, debug or trace";
                return Err(format!("{words}, not {word:?}").into());
            }
        },
    })
}

fn host(name: &str) -> Result<Host, String> {
    match name {
        "tokio" => Ok(Host::Tokio),
        "smol" => Ok(Host::Smol),
        "async-std" => Ok(Host::AsyncStd),
        _ => Err(format!(
            "--runtime is tokio, smol or async-std, not {name:?}"
        )),
    }
}

fn remote(
    memory: bool,
    redis: Option<String>,
    cluster: Option<String>,
    sentinel: Option<String>,
) -> Result<Remote, &'static str> {
    let list = |text: &str| text.split(',').map(ToOwned::to_owned).collect();
    match (memory, redis, cluster, sentinel) {
        (_, None, None, None) => Ok(Remote::Memory),
        (false, Some(url), None, None) => Ok(Remote::Redis(url)),
        (false, None, Some(urls), None) => Ok(Remote::Cluster(list(&urls))),
        (false, None, None, Some(group)) => match group.split_once('@') {
            Some((name, sentinels)) => Ok(Remote::Sentinel(name.to_owned(), list(sentinels))),
            None => Err("--redis-sentinel is NAME@HOST:PORT,HOST:PORT,..: there is no @"),
        },
        _ => Err("--memory, --redis, --redis-cluster and --redis-sentinel: choose one L2"),
    }
}

fn bus(kind: Option<&str>, channel: Option<String>) -> Result<Option<Bus>, String> {
    Ok(match (kind, channel) {
        (None, None) => None,
        (None | Some("pubsub"), channel) => Some(Bus::PubSub(
            channel.unwrap_or_else(|| "jetcache".to_owned()),
        )),
        (Some("tracking"), _) => Some(Bus::Tracking),
        (Some(kind), _) => return Err(format!("--bus is pubsub or tracking, not {kind:?}")),
    })
}

fn wire(name: &str) -> Result<Wire, String> {
    match name {
        "native" => Ok(Wire::Native),
        "jetcache-go" => Ok(Wire::JetcacheGo),
        _ => Err(format!("--wire is native or jetcache-go, not {name:?}")),
    }
}

fn codec(name: &str) -> Result<Codec, String> {
    match name {
        "msgpack" => Ok(Codec::MessagePack),
        "json" => Ok(Codec::Json),
        "postcard" => Ok(Codec::Postcard),
        _ => Err(format!(
            "--codec is msgpack, json or postcard, not {name:?}"
        )),
    }
}

fn local_engine(name: &str) -> Result<Local, String> {
    match name {
        "quick" => Ok(Local::Quick),
        "moka" => Ok(Local::Moka),
        "lru" => Ok(Local::Lru),
        _ => Err(format!("--local is quick, moka or lru, not {name:?}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Options, String> {
        match Options::parse(Parser::from_args(line.split_whitespace())) {
            Ok(Parsed::Options(options)) => Ok(*options),
            Ok(Parsed::Help) => Err("help".into()),
            Err(error) => Err(error.to_string()),
        }
    }

    #[test]
    fn every_option_has_its_place() {
        let millis = |millis| Some(Duration::from_millis(millis));
        let options = parse(
            "--runtime async-std --redis rediss://host --ca file --wire jetcache-go --codec json \
             --max-value-bytes 10 --max-loads 11 --check-one-in 12 --local moka --max-bytes 9 --namespace ns --jitter 8 \
             --ttl-ms 1 --local-ttl-ms 2 --negative-ttl-ms 3 --remote-timeout-ms 4 \
             --load-timeout-ms=5 --lease-ms 6 --lease-wait-ms 0 --bus-channel news --source-id me \
             --stale-ms 10 --stale-retry-ms 11 --soft-timeout-ms 12 --eager --blind-local-ttl-ms 7 --refresh-ms 8 --stop-refresh-ms 9 --log debug",
        );
        let expected = Options {
            runtime: Host::AsyncStd,
            remote: Remote::Redis("rediss://host".into()),
            authorities: Some("file".into()),
            wire: Wire::JetcacheGo,
            codec: Codec::Json,
            max_value: Some(10),
            max_loads: Some(11),
            check_one_in: Some(12),
            local: Local::Moka,
            bound: Bound::Bytes(9),
            namespace: Some("ns".into()),
            jitter: Some(8),
            ttl: millis(1),
            local_ttl: millis(2),
            negative_ttl: millis(3),
            stale: millis(10),
            stale_retry: millis(11),
            soft_timeout: millis(12),
            eager: true,
            remote_timeout: millis(4),
            load_timeout: millis(5),
            lease: millis(6),
            lease_wait: millis(0),
            log: Some(LevelFilter::DEBUG),
            bus: Some(Bus::PubSub("news".into())),
            source_id: Some("me".into()),
            blind_local_ttl: millis(7),
            refresh: millis(8),
            stop_refresh: millis(9),
        };
        assert_eq!(options, Ok(expected));
        assert_eq!(parse("--memory"), Ok(Options::default()));
        let bus = |line: &str| parse(&format!("--redis redis://host {line}")).map(|o| o.bus);
        assert_eq!(
            bus("--bus pubsub"),
            Ok(Some(Bus::PubSub("jetcache".into())))
        );
        assert_eq!(
            bus("--bus-channel x --bus tracking"),
            Ok(Some(Bus::Tracking))
        );
        for (line, level) in [
            ("--log", LevelFilter::INFO),
            ("--log --memory", LevelFilter::INFO),
            ("--log warn --memory", LevelFilter::WARN),
            ("--memory --log=trace", LevelFilter::TRACE),
        ] {
            assert_eq!(parse(line).map(|options| options.log), Ok(Some(level)));
        }
        let nodes = |line: &str| parse(line).map(|options| options.remote);
        let urls = vec!["redis://one".to_owned(), "redis://two".to_owned()];
        assert_eq!(
            nodes("--redis-cluster redis://one,redis://two --codec postcard"),
            Ok(Remote::Cluster(urls))
        );
        let sentinels = vec!["one:1".to_owned(), "two:2".to_owned()];
        assert_eq!(
            nodes("--redis-sentinel mymaster@one:1,two:2 --bus tracking"),
            Ok(Remote::Sentinel("mymaster".into(), sentinels))
        );
    }

    #[test]
    fn what_contradicts_itself_is_refused() {
        for line in [
            "stray",
            "-x",
            "--color",
            "--ttl-ms",
            "--ttl-ms x",
            "--ttl-ms -1",
            "--ttl-ms 99999999999999999999",
            "--jitter 256",
            "--runtime glommio",
            "--local lmdb",
            "--memory=yes",
            "--memory --redis redis://host",
            "--memory --redis-cluster redis://host",
            "--redis redis://host --redis-cluster redis://host",
            "--redis redis://host --redis-sentinel mymaster@host:1",
            "--redis-sentinel host:1",
            "--wire go",
            "--codec gob",
            "--wire jetcache-go --codec postcard",
            "--max-value-bytes -1",
            "--ca file",
            "--bus pubsub",
            "--memory --bus-channel news",
            "--redis redis://host --bus gossip",
            "--redis redis://host --source-id me",
            "--redis redis://host --blind-local-ttl-ms 5",
            "--stop-refresh-ms 5",
            "--log loud",
            "--log=",
            "--capacity 1 --max-bytes 1",
            "--max-bytes 0",
            "--no-local --local lru",
            "--no-local --capacity 1",
            "--local lru --max-bytes 1",
        ] {
            assert!(parse(line).is_err(), "{line}");
        }
    }
}
