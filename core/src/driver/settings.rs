//! Settings as data: from a file, from the environment, printed back.

pub(super) mod error;
pub(super) mod reload;
pub(super) mod rules;
#[cfg(feature = "serde")]
mod span;
mod text;
mod variables;

use core::fmt;
use core::time::Duration;
use std::string::String;

use crate::driver::settings::error::SettingsError;
use crate::driver::settings::text::Value;

/// Names every setting once: the struct, its text form and the list of names follow from this.
macro_rules! settings {
    ($($(#[$doc:meta])* $name:ident: $ty:ty $(, $with:literal)?;)*) => {
        /// All settings of a [`Builder`](crate::Builder) that are data. What is not set keeps its default.
        ///
        /// Any serde format reads and writes them (feature `serde`); spans of time are text, such as `"10m"`,
        /// `"1h 30m"` or `"250ms"`, and a field that there is not is refused by name. Without serde there are
        /// [`set`](Self::set) and [`from_env`](Self::from_env).
        ///
        /// What can work together is checked when the cache is [built](crate::Builder::settings) or
        /// [reloaded](crate::Cache::reload).
        ///
        /// ```
        /// use core::time::Duration;
        /// # use jetcache_core::doc::runtime as jetcache_tokio;
        /// use jetcache_tokio::Settings;
        ///
        /// let mut settings = Settings::default();
        /// settings.set("ttl", "10m")?;
        /// settings.capacity = Some(1000);
        /// assert_eq!(settings.ttl, Some(Duration::from_secs(600)));
        /// assert_eq!(settings.to_string(), "capacity = 1000, ttl = 10m");
        /// # Ok::<(), jetcache_tokio::SettingsError>(())
        /// ```
        #[derive(Clone, Debug, Default, PartialEq, Eq)]
        #[cfg_attr(
            feature = "serde",
            derive(serde::Serialize, serde::Deserialize),
            serde(default, deny_unknown_fields)
        )]
        #[non_exhaustive]
        pub struct Settings {
            $(
                $(#[$doc])*
                #[cfg_attr(
                    feature = "serde",
                    serde(skip_serializing_if = "Option::is_none" $(, with = $with)?)
                )]
                pub $name: Option<$ty>,
            )*
        }

        impl Settings {
            /// The names of all settings.
            pub const NAMES: &'static [&'static str] = &[$(stringify!($name)),*];

            /// Sets one by its name, from its text.
            ///
            /// # Errors
            /// [`SettingsError`] if there is none of this name, or the text is no value of it.
            pub fn set(&mut self, name: &str, text: &str) -> Result<(), SettingsError> {
                match name {
                    $(stringify!($name) => self.$name = Some(Value::parse(name, text)?),)*
                    _ => return Err(SettingsError::unknown(name, Self::NAMES)),
                }
                Ok(())
            }

            /// Those that are set, and their texts.
            pub fn iter(&self) -> impl Iterator<Item = (&'static str, String)> {
                let all = [$((stringify!($name), self.$name.as_ref().map(Value::text))),*];
                all.into_iter().filter_map(|(name, text)| Some((name, text?)))
            }

            /// These, but those of `others` where they are set: of a file and then of the environment, for
            /// instance.
            #[must_use]
            pub fn overlaid(self, others: Self) -> Self {
                Self {
                    $($name: others.$name.or(self.$name),)*
                }
            }
        }
    };
}

settings! {
    /// [`Builder::capacity`](crate::Builder::capacity).
    capacity: usize;
    /// [`Builder::namespace`](crate::Builder::namespace).
    namespace: String;
    /// [`Builder::separator`](crate::Builder::separator).
    separator: String;
    /// [`Builder::max_value_size`](crate::Builder::max_value_size), in bytes. May be reloaded.
    max_value_size: usize;
    /// [`Builder::read_back`](crate::Builder::read_back).
    read_back: usize;
    /// [`Builder::ttl`](crate::Builder::ttl). May be reloaded.
    ttl: Duration, "span";
    /// [`Builder::local_ttl`](crate::Builder::local_ttl). May be reloaded.
    local_ttl: Duration, "span";
    /// [`Builder::negative_ttl`](crate::Builder::negative_ttl). May be reloaded.
    negative_ttl: Duration, "span";
    /// The percentage of [`Builder::jitter`](crate::Builder::jitter). May be reloaded.
    jitter_percent: u8;
    /// The most that [`Builder::jitter`](crate::Builder::jitter) takes off. May be reloaded.
    jitter_at_most: Duration, "span";
    /// [`Builder::stale_for`](crate::Builder::stale_for). May be reloaded.
    stale_for: Duration, "span";
    /// [`Builder::stale_retry`](crate::Builder::stale_retry). May be reloaded.
    stale_retry: Duration, "span";
    /// [`Builder::soft_timeout`](crate::Builder::soft_timeout). May be reloaded.
    soft_timeout: Duration, "span";
    /// [`Builder::eager`](crate::Builder::eager). May be reloaded.
    eager: bool;
    /// [`Builder::load_timeout`](crate::Builder::load_timeout). May be reloaded.
    load_timeout: Duration, "span";
    /// [`Builder::write_timeout`](crate::Builder::write_timeout). May be reloaded.
    write_timeout: Duration, "span";
    /// The number of [`Builder::max_loads`](crate::Builder::max_loads). May be reloaded: loads that run
    /// already are not counted then.
    max_loads: usize;
    /// The wait of [`Builder::max_loads`](crate::Builder::max_loads), without which it is zero. May be
    /// reloaded.
    max_loads_wait: Duration, "span";
    /// [`Builder::batch_chunk`](crate::Builder::batch_chunk).
    batch_chunk: usize;
    /// [`Builder::load_concurrency`](crate::Builder::load_concurrency).
    load_concurrency: usize;
    /// [`Builder::remote_timeout`](crate::Builder::remote_timeout).
    remote_timeout: Duration, "span";
    /// [`Builder::lease`](crate::Builder::lease).
    lease: Duration, "span";
    /// [`Builder::lease_wait`](crate::Builder::lease_wait). May be reloaded.
    lease_wait: Duration, "span";
    /// [`Builder::failover_window`](crate::Builder::failover_window).
    failover_window: Duration, "span";
    /// [`Builder::unconfirmed_capacity`](crate::Builder::unconfirmed_capacity).
    unconfirmed_capacity: usize;
    /// Whether there is a [`Builder::breaker`](crate::Builder::breaker).
    breaker: bool;
    /// [`Builder::blind_local_ttl`](crate::Builder::blind_local_ttl). May be reloaded, on a bus.
    blind_local_ttl: Duration, "span";
    /// [`Builder::refresh_every`](crate::Builder::refresh_every).
    refresh_every: Duration, "span";
    /// [`Builder::refresh_all`](crate::Builder::refresh_all).
    refresh_all: bool;
    /// [`Builder::stop_refresh_after`](crate::Builder::stop_refresh_after).
    stop_refresh_after: Duration, "span";
    /// [`Builder::refresh_concurrency`](crate::Builder::refresh_concurrency).
    refresh_concurrency: usize;
    /// [`Builder::refresh_capacity`](crate::Builder::refresh_capacity).
    refresh_capacity: usize;
    /// [`Builder::check_one_in`](crate::Builder::check_one_in).
    check_one_in: u32;
    /// Whether statistics are counted: false is [`Builder::no_stats`](crate::Builder::no_stats).
    stats: bool;
    /// [`Builder::stats_every`](crate::Builder::stats_every).
    stats_every: Duration, "span";
}

/// Those that are set: `ttl = 10m, capacity = 1000`.
impl fmt::Display for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, (name, text)) in self.iter().enumerate() {
            let comma = if at > 0 { ", " } else { "" };
            write!(f, "{comma}{name} = {text}")?;
        }
        Ok(())
    }
}
