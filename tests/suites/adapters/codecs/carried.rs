//! What the codecs carry, bit for bit, and what they refuse to lose.

use std::collections::{HashMap, HashSet};
use std::fmt::Debug;
use std::net::IpAddr;

use jetcache_adapters::{Compressed, Json, Lz4, Memory, MessagePack, Postcard, S2, Zstd};
use jetcache_core::{Cached, Codec, Error, LoadError};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// Any bits at all, the odd ones among them.
fn doubles() -> Vec<f64> {
    let mut dice = fastrand::Rng::with_seed(7);
    let odd = [
        0.091_443_385_120_928_87,
        -0.0,
        f64::MIN_POSITIVE / 3.0,
        f64::MAX,
        f64::EPSILON,
    ];
    let any = (0..100_000).map(|_| f64::from_bits(dice.u64(..)));
    odd.into_iter().chain(any).collect()
}

fn comes_back<V: Debug>(codec: &impl Codec<V>, value: &V) -> V {
    let mut bytes = Vec::new();
    let encoded = codec.encode(value, &mut bytes);
    encoded.unwrap_or_else(|error| panic!("{value:?}: {error}"));
    let decoded = codec.decode(&bytes);
    decoded.unwrap_or_else(|error| panic!("{value:?}: {error}"))
}

fn carries_doubles(codec: &impl Codec<Vec<f64>>, finite: bool) {
    let mut doubles = doubles();
    doubles.retain(|double| double.is_finite() || !finite);
    let bits = |doubles: &[f64]| doubles.iter().map(|one| one.to_bits()).collect::<Vec<_>>();
    assert_eq!(bits(&comes_back(codec, &doubles)), bits(&doubles));
}

fn carries_numbers<C>(codec: &C)
where
    C: Codec<Vec<f32>> + Codec<Vec<i64>> + Codec<Vec<u64>> + Codec<Vec<i128>>,
{
    let mut dice = fastrand::Rng::with_seed(7);
    let floats: Vec<f32> = (0..100_000)
        .map(|_| f32::from_bits(dice.u32(..)))
        .filter(|float| float.is_finite())
        .collect();
    let bits = |floats: &[f32]| floats.iter().map(|one| one.to_bits()).collect::<Vec<_>>();
    assert_eq!(bits(&comes_back(codec, &floats)), bits(&floats));
    let whole = vec![i64::MIN, -1, 0, i64::MAX];
    assert_eq!(comes_back(codec, &whole), whole);
    let whole = vec![0, u64::MAX, 1 << 63];
    assert_eq!(comes_back(codec, &whole), whole);
    let whole = vec![i128::MIN, i128::MAX];
    assert_eq!(comes_back(codec, &whole), whole);
}

#[test]
fn numbers_come_back_bit_for_bit() {
    carries_doubles(&Json, true);
    carries_doubles(&Compressed::new(Json, Zstd::new()), true);
    carries_doubles(&MessagePack, false);
    carries_doubles(&Compressed::new(MessagePack, Lz4), false);
    carries_doubles(&Postcard, false);
    carries_doubles(&Compressed::new(Postcard, S2), false);
    carries_numbers(&Json);
    carries_numbers(&MessagePack);
    carries_numbers(&Postcard);
}

fn is_refused<V: Debug>(codec: &impl Codec<V>, value: V, why: &str) {
    let error = codec.encode(&value, &mut Vec::new());
    let text = error.expect_err(&format!("{value:?}")).to_string();
    assert!(text.contains(why), "{value:?}: {text}");
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Nothing;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Wrapped(Option<u8>);

#[test]
fn what_would_be_read_back_as_none_is_refused() {
    is_refused(&MessagePack, Some(None::<u8>), "`Some` of nothing");
    is_refused(&Json, Some(None::<u8>), "`Some` of nothing");
    is_refused(&MessagePack, Some(()), "`Some` of nothing");
    is_refused(&Json, vec![Some(()), None], "`Some` of nothing");
    is_refused(&Json, Some(Nothing), "`Some` of nothing");
    is_refused(&MessagePack, Some(Wrapped(None)), "`Some` of nothing");
    for value in [None, Some(None), Some(Some(7))] {
        assert_eq!(comes_back::<Option<Option<u8>>>(&Postcard, &value), value);
    }
    assert_eq!(comes_back(&MessagePack, &Some(Nothing)), Some(Nothing));
    for value in [None, Some(Wrapped(Some(1)))] {
        assert_eq!(comes_back(&MessagePack, &value), value);
        assert_eq!(comes_back(&Json, &value), value);
    }
}

#[test]
fn what_json_has_no_word_for_is_refused() {
    for float in [f64::INFINITY, f64::NEG_INFINITY, f64::NAN] {
        is_refused(&Json, float, "JSON has no word");
        is_refused(&Json, Some(float), "JSON has no word");
        is_refused(&Json, vec![float as f32], "JSON has no word");
        assert_eq!(comes_back(&MessagePack, &float).to_bits(), float.to_bits());
    }
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Doll(Vec<Doll>);

fn doll(depth: usize) -> Doll {
    (1..depth).fold(Doll(Vec::new()), |inner, _| Doll(vec![inner]))
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
enum Chain {
    End,
    Link { next: Box<Chain> },
}

#[test]
fn what_is_too_deep_to_be_read_is_not_written() {
    let deepest = (1..=127)
        .rev()
        .find(|depth| Codec::<Doll>::encode(&Json, &doll(*depth), &mut Vec::new()).is_ok());
    assert_eq!(deepest, Some(127));
    assert_eq!(comes_back(&Json, &doll(127)), doll(127));
    assert_eq!(comes_back(&MessagePack, &doll(127)), doll(127));
    is_refused(&Json, doll(128), "nested");
    is_refused(&MessagePack, doll(128), "nested");
    let chain = (1..127).fold(Chain::End, |next, _| Chain::Link { next: next.into() });
    assert_eq!(comes_back(&MessagePack, &chain), chain);
}

/// Inserts the value, and has it loaded, in caches of their own.
fn through_a_cache<V>(codec: impl Codec<V> + Copy, value: V, survives: bool)
where
    V: Clone + Debug + Send + Sync + 'static + Serialize + DeserializeOwned,
{
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let remote = Memory::new();
        let builder = || jetcache_tokio::builder::<u32, V>("zoo").remote(remote.clone(), codec);
        let (cache, other) = (builder().build().unwrap(), builder().build().unwrap());
        let inserted = cache.insert(1, value.clone()).await;
        if survives {
            inserted.unwrap();
            assert!(other.get(&1).await.is_hit(), "{value:?}");
        } else {
            assert!(
                matches!(inserted, Err(Error::Encode(_))),
                "{value:?}: {inserted:?}"
            );
            assert!(matches!(cache.peek(&1), Cached::Miss));
        }
        let loaded = cache
            .get_or_load(&2, async || Ok::<_, LoadError>(value.clone()))
            .await;
        assert!(loaded.unwrap().is_some(), "its caller has waited for it");
        assert!(cache.peek(&2).is_hit());
        assert_eq!(cache.stats().unencodable, u64::from(!survives), "{value:?}");
        assert_eq!(other.get(&2).await.is_hit(), survives, "{value:?}");
        assert_eq!(remote.len(), if survives { 2 } else { 0 });
    });
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Flat {
    name: String,
    #[serde(flatten)]
    rest: Rest,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Rest {
    address: IpAddr,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "kind")]
enum Tagged {
    Wide { number: u128 },
    Plain { text: String },
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(untagged)]
enum Untagged {
    Number(u64),
    Text(String),
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct LeftOut {
    #[serde(skip_serializing_if = "Option::is_none")]
    first: Option<u8>,
    second: Option<u8>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Secret {
    name: String,
    #[serde(skip_serializing)]
    #[expect(dead_code, reason = "it is only read from bytes")]
    secret: String,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Sets {
    map: HashMap<String, u32>,
    set: HashSet<u64>,
}

#[test]
fn what_a_codec_cannot_read_back_is_not_stored() {
    let flat = Flat {
        name: "n".into(),
        rest: Rest {
            address: IpAddr::from([127, 0, 0, 1]),
        },
    };
    through_a_cache(Json, flat.clone(), true);
    through_a_cache(MessagePack, flat.clone(), false);
    through_a_cache(Postcard, flat, false);
    let wide = Tagged::Wide { number: u128::MAX };
    through_a_cache(MessagePack, wide.clone(), false);
    through_a_cache(Json, wide, false);
    let plain = Tagged::Plain { text: "t".into() };
    through_a_cache(MessagePack, plain.clone(), true);
    through_a_cache(Json, plain.clone(), true);
    through_a_cache(Postcard, plain, false);
    through_a_cache(MessagePack, Untagged::Number(7), true);
    through_a_cache(MessagePack, Untagged::Text("t".into()), true);
    through_a_cache(Postcard, Untagged::Text("t".into()), false);
    let left_out = LeftOut {
        first: None,
        second: Some(7),
    };
    through_a_cache(MessagePack, left_out.clone(), true);
    through_a_cache(Json, left_out.clone(), true);
    through_a_cache(Postcard, left_out, false);
    let secret = Secret {
        name: "n".into(),
        secret: "s".into(),
    };
    through_a_cache(MessagePack, secret.clone(), false);
    through_a_cache(Json, secret.clone(), false);
    through_a_cache(Postcard, secret, false);
    through_a_cache(Postcard, serde_json::json!({"a": [1, null]}), false);
    through_a_cache(Json, serde_json::json!({"a": [1, null]}), true);
    through_a_cache(MessagePack, Some(None::<u8>), false);
    through_a_cache(Json, f64::INFINITY, false);
}

#[test]
fn the_order_of_a_map_is_no_loss() {
    for seed in 0..20 {
        let sets = Sets {
            map: (0..50).map(|n| (format!("{seed} {n}"), n)).collect(),
            set: (0..50).map(|n| n * seed).collect(),
        };
        through_a_cache(MessagePack, sets.clone(), true);
        through_a_cache(Json, sets.clone(), true);
        through_a_cache(Postcard, sets, true);
    }
}

#[test]
fn only_the_first_values_are_read_back() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let builder = |values| {
            jetcache_tokio::builder::<u32, LeftOut>("zoo")
                .remote(Memory::new(), Postcard)
                .read_back(values)
        };
        let value = |first| LeftOut {
            first,
            second: Some(7),
        };
        for values in [0, 1, 5] {
            let cache = builder(values).build().unwrap();
            for n in 0..values {
                cache.insert(n as u32, value(Some(1))).await.unwrap();
            }
            assert!(cache.insert(9, value(None)).await.is_ok(), "{values}");
        }
        let cache = builder(1).build().unwrap();
        assert!(cache.insert(9, value(None)).await.is_err());
    });
}
