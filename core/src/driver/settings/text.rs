//! The text of one setting.

use core::str::FromStr;
use core::time::Duration;
use std::string::{String, ToString};

use crate::driver::settings::error::SettingsError;

/// A value that has a text.
pub(super) trait Value: Sized {
    /// # Errors
    /// [`SettingsError`] if the text is none.
    fn parse(name: &str, text: &str) -> Result<Self, SettingsError>;
    fn text(&self) -> String;
}

macro_rules! by_text {
    ($($t:ty),*) => {$(
        impl Value for $t {
            fn parse(name: &str, text: &str) -> Result<Self, SettingsError> {
                let parsed = Self::from_str(text);
                parsed.map_err(|why| SettingsError::value(name, text, &why))
            }
            fn text(&self) -> String {
                self.to_string()
            }
        }
    )*};
}

by_text!(usize, u32, u8, bool, String);

impl Value for Duration {
    fn parse(name: &str, text: &str) -> Result<Self, SettingsError> {
        let parsed = humantime::parse_duration(text);
        parsed.map_err(|why| SettingsError::value(name, text, &why))
    }

    fn text(&self) -> String {
        humantime::format_duration(*self).to_string()
    }
}
