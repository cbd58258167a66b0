//! Settings from the environment.

use std::env;
use std::string::String;

use crate::driver::settings::Settings;
use crate::driver::settings::error::SettingsError;

impl Settings {
    /// Those that stand in variables of the environment whose names begin with `prefix` and an underscore:
    /// with `JETCACHE_USERS`, `JETCACHE_USERS_TTL=10m` is the [`ttl`](Self::ttl).
    ///
    /// Caches have prefixes of which none begins another: every variable that begins so must be a setting.
    ///
    /// # Errors
    /// [`SettingsError`], which names the variable.
    ///
    /// ```
    /// # use jetcache_core::doc::runtime as jetcache_tokio;
    /// use jetcache_tokio::Settings;
    ///
    /// let file = Settings::default();
    /// let settings = file.overlaid(Settings::from_env("JETCACHE_USERS")?);
    /// # let _ = settings;
    /// # Ok::<(), jetcache_tokio::SettingsError>(())
    /// ```
    pub fn from_env(prefix: &str) -> Result<Self, SettingsError> {
        let variables = env::vars_os().filter_map(|(name, text)| {
            // What is no text is no name of ours.
            let name = name.into_string().ok()?;
            Some((name, text.to_string_lossy().into_owned()))
        });
        Self::from_variables(prefix, variables)
    }

    /// [`from_env`](Self::from_env) with variables from elsewhere.
    ///
    /// # Errors
    /// [`SettingsError`], which names the variable.
    ///
    /// ```
    /// # use jetcache_core::doc::runtime as jetcache_tokio;
    /// use jetcache_tokio::{Settings, SettingsError};
    ///
    /// let variables = |name: &str| [(name.to_string(), "10m".to_string())];
    /// let settings = Settings::from_variables("USERS", variables("USERS_TTL"))?;
    /// assert_eq!(settings.to_string(), "ttl = 10m");
    /// let wrong = Settings::from_variables("USERS", variables("USERS_TTTL"));
    /// assert!(matches!(wrong, Err(SettingsError::Unknown { name, .. }) if name == "USERS_TTTL"));
    /// # Ok::<(), SettingsError>(())
    /// ```
    pub fn from_variables(
        prefix: &str,
        variables: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Self, SettingsError> {
        let mut settings = Self::default();
        for (variable, text) in variables {
            let name = variable.strip_prefix(prefix);
            if let Some(name) = name.and_then(|name| name.strip_prefix('_')) {
                let set = settings.set(&name.to_ascii_lowercase(), &text);
                set.map_err(|error| error.of_variable(&variable))?;
            }
        }
        Ok(settings)
    }
}
