//! The Go types of the rows, as a Rust program would declare them.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::time::SystemTime;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_bytes::{ByteArray, ByteBuf};
use serde_json::Value;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// A type that a codec of serde can store.
pub(super) trait Data:
    Serialize + DeserializeOwned + PartialEq + Debug + Clone + Send + Sync + 'static
{
}

impl<T> Data for T where
    T: Serialize + DeserializeOwned + PartialEq + Debug + Clone + Send + Sync + 'static
{
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Object {
    #[serde(rename = "Str")]
    pub(super) text: String,
    #[serde(rename = "Num")]
    pub(super) number: i64,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub(super) struct Inner {
    a: i64,
    b: String,
}

/// Go's nil pointers, slices and maps are `None`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Nested {
    #[serde(rename = "ID")]
    id: i64,
    name: String,
    inner: Inner,
    ptr: Option<Inner>,
    list: Option<Vec<Inner>>,
    map: Option<BTreeMap<String, i64>>,
    any: Value,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub(super) struct Embed {
    #[serde(flatten)]
    inner: Inner,
    c: i64,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Lower {
    exported: i64,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub(super) struct Ints {
    i: i64,
    i8: i8,
    i16: i16,
    i32: i32,
    i64: i64,
    u: u64,
    u8: u8,
    u16: u16,
    u32: u32,
    u64: u64,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Tagged {
    user_id: i64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    email: Option<String>,
    #[serde(rename = "Plain")]
    plain: bool,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub(super) struct Opt {
    p: Option<i64>,
    s: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub(super) struct Dur {
    /// Nanoseconds.
    d: i64,
}

/// A Go struct that MessagePack writes as an array.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct AsArray(i64, String);

impl AsArray {
    pub(super) fn of(json: &Value) -> Self {
        let Inner { a, b } = of(json);
        Self(a, b)
    }
}

/// Bytes in MessagePack.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Bin {
    data: Option<ByteBuf>,
    fix: ByteArray<4>,
}

/// Bytes as plain serde reads them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct PlainBin {
    data: Option<Vec<u8>>,
    fix: [u8; 4],
}

/// Bytes in JSON, where Go's slices of them are base64 and its arrays are numbers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct JsonBin {
    data: Option<String>,
    fix: [u8; 4],
}

impl PlainBin {
    pub(super) fn of(json: &Value) -> Self {
        let JsonBin { data, fix } = of(json);
        let data = data.map(|text| base64(&text));
        Self { data, fix }
    }
}

impl Bin {
    pub(super) fn of(json: &Value) -> Self {
        let PlainBin { data, fix } = PlainBin::of(json);
        Self {
            data: data.map(ByteBuf::from),
            fix: fix.into(),
        }
    }
}

/// A time in MessagePack.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Timed {
    #[serde(with = "jetcache_adapters::msgpack_time")]
    at: SystemTime,
}

impl Timed {
    pub(super) fn of(json: &Value) -> Self {
        Self {
            at: Stamp::of(&json["At"]).0,
        }
    }
}

/// A time in JSON.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct JsonTimed {
    #[serde(with = "time::serde::rfc3339")]
    at: OffsetDateTime,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Stamp(#[serde(with = "jetcache_adapters::msgpack_time")] SystemTime);

impl Stamp {
    pub(super) fn of(json: &Value) -> Self {
        let time = OffsetDateTime::parse(json.as_str().unwrap(), &Rfc3339);
        Self(time.unwrap().into())
    }
}

/// The value that serde makes of the row's.
pub(super) fn of<T: DeserializeOwned>(json: &Value) -> T {
    serde_json::from_value(json.clone()).unwrap_or_else(|error| panic!("{json}: {error}"))
}

/// A float that JSON has no number for is a string.
pub(super) fn float(json: &Value) -> f64 {
    match json {
        Value::String(text) => text.parse().unwrap(),
        json => of(json),
    }
}

/// A float that is compared bit by bit, so that NaN equals NaN.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Float(pub(super) f64);

impl PartialEq for Float {
    fn eq(&self, other: &Self) -> bool {
        self.0 == other.0 || self.0.is_nan() && other.0.is_nan()
    }
}

pub(super) fn base64(text: &str) -> Vec<u8> {
    const DIGITS: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let text = text.trim_end_matches('=');
    let mut bytes = Vec::new();
    let (mut bits, mut held) = (0_u32, 0);
    for digit in text.chars() {
        let digit = DIGITS.find(digit).unwrap();
        bits = bits << 6 | u32::try_from(digit).unwrap();
        held += 6;
        if held >= 8 {
            held -= 8;
            bytes.push((bits >> held) as u8);
        }
    }
    bytes
}
