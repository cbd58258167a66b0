//! `jetcache invalidate`: removes keys as a node does.

use std::io::{Write, stdout};

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
    let source: &str = &format!("jetcache-cli-{:08x}", roll() as u32);
    let removed = options.server.wait(async {
        Ok(match options.server.store() {
            Store::One(redis) => remove(redis, options, source).await,
            Store::Cluster(cluster) => remove(cluster, options, source).await,
        })
    })?;
    let (mut out, mut failed) = (stdout().lock(), 0);
    for (key, removed) in options.keys.iter().zip(removed) {
        match (removed, &options.channel) {
            (Ok(()), Some(channel)) => {
                writeln!(
                    out,
                    "{key}: removed, with its lease, and told on `{channel}`"
                )?;
            }
            (Ok(()), None) => writeln!(out, "{key}: removed, with its lease; nobody was told")?,
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
    if failed > 0 {
        return Err(Failure::failed(format!(
            "{failed} of {} keys may still stand there: ask again",
            options.keys.len()
        )));
    }
    Ok(())
}

/// One outcome a key.
async fn remove<R: Remote>(
    remote: &R,
    options: &Invalidate,
    source: &str,
) -> Vec<Result<(), Fault>> {
    let keys: Vec<&str> = options.keys.iter().map(String::as_str).collect();
    let Some(channel) = &options.channel else {
        return remote.remove(&keys).await;
    };
    let mut outcomes = Vec::with_capacity(keys.len());
    for key in keys {
        let name = options.cache.as_deref();
        let name = name.or_else(|| key.split(':').next()).unwrap_or(key);
        let herald = Herald {
            channel: channel.as_str().into(),
            cache: name.into(),
            source: source.into(),
        };
        let outcome = match remote.announcing(herald) {
            Some(remote) => remote.remove(&[key]).await.pop(),
            None => None,
        };
        outcomes.push(outcome.unwrap_or(Err(Fault::Timeout)));
    }
    outcomes
}

/// What keys end in that stand beside entries.
const ENDINGS: [&str; 3] = ["#lease", "#fill", "_#RL#"];
