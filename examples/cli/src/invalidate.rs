//! `jetcache invalidate`: removes keys as a node does.

use std::io::{Write, stderr, stdout};

use jetcache_core::ports::remote::Herald;
use jetcache_core::{Fault, Remote, roll};

use crate::args::Invalidate;
use crate::failure::{Failure, advice};
use crate::server::Store;

pub(crate) fn run(options: &Invalidate) -> Result<(), Failure> {
    for key in &options.keys {
        if ENDINGS.iter().any(|ending| key.ends_with(ending)) {
            return Err(Failure::Usage(format!(
                "`{key}` is the name of a lease, a mark or a lock: invalidate the key that it stands for"
            )));
        }
    }
    if options.keys.iter().any(String::is_empty) {
        return Err(Failure::Usage("a key has at least a character".into()));
    }
    warn_of_deaf(options);
    let source: &str = &format!("jetcache-cli-{:08x}", roll() as u32);
    let failed: usize = groups(options)
        .iter()
        .map(|(cache, keys)| remove_all(options, source, cache, keys))
        .sum::<Result<_, Failure>>()?;
    if failed > 0 {
        return Err(Failure::failed(format!(
            "{failed} of {} keys may still stand there: ask again",
            options.keys.len()
        )));
    }
    Ok(())
}

/// The keys of each cache, in parts that take no server long.
fn groups(options: &Invalidate) -> Vec<(&str, Vec<&str>)> {
    let mut groups: Vec<(&str, Vec<&str>)> = Vec::new();
    for key in &options.keys {
        let name = options.cache.as_deref();
        let name = name.or_else(|| key.split(':').next()).unwrap_or(key);
        let open = |(cache, keys): &&mut (&str, Vec<&str>)| *cache == name && keys.len() < MOST;
        match groups.iter_mut().rev().find(open) {
            Some((_, keys)) => keys.push(key),
            None => groups.push((name, vec![key])),
        }
    }
    groups
}

/// Says so on stderr if nobody listens to the channel, as if its name were wrong. In a cluster nobody
/// can tell by one node.
fn warn_of_deaf(options: &Invalidate) {
    let (Some(channel), Store::One(_)) = (&options.channel, options.server.store()) else {
        return;
    };
    let Ok(mut connection) = options.server.connect() else {
        return;
    };
    let ask = redis::cmd("PUBSUB").arg("NUMSUB").arg(channel).to_owned();
    if let Ok((_, 0)) = ask.query::<(String, u64)>(&mut connection) {
        // Nothing can be done about a stderr that is gone.
        let _ = writeln!(
            stderr(),
            "jetcache: nobody listens to `{channel}` on this server: is that the caches' channel?"
        );
    }
}

/// Removes keys of one cache, and says of each what came of it. How many failed.
fn remove_all(
    options: &Invalidate,
    source: &str,
    cache: &str,
    keys: &[&str],
) -> Result<usize, Failure> {
    let removed = options.server.wait(async {
        Ok(match options.server.store() {
            Store::One(redis) => remove(redis, options, source, cache, keys).await,
            Store::Cluster(cluster) => remove(cluster, options, source, cache, keys).await,
        })
    })?;
    let (mut out, mut failed) = (stdout().lock(), 0);
    for (key, removed) in keys.iter().zip(removed) {
        match (removed, &options.channel) {
            (Ok(()), Some(channel)) => writeln!(
                out,
                "{key}: removed with its lease, if it was there, and published on `{channel}`"
            )?,
            (Ok(()), None) => writeln!(
                out,
                "{key}: removed with its lease, if it was there; nobody was told"
            )?,
            (Err(fault), _) => {
                let advice = advice(&fault);
                writeln!(
                    out,
                    "{key}: NOT removed, or nobody knows: {fault}; {advice}"
                )?;
                failed += 1;
            }
        }
    }
    out.flush()?;
    Ok(failed)
}

/// One outcome a key.
async fn remove<R: Remote>(
    remote: &R,
    options: &Invalidate,
    source: &str,
    cache: &str,
    keys: &[&str],
) -> Vec<Result<(), Fault>> {
    let Some(channel) = &options.channel else {
        return remote.remove(keys).await;
    };
    let herald = Herald {
        channel: channel.as_str().into(),
        cache: cache.into(),
        source: source.into(),
    };
    match remote.announcing(herald) {
        Some(remote) => remote.remove(keys).await,
        None => keys.iter().map(|_| Err(Fault::Timeout)).collect(),
    }
}

/// How many keys go in one round trip.
const MOST: usize = 500;
/// What keys end in that stand beside entries.
const ENDINGS: [&str; 3] = ["#lease", "#fill", "_#RL#"];
