//! What is wrong with a setting.

use core::fmt;
use std::string::{String, ToString};

/// Why a text cannot be a setting.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SettingsError {
    /// There is no setting of this name.
    Unknown {
        /// The name: of the variable, for one of the environment.
        name: String,
        /// Those that there are.
        known: &'static [&'static str],
    },
    /// The text is no value of the setting.
    Value {
        /// The name: of the variable, for one of the environment.
        name: String,
        /// The text.
        text: String,
        /// Why it is none.
        why: String,
    },
}

impl SettingsError {
    pub(super) fn unknown(name: &str, known: &'static [&'static str]) -> Self {
        let name = name.to_owned();
        Self::Unknown { name, known }
    }

    pub(super) fn value(name: &str, text: &str, why: &dyn fmt::Display) -> Self {
        Self::Value {
            name: name.to_owned(),
            text: text.to_owned(),
            why: why.to_string(),
        }
    }

    /// The same of a variable of the environment.
    pub(super) fn of_variable(self, variable: &str) -> Self {
        let name = variable.to_owned();
        match self {
            Self::Unknown { known, .. } => Self::Unknown { name, known },
            Self::Value { text, why, .. } => Self::Value { name, text, why },
        }
    }
}

impl fmt::Display for SettingsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown { name, known } => write!(
                f,
                "`{name}` is no setting of a cache: there are {}",
                known.join(", ")
            ),
            Self::Value { name, text, why } => {
                write!(f, "`{text}` cannot be the value of `{name}`: {why}")
            }
        }
    }
}

impl core::error::Error for SettingsError {}
