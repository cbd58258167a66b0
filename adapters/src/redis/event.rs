//! What is sent over a channel: jetcache-go's event, as JSON.
//!
//! `{"CacheName":"..","SourceID":"..","EventType":5,"Keys":["full:key"]}`, in this order and
//! without blanks. A removal says `"Fenced":true` behind them, which jetcache-go does not look at:
//! the lease went with the value, so nobody has to remove what a load may still bring. Go writes
//! some harmless characters as `\u003c`; whoever reads JSON takes both.

mod lenient;

use core::fmt;

use jetcache_core::ports::bus::{Kind, Message, News};
use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, Visitor};
use serde::ser::{Serialize, SerializeStruct, Serializer};

use crate::redis::event::lenient::{Flag, Keys, Name, Number, Text};

/// The event as it is sent.
pub(super) fn encode<K: AsRef<str>>(
    cache: &str,
    source: &str,
    kind: Kind,
    keys: &[K],
    fenced: bool,
) -> String {
    let event = Event {
        cache,
        source,
        kind,
        keys,
        fenced,
    };
    // It holds only texts and a number, which JSON can always write.
    serde_json::to_string(&event).unwrap_or_default()
}

/// An event whose keys only a script knows: the event up to its first key, and what each of them begins
/// with. Each ends in a quote, and the event in `]}`.
pub(super) fn opening(cache: &str, source: &str, kind: Kind, prefix: &str) -> (String, String) {
    let mut event = encode(cache, source, kind, &[prefix], false);
    let mut key = event.split_off(encode(cache, source, kind, &[""; 0], false).len() - 2);
    key.truncate(key.len() - r#""]}"#.len());
    (event, key)
}

/// What an event that was received says. It is read as jetcache-go reads it: names of fields in any
/// case, the last of two counts, missing ones are empty, others are overlooked. Of one that
/// jetcache-go would refuse, or whose type is unknown, the keys count as changed.
///
/// An event longer than [`LONGEST`] is not read: it stands for everything.
pub(super) fn decode(event: &[u8]) -> News {
    if event.len() > LONGEST {
        return News::Everything;
    }
    let Ok(Read {
        cache,
        source,
        kind,
        keys,
        fenced,
        is_odd,
    }) = serde_json::from_slice(event)
    else {
        return News::Unreadable;
    };
    match kind.and_then(Kind::from_number) {
        Some(kind) if !is_odd => News::Message(Message {
            cache,
            source,
            kind,
            keys,
            fenced,
        }),
        _ if keys.is_empty() => News::Unreadable,
        _ => News::Unclear(keys),
    }
}

/// The longest event that is read, in bytes: ten thousand keys of a hundred bytes.
const LONGEST: usize = 1 << 20;

/// An event, as far as it can be read.
#[derive(Default)]
struct Read {
    cache: String,
    source: String,
    kind: Option<i64>,
    keys: Vec<String>,
    fenced: bool,
    /// Something in it is of another type than it should be.
    is_odd: bool,
}

impl<'de> Deserialize<'de> for Read {
    fn deserialize<D: Deserializer<'de>>(reader: D) -> Result<Self, D::Error> {
        reader.deserialize_map(Self::default())
    }
}

impl<'de> Visitor<'de> for Read {
    type Value = Self;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an event")
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut fields: A) -> Result<Self, A::Error> {
        while let Some(Name(name)) = fields.next_key()? {
            let is = |field: &str| name.eq_ignore_ascii_case(field);
            if is("CacheName") {
                self.is_odd |= fields.next_value_seed(Text(&mut self.cache))?;
            } else if is("SourceID") {
                self.is_odd |= fields.next_value_seed(Text(&mut self.source))?;
            } else if is("EventType") {
                let Number(kind) = fields.next_value()?;
                (self.kind, self.is_odd) = (kind, self.is_odd || kind.is_none());
            } else if is("Keys") {
                self.keys.clear();
                self.is_odd |= fields.next_value_seed(Keys(&mut self.keys))?;
            } else if is("Fenced") {
                let Flag(fenced) = fields.next_value()?;
                self.fenced = fenced;
            } else {
                fields.next_value::<IgnoredAny>()?;
            }
        }
        Ok(self)
    }
}

struct Event<'a, K> {
    cache: &'a str,
    source: &'a str,
    kind: Kind,
    keys: &'a [K],
    fenced: bool,
}

impl<K: AsRef<str>> Serialize for Event<'_, K> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let keys: Vec<&str> = self.keys.iter().map(AsRef::as_ref).collect();
        let fields = 4 + usize::from(self.fenced);
        let mut event = serializer.serialize_struct("Event", fields)?;
        event.serialize_field("CacheName", self.cache)?;
        event.serialize_field("SourceID", self.source)?;
        event.serialize_field("EventType", &self.kind.number())?;
        event.serialize_field("Keys", &keys)?;
        if self.fenced {
            event.serialize_field("Fenced", &true)?;
        }
        event.end()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(kind: Kind, keys: &[&str]) -> Message {
        Message {
            cache: "any".into(),
            source: "12345678".into(),
            kind,
            keys: keys.iter().map(|&key| key.into()).collect(),
            fenced: false,
        }
    }

    #[test]
    fn an_event_is_written_as_jetcache_go_does() {
        assert_eq!(
            encode(
                "any",
                "12345678",
                Kind::SetByMGet,
                &["mget:11", "mget:12"],
                false
            ),
            r#"{"CacheName":"any","SourceID":"12345678","EventType":4,"Keys":["mget:11","mget:12"]}"#
        );
        assert_eq!(
            encode("any", "12345678", Kind::Delete, &["k"], true),
            r#"{"CacheName":"any","SourceID":"12345678","EventType":5,"Keys":["k"],"Fenced":true}"#
        );
        assert_eq!(
            encode("a\"\\", "\n", Kind::Everything, &[""; 0], false),
            r#"{"CacheName":"a\"\\","SourceID":"\n","EventType":6,"Keys":[]}"#
        );
    }

    #[test]
    fn a_script_finishes_an_event() {
        for namespace in ["ns:", "100%\"\\ключ\n:", ""] {
            let (opening, key) = opening("a\"b]}", "12345678", Kind::Raise, namespace);
            let event = format!("{opening}{key}3>4\",{key}t9fa3\"]}}");
            let keys = [format!("{namespace}3>4"), format!("{namespace}t9fa3")];
            let whole = encode("a\"b]}", "12345678", Kind::Raise, &keys, false);
            assert_eq!(event, whole);
        }
    }

    #[test]
    fn what_is_written_is_read_again() {
        for key in ["k", "ключ<&>\u{2028}\"\\", "", "\0"] {
            let event = encode("any", "12345678", Kind::Delete, &[key], true);
            let read = News::Message(Message {
                fenced: true,
                ..message(Kind::Delete, &[key])
            });
            assert_eq!(decode(event.as_bytes()), read);
        }
    }

    #[test]
    fn an_event_of_jetcache_go_is_read() {
        let go = "{\"CacheName\":\"any\",\"SourceID\":\"12345678\",\"EventType\":1,\"Keys\":[\"\\u003c\\u2028\"]}";
        let read = News::Message(message(Kind::Set, &["<\u{2028}"]));
        assert_eq!(decode(go.as_bytes()), read);
        let read = News::Message(message(Kind::Delete, &[]));
        for keys in [r#","Keys":null"#, ""] {
            let go = format!(r#"{{"CacheName":"any","SourceID":"12345678","EventType":5{keys}}}"#);
            assert_eq!(decode(go.as_bytes()), read);
        }
    }

    #[test]
    fn only_a_node_of_this_library_says_that_its_removal_took_the_lease() {
        for (field, fenced) in [
            ("", false),
            (r#","Fenced":true"#, true),
            (r#","Fenced":false"#, false),
            (r#","Fenced":1"#, false),
            (r#","Fenced":null"#, false),
        ] {
            let event = format!(
                r#"{{"CacheName":"any","SourceID":"12345678","EventType":5,"Keys":["k"]{field}}}"#
            );
            let read = News::Message(Message {
                fenced,
                ..message(Kind::Delete, &["k"])
            });
            assert_eq!(decode(event.as_bytes()), read, "{event}");
        }
    }

    #[test]
    fn what_is_no_event_is_unreadable() {
        for text in [
            "",
            "null",
            "[]",
            "7",
            "\"CacheName\"",
            "{}",
            r#"{"CacheName":"a","SourceID":"b","EventType":8,"Keys":[]}"#,
            r#"{"CacheName":"a","SourceID":"b","EventType":5,"Keys":[]"#,
            r#"{"CacheName":"a","SourceID":"b","EventType":5,"Keys":["k"]} {}"#,
        ] {
            assert_eq!(decode(text.as_bytes()), News::Unreadable, "{text}");
        }
        assert_eq!(decode(b"\xff"), News::Unreadable);
    }

    #[test]
    fn what_jetcache_go_reads_is_read() {
        let whole = Message {
            cache: "a".into(),
            source: "b".into(),
            kind: Kind::Delete,
            keys: vec!["k".into()],
            fenced: false,
        };
        for text in [
            r#"{"cachename":"a","sourceid":"b","eventtype":5,"keys":["k"]}"#,
            r#"{"KEYS":["k"],"EVENTTYPE":5,"SOURCEID":"b","CACHENAME":"a"}"#,
            r#"{"CacheName":"a","SourceID":"b","EventType":5,"Keys":["k"],"More":{"x":[1]}}"#,
            r#"{"CacheName":"x","SourceID":"b","EventType":1,"Keys":["l"],"cachename":"a","keys":["k"],"eventType":5}"#,
            " {\"CacheName\" : \"a\",\n\"SourceID\":\"b\",\"EventType\":5,\"Keys\":[\"\\u006b\"]} ",
        ] {
            let read = News::Message(whole.clone());
            assert_eq!(decode(text.as_bytes()), read, "{text}");
        }
        for text in [
            r#"{"EventType":5,"Keys":["k"]}"#,
            r#"{"EventType":5,"Keys":["k"],"CacheName":null,"SourceID":null}"#,
        ] {
            let read = News::Message(Message {
                cache: String::new(),
                source: String::new(),
                ..whole.clone()
            });
            assert_eq!(decode(text.as_bytes()), read, "{text}");
        }
    }

    #[test]
    fn the_keys_of_what_is_not_understood_count_as_changed() {
        for text in [
            r#"{"CacheName":"a","SourceID":"b","EventType":8,"Keys":["k","l"]}"#,
            r#"{"CacheName":"a","SourceID":"b","EventType":0,"Keys":["k","l"]}"#,
            r#"{"CacheName":"a","SourceID":"b","EventType":-5,"Keys":["k","l"]}"#,
            r#"{"CacheName":"a","SourceID":"b","EventType":"5","Keys":["k","l"]}"#,
            r#"{"CacheName":"a","SourceID":"b","EventType":5.5,"Keys":["k","l"]}"#,
            r#"{"CacheName":"a","SourceID":"b","EventType":99999999999999999999,"Keys":["k","l"]}"#,
            r#"{"CacheName":"a","SourceID":"b","Keys":["k","l"]}"#,
            r#"{"CacheName":"a","SourceID":"b","EventType":5,"Keys":["k",1,"l",null,{"x":[]}]}"#,
            r#"{"CacheName":7,"SourceID":{},"EventType":5,"Keys":["k","l"]}"#,
            r#"{"Keys":["k","l"]}"#,
        ] {
            let keys = vec!["k".to_owned(), "l".to_owned()];
            assert_eq!(decode(text.as_bytes()), News::Unclear(keys), "{text}");
        }
        let one = r#"{"CacheName":"a","SourceID":"b","EventType":5,"Keys":"k"}"#;
        assert_eq!(decode(one.as_bytes()), News::Unclear(vec!["k".into()]));
        for keys in ["7", "true", "{\"k\":1}", "1.5", "-1"] {
            let text = format!(r#"{{"CacheName":"a","SourceID":"b","EventType":5,"Keys":{keys}}}"#);
            assert_eq!(decode(text.as_bytes()), News::Unreadable, "{text}");
        }
    }

    #[test]
    fn an_event_that_is_too_long_stands_for_everything() {
        let of = |bytes: usize| {
            let key = "x".repeat(bytes);
            format!(r#"{{"CacheName":"","SourceID":"","EventType":5,"Keys":["{key}"]}}"#)
        };
        let rest = of(0).len();
        let longest = decode(of(LONGEST - rest).as_bytes());
        assert!(matches!(longest, News::Message(_)));
        assert_eq!(decode(of(LONGEST - rest + 1).as_bytes()), News::Everything);
        assert_eq!(decode(&[b'['; LONGEST + 1]), News::Everything);
    }

    /// Whatever happens to an event on its way, nothing panics, and no key that stands in it whole is
    /// lost but with the whole event.
    #[test]
    fn a_damaged_event_says_less_and_nothing_else() {
        let mut dice = fastrand::Rng::with_seed(7);
        let good = encode("any", "12345678", Kind::Delete, &["ns:1", "ns:2"], true);
        for _ in 0..100_000 {
            let mut bytes = good.clone().into_bytes();
            for _ in 0..dice.usize(1..4) {
                let at = dice.usize(..bytes.len());
                match dice.u8(..3) {
                    0 => bytes[at] = dice.u8(..),
                    1 => drop(bytes.remove(at)),
                    _ => bytes.insert(at, dice.u8(..)),
                }
            }
            if let News::Message(Message { keys, .. }) | News::Unclear(keys) = decode(&bytes) {
                let text = String::from_utf8_lossy(&bytes).to_lowercase();
                let named = ["\"ns:1\"", "\"ns:2\""]
                    .iter()
                    .filter(|key| text.contains(**key));
                assert!(
                    keys.len() >= named.count() || !text.contains("\"keys\":["),
                    "{text}"
                );
            }
        }
    }
}
