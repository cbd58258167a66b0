//! A cache node that is driven by lines: for trying things by hand, and for black-box tests.
//!
//! ```text
//! $ cargo run --release --bin node
//! {"ready":true}
//! load ada "Ada Lovelace" 36
//! {"id":1,"outcome":"hit","value":{"Str":"Ada Lovelace","Num":36},"loaded":true,"us":61}
//! get ada
//! {"id":2,"outcome":"hit","value":{"Str":"Ada Lovelace","Num":36},"us":2}
//! ```
//!
//! One command a line on stdin, one JSON object a line on stdout, flushed. `node --help` lists the
//! options. The first line out is `{"ready":true}`, also when Redis is down; with a
//! bus it waits for the subscription, 1 s at most. A configuration that
//! cannot work is said on stderr, with exit code 2. The end of the input is a `quit`.
//! With `--log` the log goes to stderr: what L2 and the bus refuse, and why.
//!
//! # Lines
//! Tokens are separated by blanks. One that begins with a double quote is a JSON string, so it can
//! hold blanks and be empty. A line that starts with `& ` runs in the background and answers when
//! it is done; the others are done one after the other. A line has at most 64 MiB.
//!
//! `with WISH,...` before a command says the call's own wishes: `ttl=MS`, `local-ttl=MS`,
//! `skip-local`, `skip-remote`, `no-store`; and `tags=A+B`, the tags of what the line loads or stores. The
//! commands marked `w` take it.
//!
//! `@NS` before a command asks another cache, which has the namespace NS: `@users get 7`. It is
//! made when it is first asked, with the node's options, an L1 of its own and the node's L2, and
//! stays until `quit`; two caches have neither entries nor counters in common. `@` and the node's
//! own namespace is the node's own cache. A namespace whose keys could be those of another cache,
//! as `a` and `a:b` have, is refused: the line answers `error`, now and as often as it is tried.
//! `@NS` goes with every command but `sleep` and `quit`, before or behind `with`, and behind `&`.
//!
//! `KEY,KEY,..` is one token, quoted or not. Each comma in it separates two keys, so no key among
//! many can hold one.
//!
//! A loader is written `STR NUM`: it brings the object `{"Str":STR,"Num":NUM}`. Without quotes,
//! `-` in place of STR says "does not exist", `!` fails and `panic` panics.
//!
//! # Replies
//! Every reply has `id`, the number of its line from 1 on, and `us`, how long it took in
//! microseconds. A line that cannot be understood, and a change that the cache refuses or whose
//! outcome is not known, answer `error`, a text, and none of the fields below; a load answers it
//! beside its outcome. `value` is an object, there with outcome `hit`.
//!
//! `results` has an object for each key of the line, in the line's order: `key`, `outcome`, which is
//! `hit`, `absent`, `miss` or `error`, and `value` or `error`. A value whose life is over says `"stale":true`,
//! whichever line asked for it.
//!
//! | command | | fields |
//! |---|---|---|
//! | `get KEY` | w | `outcome`: `hit`, `absent` or `miss`; `value` |
//! | `peek KEY` | | the same, from L1 |
//! | `load KEY STR NUM [DELAY_MS]` | w | `get_or_load` with a loader that sleeps first. `outcome`: `hit`, `absent` or `error`; `value`; `error`; `loaded`: whether this line's loader ran |
//! | `rload KEY STR NUM [DELAY_MS]` | w | the same through the registered loader, which this line sets for the key |
//! | `refresh KEY STR NUM [DELAY_MS]` | w | the same, and the key is loaded anew every `--refresh-ms` for as long as it is asked for so. The number of this loader grows by one each time that it runs: it brings NUM, NUM + 1, and so on; the same line said again does not begin anew |
//! | `wt KEY STR NUM [DELAY_MS]` | w | `write_through` with a writer that sleeps first and answers the object; `-`, `!`, `panic` and the reply as for `load`. `loaded`: whether the writer ran |
//! | `set KEY STR NUM [TTL_MS]` | w | `reach`: `everywhere`; `not_stored` if older values are gone from L2 but this one is not there; `pending` if L2 has not confirmed it. `everywhere`: whether it is the first of them |
//! | `setnx KEY STR NUM [TTL_MS]` | w | `applied` (if there was no value) |
//! | `setxx KEY STR NUM [TTL_MS]` | w | `applied` (if there was a value) |
//! | `del KEY` | | `reach` and `everywhere` |
//! | `exists KEY` | w | `exists`; false for a placeholder too |
//! | `mget KEY,KEY,..` | w | `results` |
//! | `mload KEY,KEY,.. STR NUM [DELAY_MS]` | w | `get_many_or_load` with a loader that sleeps first and then brings the object for every key that it is asked for, but for those that begin with `x`, which do not exist. `results`; `asked`: the keys that this line's loader was asked for, in that order, over all its calls |
//! | `mset KEY,KEY,.. STR NUM [TTL_MS]` | w | `reach`: the least of them all; `everywhere`. `refused`: the keys that the cache refused, each as `{"key":KEY,"error":TEXT}`, and then `everywhere` is false; the others are set all the same. There is no `refused` if none was |
//! | `mdel KEY,KEY,..` | | `reach`: the least of them all; `everywhere` |
//! | `confirm KEY MS` | | waits until L2 has confirmed this node's changes of the key, MS at most. `confirmed` |
//! | `par N KEY STR NUM DELAY_MS` | w | N concurrent `load`, N at most 100,000. `loads`: how many of their loaders ran; `ok` and `errors`: how many were answered so |
//! | `cancel KEY STR NUM DELAY_MS AFTER_MS` | w | a `load` that is dropped after AFTER_MS. `cancelled`: true, or false with the fields of `load` if it was faster |
//! | `hold KEY STR NUM` | w | a `load` polled once and then never again; `close` and `quit` drop it. `ok`: true |
//! | `deltag TAG,TAG,..` | | `invalidate_tags`: `reach` and `everywhere` |
//! | `clearall` | | `clear`, on all nodes and in L2: `reach` and `everywhere` |
//! | `confirmtags MS` | | waits until L2 has acknowledged this node's `deltag` and `clearall`, MS at most. `confirmed` |
//! | `dellocal KEY` | | removes the key from L1. `ok` |
//! | `clear` | | empties L1. `ok` |
//! | `events N MS` | | waits until the cache has heard of N events from other nodes, MS at most. `events`: those since the last such line; with `--bus tracking` a node's own changes are among them |
//! | `ping` | | asks L2 for a sign of life. `ok`, or `error` |
//! | `sleep MS` | | `ok` |
//! | `stats` | | see below |
//! | `close` | | closes the cache, and no other; the program goes on. `ok` |
//! | `quit` | | waits for the lines in the background and closes all caches, 5 s at most. `ok` |
//!
//! # Statistics
//! | field | |
//! |---|---|
//! | `kind` | which levels there are: `local`, `remote` or `both` |
//! | `len`, `weight` | L1's entries, and what they weigh: their number, or bytes with `--max-bytes` |
//! | `flights`, `waiters`, `changes`, `writes` | what is under way now: flights and reads, callers that wait for one, changes, writes to L1 |
//! | `keys` | keys in the machine's table now |
//! | `unconfirmed` | keys about which L2 is not believed now |
//! | `bypassed` | buckets of keys that do without L2 now, because there were too many of those and L2 keeps no log of raises |
//! | `pending_scopes` | tags, buckets of keys, and the namespace, whose raise L2 has not acknowledged |
//! | `tasks` | the cache's tasks now, one for each key that is kept fresh among them |
//! | `refreshes` | keys that are kept fresh now |
//! | `bus` | how the bus is: `none`, `idle` until the first call that goes further than L1, `up` or `down` |
//! | `epoch` | how often L1 was emptied because anything might have changed unheard |
//! | `source` | the node's id on the bus; null without one |
//! | `untold` | words that wait for the bus now |
//! | `hits`, `misses` | lookups that a tier answered, or none |
//! | `local_hits`, `local_misses`, `remote_hits`, `remote_misses` | the same by tier |
//! | `loads`, `load_failures`, `not_found` | loaders that brought a value or "does not exist"; that failed; those that brought "does not exist" |
//! | `overloaded` | loads for which no loader ran, because as many as `--max-loads` did |
//! | `stale` | callers that were answered with a value whose life is over |
//! | `coalesced` | callers that joined another's flight |
//! | `superseded` | flights that a change made nobody's |
//! | `deposed` | leaders that were silent for too long |
//! | `became_unconfirmed`, `became_bypassed` | how often a key became one of those `unconfirmed`; how often there was no room for it |
//! | `overflowed` | changes for which there was no room among the unconfirmed ones: their bucket is raised |
//! | `raises`, `raises_heard` | how often this node raised tags or cleared; how often it heard of others |
//! | `dead`, `dead_local`, `dead_remote` | values of a raised tag or a cleared namespace that were found, and counted as a miss; by tier |
//! | `log_lost` | how often L2 had lost the log of raises |
//! | `breaker` | how the breaker of L2 is: `closed`, `open`, or `half-open` while a probe is on its way |
//! | `recovery` | removals that wait for L2 to acknowledge them |
//! | `remote_not_asked` | operations of L2 that were not sent, because its breaker was open |
//! | `remote_faults` | operations of L2 that failed or did not answer in time |
//! | `refused_fills` | loaded values that L2 did not take, because their lease was gone |
//! | `undecodable`, `unencodable`, `too_large` | entries of L2 that could not be read; loaded values that could not be encoded; those that were longer than `--max-value-bytes` |
//! | `checked`, `differences` | L1 hits that `--check-one-in` compared with L2; those that differed for seconds |
//! | `heard` | words of the bus about keys of this cache |
//! | `garbled` | words of the bus that could not be understood |
//! | `bus_faults` | how often the bus broke, could not be had, or took no word |
//! | `refreshed`, `copied` | refreshes that loaded; that found in L2 what another node had loaded |
//! | `not_refreshed` | how often there was no room for a key that was to be kept fresh |
//! | `evicted` | entries that L1 evicted; null if its engine does not count them |

#![expect(
    clippy::print_stderr,
    clippy::print_stdout,
    reason = "a program tells how it is used, and why it does not start"
)]

mod args;
mod cache;
mod input;
mod object;
mod recipe;
mod reply;
mod request;
mod serve;
mod session;
mod space;
mod statistics;
mod words;

use std::process::ExitCode;
use std::sync::Arc;

use jetcache_smol::Smol;
use jetcache_smol::async_std::AsyncStd;
use jetcache_tokio::{Node, Runtime, Tokio};

use args::{Host, Options, Parsed};
use session::Session;

fn main() -> ExitCode {
    let options = match Options::parse(lexopt::Parser::from_env()) {
        Ok(Parsed::Options(options)) => options,
        Ok(Parsed::Help) => {
            print!("{}", args::USAGE);
            return ExitCode::SUCCESS;
        }
        Err(error) => return refuse(&error),
    };
    if let Some(level) = options.log {
        tracing_subscriber::fmt()
            .with_max_level(level)
            .with_writer(std::io::stderr)
            .with_ansi(false)
            .init();
    }
    match options.runtime {
        Host::Tokio => match tokio::runtime::Runtime::new() {
            Ok(tokio) => tokio.block_on(run(Tokio::new(), jetcache_tokio::node(), *options)),
            Err(error) => refuse(&error),
        },
        Host::Smol => smol::block_on(run(Smol::new(), jetcache_smol::node(), *options)),
        Host::AsyncStd => async_std::task::block_on(run(
            AsyncStd::new(),
            jetcache_smol::async_std::node(),
            *options,
        )),
    }
}

async fn run<R: Runtime>(runtime: R, node: Node, options: Options) -> ExitCode {
    let session = match Session::open(runtime, node, options) {
        Ok(session) => Arc::new(session),
        Err(error) => return refuse(&*error),
    };
    match serve::serve(&session, &input::lines()).await {
        Ok(()) => ExitCode::SUCCESS,
        // Nobody reads the replies any more.
        Err(_) => ExitCode::FAILURE,
    }
}

fn refuse(error: &(impl std::fmt::Display + ?Sized)) -> ExitCode {
    eprintln!("node: {error}");
    ExitCode::from(2)
}
