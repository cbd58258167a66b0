//! Every row that jetcache-go wrote is read to its value, through a cache.

use std::collections::BTreeMap;
use std::marker::PhantomData;
use std::time::Duration;

use jetcache_adapters::{Json, Memory, MessagePack, Raw};
use jetcache_core::ports::bus::Kind;
use jetcache_core::ports::remote::{Fill, Filled, LeaseAsk, Stored};
use jetcache_core::{Cache, Cached, Codec, LoadError, Reach, Remote, Token, Wire};
use serde_json::Value;

use super::erased::{Erased, Of, Shown};
use super::rows::{Row, rows};
use super::stage::{Stage, builder};
use super::types::{
    AsArray, Bin, Data, Dur, Embed, Float, Inner, Ints, JsonBin, JsonTimed, Lower, Nested, Object,
    Opt, PlainBin, Stamp, Tagged, Timed, base64, float, of,
};
use super::writing::writes_like;

/// Reads rows, and counts how that ended.
struct Reader<S> {
    store: S,
    hits: usize,
    absent: usize,
    misses: usize,
    /// How many of the hits were written back byte for byte.
    same: usize,
}

/// An L2 whose bytes can be seen and set.
trait Store {
    fn remote(&self) -> impl Remote;
    fn plant(&self, row: &Row);
    fn stored(&self, key: &str) -> Vec<u8>;
}

impl Store for Stage {
    fn remote(&self) -> impl Remote {
        self.redis()
    }

    fn plant(&self, row: &Row) {
        self.go().set_for(&row.key, &row.bytes(), row.pttl_ms);
    }

    fn stored(&self, key: &str) -> Vec<u8> {
        self.go().get(key).unwrap()
    }
}

impl Store for Memory {
    fn remote(&self) -> impl Remote {
        self.clone()
    }

    fn plant(&self, row: &Row) {
        smol::block_on(plant(self, row));
    }

    fn stored(&self, key: &str) -> Vec<u8> {
        let found = smol::block_on(self.read(&[key], Wire::JetcacheGo)).remove(0);
        found.unwrap().unwrap().bytes
    }
}

async fn plant(memory: &Memory, row: &Row) {
    let (key, token) = (&*row.key, Token::from_bits(1));
    // A fill does not replace a value that stands.
    memory.remove(&[key]).await;
    let life = Duration::from_millis(row.pttl_ms);
    let ask = LeaseAsk { key, token, life };
    memory.lease(&[ask], Wire::JetcacheGo).await;
    let value = Stored {
        bytes: &row.bytes(),
        replaces: None,
        life,
        stale: Duration::ZERO,
        lease: life,
        age: life,
    };
    let fill = Fill {
        key,
        token,
        value,
        kind: Kind::SetByOnce,
    };
    let filled = memory.fill(&[fill], Wire::JetcacheGo).await.remove(0);
    assert_eq!(filled.unwrap(), Filled::Stored);
}

impl<S: Store> Reader<S> {
    fn new(store: S) -> Self {
        Self {
            store,
            hits: 0,
            absent: 0,
            misses: 0,
            same: 0,
        }
    }

    fn cache(&self, row: &Row, codec: impl Codec<Erased>) -> Cache<String, Erased> {
        let (namespace, separator, _) = row.parts();
        builder(self.store.remote(), codec)
            .namespace(namespace)
            .separator(separator)
            .build()
            .unwrap()
    }

    async fn read<V: Shown>(&self, row: &Row, codec: impl Codec<V>) -> Cached<Erased> {
        self.store.plant(row);
        let cache = self.cache(row, Of(codec, PhantomData));
        let (_, _, id) = row.parts();
        let read = cache.get(id).await;
        let loaded = cache
            .get_or_load(id, async || Err::<Erased, _>(LoadError::from("nobody")))
            .await;
        match (&read, &loaded) {
            (Cached::Hit(_), Ok(Some(_))) | (Cached::Absent, Ok(None)) | (Cached::Miss, Err(_)) => {
            }
            _ => panic!("{}: a get and a load differ", row.name),
        }
        read
    }

    /// Checks that the row is read to this value, and that the value is written back.
    async fn hit<V: Shown>(&mut self, row: &Row, codec: impl Codec<V> + Copy, wanted: V) {
        let read = self.read(row, codec).await;
        let wanted = Erased::new(wanted);
        let Cached::Hit(value) = read else {
            panic!("{} {}: {read:?}", row.codec, row.name);
        };
        assert_eq!(value, wanted, "{} {}", row.codec, row.name);
        self.hits += 1;
        let id = format!("{}.back", row.parts().2);
        let cache = self.cache(row, Of(codec, PhantomData));
        let reach = cache.insert(id, value).await;
        assert_eq!(reach.unwrap(), Reach::Everywhere, "{}", row.name);
        let back = self.store.stored(&format!("{}.back", row.key));
        self.same += usize::from(writes_like(row, &back));
    }

    /// Checks a row whose value is what serde makes of its JSON.
    async fn plain<V: Data>(&mut self, row: &Row) {
        self.data::<V>(row, of(&row.value_json)).await;
    }

    async fn data<V: Data>(&mut self, row: &Row, wanted: V) {
        match &*row.codec {
            "msgpack" => self.hit(row, MessagePack, wanted).await,
            "json" => self.hit(row, Json, wanted).await,
            other => panic!("a codec {other}"),
        }
    }

    async fn row(&mut self, row: &Row) {
        let json = &row.value_json;
        let is_json = row.codec == "json";
        match &*row.go_type {
            // Go reads it so, too. That is why such a string is refused when it is written here.
            "string" if json == "*" => self.absent(row).await,
            "string" => self.hit::<String>(row, Raw, of(json)).await,
            "lock" => self.lock(row).await,
            "[]uint8" => {
                let wanted = base64(json.as_str().unwrap());
                self.hit::<Vec<u8>>(row, Raw, wanted).await;
            }
            "placeholder" => self.absent(row).await,
            "<nil>" => self.nothing(row).await,
            "Object" => self.plain::<Object>(row).await,
            "*Object" => self.plain::<Option<Object>>(row).await,
            "[]Object" => self.plain::<Vec<Object>>(row).await,
            "Nested" => self.plain::<Nested>(row).await,
            "[]Nested" => self.plain::<Vec<Nested>>(row).await,
            "Embed" => self.plain::<Embed>(row).await,
            "lower" => self.plain::<Lower>(row).await,
            "Ints" => self.plain::<Ints>(row).await,
            "Tagged" => self.plain::<Tagged>(row).await,
            "Opt" => self.plain::<Opt>(row).await,
            "Dur" => self.plain::<Dur>(row).await,
            "AsArray" if is_json => self.plain::<Inner>(row).await,
            "AsArray" => self.data(row, AsArray::of(json)).await,
            "Bin" if is_json => self.plain::<JsonBin>(row).await,
            "Bin" => {
                self.data(row, Bin::of(json)).await;
                let read = self.read::<PlainBin>(row, MessagePack).await;
                let wanted = Erased::new(PlainBin::of(json));
                assert_eq!(read, Cached::Hit(wanted), "{}", row.name);
            }
            // The codec's text, which is base64.
            "MyBytes" => self.plain::<Option<String>>(row).await,
            "Timed" if is_json => self.plain::<JsonTimed>(row).await,
            "Timed" => self.data(row, Timed::of(json)).await,
            "time.Time" => self.data(row, Stamp::of(json)).await,
            "map[string]int" => self.plain::<Option<BTreeMap<String, i64>>>(row).await,
            "[]int" => self.plain::<Option<Vec<i64>>>(row).await,
            "[]int64" => self.plain::<Vec<i64>>(row).await,
            "[]int8" => self.plain::<Vec<i8>>(row).await,
            "[]bool" => self.plain::<Vec<bool>>(row).await,
            "[]string" => self.plain::<Vec<String>>(row).await,
            "[]interface {}" => self.plain::<Vec<Value>>(row).await,
            "*string" => self.plain::<Option<String>>(row).await,
            "bool" => self.plain::<bool>(row).await,
            "float32" => self.plain::<f32>(row).await,
            "float64" => self.data(row, Float(float(json))).await,
            "int" | "int64" | "MyInt" | "time.Duration" => self.plain::<i64>(row).await,
            "int8" => self.plain::<i8>(row).await,
            "int16" => self.plain::<i16>(row).await,
            "int32" => self.plain::<i32>(row).await,
            "uint" | "uint64" => self.plain::<u64>(row).await,
            "uint8" => self.plain::<u8>(row).await,
            "uint16" => self.plain::<u16>(row).await,
            other => panic!("a Go type {other}"),
        }
    }

    async fn absent(&mut self, row: &Row) {
        for read in [
            self.read::<Option<Object>>(row, MessagePack).await,
            self.read::<Option<Object>>(row, Json).await,
        ] {
            assert_eq!(read, Cached::Absent, "{}", row.name);
        }
        let read = self.read::<String>(row, Raw).await;
        assert_eq!(read, Cached::Absent, "{}", row.name);
        self.absent += 1;
    }

    /// Go's `Set` without a value stores no bytes, and its readers then keep whatever they held.
    async fn nothing(&mut self, row: &Row) {
        assert_eq!(row.value_json, Value::Null);
        let read = match &*row.codec {
            "msgpack" => self.read::<Option<Object>>(row, MessagePack).await,
            _ => self.read::<Option<Object>>(row, Json).await,
        };
        assert_eq!(read, Cached::Miss, "{}", row.name);
        let read = self.read::<String>(row, Raw).await;
        let wanted = Erased::new(String::new());
        assert_eq!(read, Cached::Hit(wanted), "{}", row.name);
        self.misses += 1;
    }

    /// The lock of a refresh is nobody's value.
    async fn lock(&mut self, row: &Row) {
        let read = self.read::<String>(row, Raw).await;
        assert_eq!(read, Cached::Miss, "{}", row.name);
        self.misses += 1;
    }

    async fn all(&mut self) {
        for row in rows() {
            self.row(&row).await;
        }
        // Of 207 rows.
        assert_eq!((self.hits, self.absent, self.misses), (196, 7, 4));
        // All but 14 blocks, 12 integers at Go's width, 2 floats of JSON and a text in other
        // escapes.
        assert_eq!(self.same, 167);
    }
}

#[tokio::test]
async fn every_row_is_read_from_redis() {
    Reader::new(Stage::new()).all().await;
}

#[tokio::test]
async fn every_row_is_read_from_memory() {
    Reader::new(Memory::new()).all().await;
}

#[tokio::test]
async fn keys_of_other_types_are_written_as_go_writes_them() {
    let stage = Stage::new();
    let row = |key: &str| {
        let row = rows()
            .into_iter()
            .find(|row| row.key == key && row.codec == "msgpack")
            .unwrap_or_else(|| panic!("no row {key}"));
        stage.go().set(key, &row.bytes());
    };
    row("user:7");
    row("s:-5");
    let users = jetcache_tokio::builder::<i64, Option<Object>>("user")
        .remote(stage.redis(), MessagePack)
        .wire(Wire::JetcacheGo)
        .build()
        .unwrap();
    let user = users.get(&7).await;
    assert!(matches!(user, Cached::Hit(Some(user)) if user.text == "seven"));
    let texts = jetcache_tokio::builder::<i64, String>("s")
        .remote(stage.redis(), Raw)
        .wire(Wire::JetcacheGo)
        .build()
        .unwrap();
    assert_eq!(texts.get(&-5).await, Cached::Hit("text".into()));
}
