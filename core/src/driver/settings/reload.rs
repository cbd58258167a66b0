//! Other settings for a cache that runs.

use core::time::Duration;

use crate::driver::settings::Settings;
use crate::driver::settings::rules::Rules;
use crate::machine::error::Error;
use crate::machine::policy::{Jitter, Kind};

/// The bound of loads after `settings` were set on top of this one.
pub(crate) fn capped(
    settings: &Settings,
    before: Option<(usize, Duration)>,
) -> Option<(usize, Duration)> {
    let most = settings.max_loads.or(before.map(|(most, _)| most))?;
    let wait = settings.max_loads_wait.or(before.map(|(_, wait)| wait));
    Some((most, wait.unwrap_or_default()))
}

/// The jitter after `settings` were set on top of this one.
pub(crate) fn jitter(settings: &Settings, before: Jitter) -> Jitter {
    Jitter {
        percent: settings.jitter_percent.unwrap_or(before.percent),
        at_most: settings.jitter_at_most.unwrap_or(before.at_most),
    }
}

/// The settings of a cache after others were set on top of them.
///
/// # Errors
/// [`Error::Config`] with the names of those that cannot change while it runs, if these would change.
pub(crate) fn changed(before: &Settings, others: &Settings, kind: Kind) -> Result<Settings, Error> {
    let mut after = before.clone().overlaid(others.clone());
    if !kind.has_remote() && before.local_ttl == before.ttl && others.local_ttl.is_none() {
        // Without an L2 it follows from the other.
        after.local_ttl = after.ttl;
    }
    let was = |name| before.iter().find(|(known, _)| *known == name);
    let fixed: Vec<&str> = after
        .iter()
        .filter(|(name, text)| {
            !MAY_CHANGE.contains(name) && was(*name).is_none_or(|(_, was)| was != *text)
        })
        .map(|(name, _)| name)
        .collect();
    if fixed.is_empty() {
        return Ok(after);
    }
    Err(Error::config(format!(
        "{} cannot change while the cache runs: build it anew, or leave that as it is; what may change \
         is {}",
        fixed.join(", "),
        MAY_CHANGE.join(", ")
    )))
}

/// The rules after these settings were set.
///
/// # Errors
/// [`Error::Config`] for what cannot work.
pub(crate) fn rules(before: &Rules, settings: &Settings) -> Result<Rules, Error> {
    let mut rules = before.clone();
    let policy = &mut rules.policy;
    let times = [
        (&mut policy.ttl, settings.ttl),
        (&mut policy.local_ttl, settings.local_ttl),
        (&mut policy.negative_ttl, settings.negative_ttl),
        (&mut policy.stale_for, settings.stale_for),
        (&mut policy.stale_retry, settings.stale_retry),
        (&mut policy.load_timeout, settings.load_timeout),
        (&mut policy.lease_wait, settings.lease_wait),
    ];
    for (time, value) in times {
        *time = value.unwrap_or(*time);
    }
    policy.jitter = jitter(settings, policy.jitter);
    policy.soft_timeout = settings.soft_timeout.or(policy.soft_timeout);
    policy.eager = settings.eager.unwrap_or(policy.eager);
    policy.check()?;
    rules.write_timeout = settings.write_timeout.or(rules.write_timeout);
    for (name, zero) in [
        (
            "write_timeout",
            rules.write_timeout.is_some_and(|span| span.is_zero()),
        ),
        (
            "blind_local_ttl",
            settings.blind_local_ttl.is_some_and(|span| span.is_zero()),
        ),
        ("max_value_size", settings.max_value_size == Some(0)),
        ("max_loads", settings.max_loads == Some(0)),
    ] {
        if zero {
            return Err(Error::config(format!(
                "{name} is zero: give it more, or leave it as it is"
            )));
        }
    }
    let policy = &rules.policy;
    match &mut rules.blind {
        Some(blind) => {
            let (cap, hears) = (
                settings.blind_local_ttl.unwrap_or(blind.local_cap),
                blind.hears,
            );
            *blind = policy.clone();
            (blind.local_cap, blind.hears) = (cap, hears);
        }
        None if settings.blind_local_ttl.is_some() => {
            return Err(Error::config(
                "blind_local_ttl is about a bus, and the cache has none: leave it out",
            ));
        }
        None => {}
    }
    Ok(rules)
}

const MAY_CHANGE: [&str; 16] = [
    "max_value_size",
    "ttl",
    "local_ttl",
    "negative_ttl",
    "jitter_percent",
    "jitter_at_most",
    "stale_for",
    "stale_retry",
    "soft_timeout",
    "eager",
    "load_timeout",
    "write_timeout",
    "max_loads",
    "max_loads_wait",
    "lease_wait",
    "blind_local_ttl",
];
