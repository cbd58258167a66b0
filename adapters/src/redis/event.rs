//! What is sent over a channel: jetcache-go's event, as JSON.
//!
//! `{"CacheName":"..","SourceID":"..","EventType":5,"Keys":["full:key"]}`, in this order and
//! without blanks. A removal says `"Fenced":true` behind them, which jetcache-go does not look at:
//! the lease went with the value, so nobody has to remove what a load may still bring. Go writes some harmless characters as `\u003c`; whoever reads JSON takes both.

use jetcache_core::ports::bus::{Kind, Message, News};
use serde::ser::{Serialize, SerializeStruct, Serializer};
use serde_json::Value;

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

/// What an event that was received says.
pub(super) fn decode(event: &[u8]) -> News {
    let message = serde_json::from_slice(event).ok().and_then(message);
    message.map_or(News::Unreadable, News::Message)
}

fn message(mut event: Value) -> Option<Message> {
    let event = event.as_object_mut()?;
    Some(Message {
        cache: text(event.remove("CacheName")?)?,
        source: text(event.remove("SourceID")?)?,
        kind: Kind::from_number(event.remove("EventType")?.as_i64()?)?,
        keys: match event.remove("Keys") {
            // Go's empty list.
            None | Some(Value::Null) => Vec::new(),
            Some(Value::Array(keys)) => keys.into_iter().map(text).collect::<Option<_>>()?,
            Some(_) => return None,
        },
        fenced: event.get("Fenced").and_then(Value::as_bool) == Some(true),
    })
}

fn text(value: Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text),
        _ => None,
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
            r#"{"CacheName":"a","SourceID":"b","EventType":7,"Keys":[]}"#,
            r#"{"CacheName":"a","SourceID":"b","EventType":0,"Keys":[]}"#,
            r#"{"CacheName":"a","SourceID":"b","EventType":"5","Keys":[]}"#,
            r#"{"CacheName":"a","SourceID":"b","EventType":5,"Keys":[1]}"#,
            r#"{"CacheName":"a","SourceID":"b","EventType":5,"Keys":"k"}"#,
            r#"{"CacheName":"a","EventType":5,"Keys":[]}"#,
            r#"{"SourceID":"b","EventType":5,"Keys":[]}"#,
            r#"{"CacheName":"a","SourceID":"b","EventType":5,"Keys":[]"#,
        ] {
            assert_eq!(decode(text.as_bytes()), News::Unreadable, "{text}");
        }
        assert_eq!(decode(b"\xff"), News::Unreadable);
    }
}
