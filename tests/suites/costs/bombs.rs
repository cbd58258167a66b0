//! A few bytes that promise gigabytes make nobody reserve them.

use std::collections::{BTreeMap, HashMap};
use std::fmt::Debug;
use std::sync::Arc;

use jetcache_adapters::{Compressed, Json, Lz4, Memory, MessagePack, Postcard, S2, Zstd};
use jetcache_core::{Cache, Codec, Compression};
use serde::Deserialize;

type Nested = Vec<Vec<Vec<u64>>>;

/// How many bytes the closure held at its highest point. This counts what Rust allocates. zstd's
/// context is allocated in C, but has one size for all frames, as none is read as a stream.
fn reserved(work: impl FnOnce()) -> u64 {
    allocation_counter::measure(work).bytes_max
}

fn is_refused_by<V: Debug>(codec: &impl Codec<V>, bytes: &[u8]) {
    let most = reserved(|| {
        let decoded = codec.decode(bytes);
        assert!(decoded.is_err(), "{bytes:?} is {decoded:?}");
    });
    // Serde believes a sequence up to 1 MiB; a map makes two of that.
    assert!(most < 4 * MIB, "{most} bytes for {bytes:?}");
}

#[test]
fn the_measure_can_fail() {
    assert!(reserved(|| drop(Vec::<u8>::with_capacity(5 << 20))) > 4 * MIB);
}

#[test]
fn message_pack_believes_no_length() {
    #[derive(Debug, Deserialize, serde::Serialize)]
    struct Wide {
        #[expect(dead_code, reason = "only its size matters")]
        #[serde(skip)]
        wide: [[u64; 16]; 16],
        name: String,
    }
    // Text, bytes, array, map and extension, each with a length of 2^32 - 1.
    for first in [0xDB, 0xC6, 0xDD, 0xDF, 0xC9] {
        let mut bytes = vec![first, 0xFF, 0xFF, 0xFF, 0xFF];
        bytes.resize(20, 0xC0);
        is_refused_by::<String>(&MessagePack, &bytes);
        is_refused_by::<Arc<str>>(&MessagePack, &bytes);
        is_refused_by::<Vec<u8>>(&MessagePack, &bytes);
        is_refused_by::<Vec<u64>>(&MessagePack, &bytes);
        is_refused_by::<Vec<Wide>>(&MessagePack, &bytes);
        is_refused_by::<Vec<String>>(&MessagePack, &bytes);
        is_refused_by::<HashMap<String, u64>>(&MessagePack, &bytes);
        is_refused_by::<BTreeMap<u64, String>>(&MessagePack, &bytes);
        is_refused_by::<Wide>(&MessagePack, &bytes);
        let nested = [&bytes[..5], &bytes[..5], &bytes[..5]].concat();
        is_refused_by::<Nested>(&MessagePack, &nested);
    }
}

#[test]
fn postcard_believes_no_length() {
    let length = [0xFF, 0xFF, 0xFF, 0xFF, 0x0F];
    let mut bytes = length.to_vec();
    bytes.resize(20, 1);
    is_refused_by::<String>(&Postcard, &bytes);
    is_refused_by::<Arc<str>>(&Postcard, &bytes);
    is_refused_by::<Vec<u8>>(&Postcard, &bytes);
    is_refused_by::<Vec<u64>>(&Postcard, &bytes);
    is_refused_by::<Vec<String>>(&Postcard, &bytes);
    is_refused_by::<HashMap<String, u64>>(&Postcard, &bytes);
    is_refused_by::<BTreeMap<u64, String>>(&Postcard, &bytes);
    is_refused_by::<Nested>(&Postcard, &length.repeat(3));
}

#[test]
fn json_and_message_pack_have_a_bottom() {
    #[derive(Debug, Deserialize, serde::Serialize)]
    struct Doll(Vec<Doll>);
    // Nested deeper than any stack. That of a usual thread has 2 MiB.
    let thread = std::thread::Builder::new().stack_size(2 << 20);
    let dolls = thread.spawn(|| {
        is_refused_by::<Doll>(&Json, &b"[".repeat(1 << 20));
        is_refused_by::<Doll>(&MessagePack, &[0x91].repeat(1 << 20));
    });
    dolls.unwrap().join().unwrap();
}

fn is_too_much(method: &impl Compression, bytes: &[u8], limit: usize, most: u64) {
    let reserved = reserved(|| {
        let mut plain = Vec::new();
        let done = method.decompress(bytes, limit, &mut plain);
        assert!(done.is_err(), "{} bytes came out", plain.len());
    });
    assert!(reserved <= most, "{reserved} bytes, {most} are the most");
}

/// A frame of zstd, in 20 bytes, that claims to hold so many bytes.
fn frame(descriptor: u8, size: u64) -> Vec<u8> {
    let mut bytes = vec![0x28, 0xB5, 0x2F, 0xFD, descriptor];
    if descriptor & 0x20 == 0 {
        // A window of almost 4 TiB.
        bytes.push(0xFF);
    }
    bytes.extend_from_slice(&size.to_le_bytes());
    bytes.resize(20, 1);
    bytes
}

#[test]
fn no_compression_believes_a_length() {
    let mut lz4 = vec![0xFF; 20];
    is_too_much(&Lz4, &lz4, LIMIT, KIB);
    let mut s2 = vec![0xFF, 0xFF, 0xFF, 0xFF, 0x0F];
    s2.resize(20, 0);
    is_too_much(&S2, &s2, LIMIT, KIB);
    for descriptor in [0xC0, 0xE0] {
        is_too_much(&Zstd::new(), &frame(descriptor, 4 << 30), LIMIT, KIB);
        is_too_much(&Zstd::new(), &frame(descriptor, u64::MAX), LIMIT, KIB);
    }
    // Within the limit, but more than 20 bytes of this format can stand for.
    lz4[..4].copy_from_slice(&(60_u32 << 20).to_le_bytes());
    is_too_much(&Lz4, &lz4, LIMIT, KIB);
    for descriptor in [0xC0, 0xE0] {
        is_too_much(&Zstd::new(), &frame(descriptor, 60 << 20), LIMIT, KIB);
    }
    // Twenty bytes of S2 can stand for 60 MiB, so this much is reserved.
    s2[..5].copy_from_slice(&[0x80, 0x80, 0x80, 0x1E, 0]);
    is_too_much(&S2, &s2, LIMIT, u64::try_from(LIMIT).unwrap() + KIB);
}

#[test]
fn a_bomb_does_not_go_off() {
    fn passes(method: &impl Compression) {
        let mut bytes = Vec::new();
        method.compress(&vec![0; 100 << 20], &mut bytes).unwrap();
        assert!(bytes.len() < 1 << 20);
        is_too_much(method, &bytes, LIMIT, KIB);
        is_too_much(method, &bytes, 100, KIB);
    }
    passes(&Lz4);
    passes(&Zstd::new());
    passes(&S2);
}

#[test]
fn a_cache_reserves_no_more_than_its_limit() {
    let memory = Memory::new();
    let cache = |limit| {
        let builder = jetcache_smol::builder::<u8, Arc<String>>("bombs").no_local();
        let codec = Compressed::new(MessagePack, Lz4);
        let builder = builder.remote(memory.clone(), codec);
        builder.max_value_size(limit).build().unwrap()
    };
    let (writer, reader) = (cache(LIMIT), cache(1 << 20));
    smol::block_on(async {
        let value = Arc::new("x".repeat(LIMIT / 2));
        writer.insert(1, value).await.unwrap();
    });
    let most = |cache: &Cache<u8, Arc<String>>, hits| {
        reserved(|| assert_eq!(smol::block_on(cache.get(&1)).is_hit(), hits))
    };
    assert!(most(&writer, true) > 32 * MIB);
    assert!(most(&reader, false) < MIB);
    assert_eq!(reader.stats().undecodable, 1);
}

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;
const LIMIT: usize = 64 << 20;
