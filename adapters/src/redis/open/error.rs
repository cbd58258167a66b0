//! Why a Redis could not be opened.

use std::error::Error;
use std::fmt;
use std::sync::Arc;

/// Why [`Redis`](crate::Redis) could not be made; the text says what to change. It never shows the
/// password.
#[derive(Clone, Debug)]
pub struct OpenError(Arc<str>);

impl OpenError {
    pub(crate) fn new(text: impl Into<Arc<str>>) -> Self {
        Self(text.into())
    }
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Error for OpenError {}
