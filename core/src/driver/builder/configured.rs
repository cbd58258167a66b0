//! Settings as data, given to a builder all at once, and those of a builder as data.

use core::hash::Hash;

use crate::driver::builder::Builder;
use crate::driver::builder::levels::L1;
use crate::driver::settings::Settings;
use crate::driver::settings::reload::{capped, jitter};
use crate::driver::shared::loaders::Cap;
use crate::machine::policy::{Kind, Policy};

/// Settings as data.
impl<K: Hash + Eq + Clone + Send + Sync + 'static, V: Clone + Send + Sync + 'static> Builder<K, V> {
    /// Sets what is set there, as the method of each name does; [`build`](Self::build) checks it. What was
    /// set before stays where nothing is, and what is set afterwards wins.
    ///
    /// ```
    /// # use jetcache_core::doc::runtime as jetcache_tokio;
    /// use jetcache_tokio::{Error, Settings};
    ///
    /// let mut settings = Settings::default();
    /// settings.set("ttl", "10m")?;
    /// settings.set("load_timeout", "0s")?;
    /// let builder = jetcache_tokio::builder::<u64, String>("users").settings(&settings);
    /// assert!(matches!(builder.build(), Err(Error::Config(text)) if text.contains("load_timeout")));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn settings(mut self, settings: &Settings) -> Self {
        if let Some(entries) = settings.capacity {
            self = self.capacity(entries);
        }
        let levels = &mut self.levels;
        set(&mut levels.namespace, settings.namespace.clone());
        if let Some(separator) = &settings.separator {
            levels.separator.clone_from(separator);
        }
        replace(&mut levels.max_value_size, settings.max_value_size);
        replace(&mut levels.read_back, settings.read_back);
        match settings.breaker {
            Some(false) => levels.breaker = None,
            Some(true) => {
                levels.breaker.get_or_insert_default();
            }
            None => {}
        }
        let loaders = &mut self.loaders;
        replace(&mut loaders.chunk, settings.batch_chunk);
        replace(&mut loaders.concurrency, settings.load_concurrency);
        let cap = loaders.cap.now();
        let cap = capped(settings, cap.map(|cap| (cap.most, cap.wait)));
        loaders
            .cap
            .replace(cap.map(|(most, wait)| Cap::new(most, wait)));
        let times = &mut self.times;
        set(&mut times.ttl, settings.ttl);
        set(&mut times.local_ttl, settings.local_ttl);
        set(&mut times.negative_ttl, settings.negative_ttl);
        if settings.jitter_percent.is_some() || settings.jitter_at_most.is_some() {
            let before = times.jitter.unwrap_or(Policy::new(Kind::Local).jitter);
            times.jitter = Some(jitter(settings, before));
        }
        set(&mut times.stale_for, settings.stale_for);
        set(&mut times.stale_retry, settings.stale_retry);
        set(&mut times.soft_timeout, settings.soft_timeout);
        replace(&mut times.eager, settings.eager);
        set(&mut times.remote_timeout, settings.remote_timeout);
        set(&mut times.load_timeout, settings.load_timeout);
        set(&mut times.write_timeout, settings.write_timeout);
        set(&mut times.lease, settings.lease);
        set(&mut times.lease_wait, settings.lease_wait);
        set(&mut times.failover_window, settings.failover_window);
        set(&mut times.unconfirmed, settings.unconfirmed_capacity);
        set(&mut times.refresh_every, settings.refresh_every);
        set(&mut times.stop_refresh_after, settings.stop_refresh_after);
        set(&mut times.refresh_concurrency, settings.refresh_concurrency);
        set(&mut times.refresh_capacity, settings.refresh_capacity);
        set(&mut self.fleet.blind_local_ttl, settings.blind_local_ttl);
        replace(&mut self.fleet.refresh_all, settings.refresh_all);
        set(&mut self.fleet.check_one_in, settings.check_one_in);
        replace(&mut self.counted, settings.stats);
        set(&mut self.report_every, settings.stats_every);
        self
    }

    /// All that is set and can be said as data, defaults included.
    pub(super) fn as_settings(&self, policy: &Policy) -> Settings {
        let (levels, loaders, times) = (&self.levels, &self.loaders, &self.times);
        let refresh = policy.refresh.as_ref();
        let cap = loaders.cap.now();
        let namespace = levels.namespace.as_deref().unwrap_or(&self.name);
        Settings {
            capacity: match levels.l1 {
                L1::Sized(entries) => Some(entries),
                L1::Off | L1::Own(_) => None,
            },
            namespace: Some(namespace.to_owned()),
            separator: Some(levels.separator.clone()),
            max_value_size: Some(levels.max_value_size),
            read_back: Some(levels.read_back),
            ttl: Some(policy.ttl),
            local_ttl: Some(policy.local_ttl),
            negative_ttl: Some(policy.negative_ttl),
            jitter_percent: Some(policy.jitter.percent),
            jitter_at_most: Some(policy.jitter.at_most),
            stale_for: Some(policy.stale_for),
            stale_retry: Some(policy.stale_retry),
            soft_timeout: policy.soft_timeout,
            eager: Some(policy.eager),
            load_timeout: Some(policy.load_timeout),
            write_timeout: times.write_timeout,
            max_loads: cap.as_ref().map(|cap| cap.most),
            max_loads_wait: cap.map(|cap| cap.wait),
            batch_chunk: Some(loaders.chunk),
            load_concurrency: Some(loaders.concurrency),
            remote_timeout: Some(policy.remote_timeout),
            lease: Some(policy.lease),
            lease_wait: Some(policy.lease_wait),
            failover_window: Some(policy.failover_window),
            unconfirmed_capacity: Some(policy.unconfirmed),
            breaker: Some(levels.breaker.is_some()),
            blind_local_ttl: self.fleet.blind_local_ttl,
            refresh_every: times.refresh_every,
            refresh_all: Some(self.fleet.refresh_all),
            stop_refresh_after: refresh.map(|pace| pace.stop_after),
            refresh_concurrency: refresh
                .map_or(times.refresh_concurrency, |pace| Some(pace.at_once)),
            refresh_capacity: refresh.map_or(times.refresh_capacity, |pace| Some(pace.capacity)),
            check_one_in: self.fleet.check_one_in,
            stats: Some(self.counted),
            stats_every: self.report_every,
        }
    }
}

fn set<T>(place: &mut Option<T>, value: Option<T>) {
    if value.is_some() {
        *place = value;
    }
}

fn replace<T>(place: &mut T, value: Option<T>) {
    if let Some(value) = value {
        *place = value;
    }
}
