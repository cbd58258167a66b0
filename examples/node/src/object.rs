//! What the node caches.

use serde::{Deserialize, Serialize};

/// The cached type.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Object {
    pub(crate) str: String,
    pub(crate) num: i64,
}
