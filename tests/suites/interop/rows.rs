//! The rows: values as jetcache-go wrote them, one a row.

use serde::Deserialize;
use serde_json::Value;

#[derive(Debug, Deserialize)]
pub(super) struct Row {
    pub(super) name: String,
    pub(super) codec: String,
    pub(super) go_type: String,
    pub(super) value_json: Value,
    pub(super) key: String,
    stored_hex: String,
    stored_len: usize,
    pub(super) pttl_ms: u64,
    pub(super) form: Form,
    pub(super) s2_ops: Option<Operations>,
}

/// How the bytes of a value are stored.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
pub(super) enum Form {
    /// As they are.
    Raw,
    /// MessagePack and a byte 00.
    #[serde(rename = "plain00")]
    Plain,
    /// An S2 block of MessagePack and a byte 01.
    #[serde(rename = "s2_01")]
    S2,
}

/// What an S2 block is made of.
#[derive(Debug, Deserialize)]
pub(super) struct Operations {
    pub(super) decoded_len: usize,
    pub(super) repeat: usize,
}

impl Row {
    pub(super) fn bytes(&self) -> Vec<u8> {
        let hex = self.stored_hex.as_bytes();
        let bytes: Vec<u8> = hex
            .chunks(2)
            .map(|digits| u8::from_str_radix(str::from_utf8(digits).unwrap(), 16).unwrap())
            .collect();
        assert_eq!(bytes.len(), self.stored_len, "{}", self.name);
        bytes
    }

    /// Namespace, separator and id.
    pub(super) fn parts(&self) -> (&str, &str, &str) {
        let at = self.key.find([':', '#']).unwrap_or_else(|| {
            // Written without a separator.
            assert_eq!(self.key, "nosep9");
            "nosep".len()
        });
        let (namespace, rest) = self.key.split_at(at);
        match rest.strip_prefix([':', '#']) {
            Some(id) => (namespace, &rest[..1], id),
            None => (namespace, "", rest),
        }
    }
}

/// All rows. Checks that none is missing.
pub(super) fn rows() -> Vec<Row> {
    let lines = include_str!("../../data/jetcache-go/vectors.jsonl").lines();
    let rows: Vec<Row> = lines
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(rows.len(), 207);
    rows
}
