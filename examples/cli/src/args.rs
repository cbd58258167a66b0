//! The command line.

use std::time::Duration;

use jetcache_core::Wire;
use lexopt::{Arg, Parser, ValueExt};

use crate::failure::Failure;
use crate::server::Server;

pub(crate) const USAGE: &str = "\
jetcache: looks into the caches of services that use jetcache

jetcache [OPTIONS] COMMAND ...

  inspect KEY             what stands under a key, and who has its lease. KEY is its whole text in
                          Redis, such as `users:7`. Exit code 3 if nothing stands there
    --json                as JSON

  scan PREFIX             counts what stands under all keys that begin with PREFIX: sizes, codecs,
                          compressions, lives left, what cannot be read, leases. `users:` is all of
                          the cache `users`; progress goes to stderr
    --limit N             stop after N keys (100000)
    --sample N            look into one key of N only; the others are counted (1)

  watch CHANNEL           prints what nodes tell each other on the bus's channel, a line an event
    --count N             end after N lines

  invalidate KEY ...      removes keys as a node does: value and lease go in one step, so that no load
                          under way brings the old value back, and other nodes are told
    --channel CHANNEL     the bus's channel; without it other nodes keep what L1 has until it ends
    --cache NAME          the cache's name on the bus (what stands before the first `:` of a key)

  top URL ...             a live table of nodes by their Prometheus metrics: http://HOST:PORT/metrics
    --every SECONDS       how often they are asked (1)
    --once                one table, and end

Options, before or behind the command:
  --redis URL             the server: redis://, rediss:// or unix:// (redis://127.0.0.1)
  --cluster               it is a node of a cluster; not with scan and watch, which ask one server
  --format native|go      of inspect and scan: how entries are written, `go` as by jetcache-go
                          (native)
  --timeout SECONDS       how long the server may take (5)
  -h, --help; -V, --version

Exit codes: 0 done, 1 it could not be done, 2 a wrong command line, 3 nothing to inspect.
";

#[derive(Debug)]
pub(crate) enum Parsed {
    Help,
    Version,
    Command(Box<Command>),
}

#[derive(Debug)]
pub(crate) enum Command {
    Inspect(Inspect),
    Scan(Scan),
    Watch(Watch),
    Invalidate(Invalidate),
    Top(Top),
}

#[derive(Debug)]
pub(crate) struct Inspect {
    pub(crate) server: Server,
    pub(crate) wire: Wire,
    pub(crate) key: String,
    pub(crate) json: bool,
}

#[derive(Debug)]
pub(crate) struct Scan {
    pub(crate) server: Server,
    pub(crate) wire: Wire,
    pub(crate) prefix: String,
    pub(crate) limit: usize,
    pub(crate) sample: usize,
}

#[derive(Debug)]
pub(crate) struct Watch {
    pub(crate) server: Server,
    pub(crate) channel: String,
    pub(crate) count: usize,
}

#[derive(Debug)]
pub(crate) struct Invalidate {
    pub(crate) server: Server,
    pub(crate) keys: Vec<String>,
    pub(crate) cache: Option<String>,
    pub(crate) channel: Option<String>,
}

#[derive(Debug)]
pub(crate) struct Top {
    pub(crate) urls: Vec<String>,
    pub(crate) every: Duration,
    pub(crate) once: bool,
    pub(crate) timeout: Duration,
}

/// All that was given, whatever the command.
#[derive(Default)]
struct Given {
    words: Vec<String>,
    /// The options that only some commands have.
    seen: Vec<&'static str>,
    redis: Option<String>,
    cluster: bool,
    wire: Wire,
    timeout: Option<Duration>,
    limit: Option<usize>,
    sample: Option<usize>,
    count: Option<usize>,
    cache: Option<String>,
    channel: Option<String>,
    every: Option<Duration>,
}

pub(crate) fn parse() -> Result<Parsed, Failure> {
    let mut parser = Parser::from_env();
    let mut given = Given::default();
    while let Some(arg) = parser.next()? {
        match arg {
            Arg::Short('h') | Arg::Long("help") => return Ok(Parsed::Help),
            Arg::Short('V') | Arg::Long("version") => return Ok(Parsed::Version),
            Arg::Long("redis") => given.redis = Some(parser.value()?.string()?),
            Arg::Long("cluster") => given.cluster = true,
            Arg::Long("format") => {
                given.note("--format");
                given.wire = match &*parser.value()?.string()? {
                    "native" => Wire::Native,
                    "go" => Wire::JetcacheGo,
                    other => {
                        return usage(format!("--format is `native` or `go`, and not `{other}`"));
                    }
                };
            }
            Arg::Long("timeout") => given.timeout = Some(seconds("--timeout", &mut parser)?),
            Arg::Long("json") => given.note("--json"),
            Arg::Long("limit") => {
                given.note("--limit");
                given.limit = Some(number("--limit", &mut parser)?);
            }
            Arg::Long("sample") => {
                given.note("--sample");
                given.sample = Some(number("--sample", &mut parser)?);
            }
            Arg::Long("count") => {
                given.note("--count");
                given.count = Some(number("--count", &mut parser)?);
            }
            Arg::Long("cache") => {
                given.note("--cache");
                given.cache = Some(parser.value()?.string()?);
            }
            Arg::Long("channel") => {
                given.note("--channel");
                given.channel = Some(parser.value()?.string()?);
            }
            Arg::Long("every") => {
                given.note("--every");
                given.every = Some(seconds("--every", &mut parser)?);
            }
            Arg::Long("once") => given.note("--once"),
            Arg::Value(word) => given.words.push(word.string()?),
            _ => return Err(arg.unexpected().into()),
        }
    }
    given
        .command()
        .map(|command| Parsed::Command(Box::new(command)))
}

impl Given {
    fn note(&mut self, option: &'static str) {
        self.seen.push(option);
    }

    fn has(&self, option: &str) -> bool {
        self.seen.contains(&option)
    }

    fn command(mut self) -> Result<Command, Failure> {
        if self.words.is_empty() {
            return usage("there is no command".into());
        }
        let name = self.words.remove(0);
        let own: &[&str] = match &*name {
            "inspect" => &["--format", "--json"],
            "scan" => &["--format", "--limit", "--sample"],
            "watch" => &["--count"],
            "invalidate" => &["--cache", "--channel"],
            "top" => &["--every", "--once"],
            other => return usage(format!("there is no command `{other}`")),
        };
        if let Some(option) = self.seen.iter().find(|option| !own.contains(option)) {
            return usage(format!("{option} is no option of `{name}`"));
        }
        if self.cluster && matches!(&*name, "scan" | "watch") {
            return usage(format!(
                "`{name}` asks one server: leave --cluster out, and name one node with --redis"
            ));
        }
        let timeout = self.timeout.unwrap_or(Duration::from_secs(5));
        if name == "top" {
            return Ok(Command::Top(Top {
                once: self.has("--once"),
                urls: some("top", "the URLs of nodes", self.words)?,
                every: self.every.unwrap_or(Duration::from_secs(1)),
                timeout,
            }));
        }
        let url = self.redis.take().unwrap_or("redis://127.0.0.1".into());
        let server = Server::new(url, self.cluster, timeout)?;
        Ok(match &*name {
            "inspect" => Command::Inspect(Inspect {
                json: self.has("--json"),
                key: one("inspect", "a key", self.words)?,
                server,
                wire: self.wire,
            }),
            "scan" => Command::Scan(Scan {
                prefix: one("scan", "a prefix", self.words)?,
                limit: self.limit.unwrap_or(100_000),
                sample: self.sample.unwrap_or(1),
                server,
                wire: self.wire,
            }),
            "watch" => Command::Watch(Watch {
                channel: one("watch", "a channel", self.words)?,
                count: self.count.unwrap_or(usize::MAX),
                server,
            }),
            _ => Command::Invalidate(Invalidate {
                keys: some("invalidate", "keys", self.words)?,
                cache: self.cache,
                channel: self.channel,
                server,
            }),
        })
    }
}

fn one(command: &str, what: &str, mut words: Vec<String>) -> Result<String, Failure> {
    match (words.pop(), words.is_empty()) {
        (Some(word), true) => Ok(word),
        _ => usage(format!("`{command}` takes {what}, and nothing else")),
    }
}

fn some(command: &str, what: &str, words: Vec<String>) -> Result<Vec<String>, Failure> {
    if words.is_empty() {
        return usage(format!("`{command}` takes {what}"));
    }
    Ok(words)
}

fn number(option: &str, parser: &mut Parser) -> Result<usize, Failure> {
    match parser.value()?.parse() {
        Ok(number) if number > 0 => Ok(number),
        _ => usage(format!("{option} takes a number above zero")),
    }
}

fn seconds(option: &str, parser: &mut Parser) -> Result<Duration, Failure> {
    let seconds = parser.value()?.parse::<f64>().ok();
    let span = seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    match span.filter(|span| !span.is_zero()) {
        Some(span) => Ok(span),
        None => usage(format!("{option} takes seconds above zero, such as 2.5")),
    }
}

fn usage<T>(text: String) -> Result<T, Failure> {
    Err(Failure::Usage(text))
}
