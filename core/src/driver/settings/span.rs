//! Spans of time in any serde format: as text, such as `"10m"`.

use core::time::Duration;
use std::borrow::Cow;

use serde::{Deserialize, Deserializer, Serializer};

#[expect(clippy::ref_option, reason = "as serde calls it")]
pub(super) fn serialize<S: Serializer>(
    span: &Option<Duration>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    match span {
        Some(span) => serializer.collect_str(&humantime::format_duration(*span)),
        None => serializer.serialize_none(),
    }
}

pub(super) fn deserialize<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Duration>, D::Error> {
    let text = Option::<Cow<'de, str>>::deserialize(deserializer)?;
    let parse = |text: Cow<'de, str>| {
        humantime::parse_duration(&text).map_err(|why| {
            serde::de::Error::custom(format_args!(
                "`{text}` is no span of time such as \"10m\" or \"250ms\": {why}"
            ))
        })
    };
    text.map(parse).transpose()
}
