//! The compressions keep their contract.

use jetcache_adapters::{Compressed, Lz4, MessagePack, Raw, S2, Zstd, compressions, contract};
use jetcache_core::{Codec, Compression};

#[test]
fn lz4_keeps_the_contract() {
    contract::compression::run(&Lz4);
}

#[test]
fn zstd_keeps_the_contract() {
    contract::compression::run(&Zstd::new());
    contract::compression::run(&Zstd::new().level(-7));
}

#[test]
fn s2_keeps_the_contract() {
    contract::compression::run(&S2);
}

#[test]
fn the_numbers_in_the_header_differ() {
    let ids: Vec<_> = compressions().iter().map(|method| method.id()).collect();
    assert_eq!(ids, [1, 2, 3]);
}

#[test]
fn a_compressed_codec_keeps_the_contract_and_its_number() {
    let codec = Compressed::new(MessagePack, Lz4);
    contract::codec::run(&codec, &[String::new(), "x".repeat(5000)]);
    assert_eq!(
        Codec::<u8>::id(&codec),
        Codec::<u8>::id(&MessagePack),
        "readers without it read what it leaves as it is"
    );
}

#[test]
fn a_compressed_codec_says_from_where_on() {
    let from = |codec: Compressed<Raw, S2>| {
        let codec: &dyn Codec<String> = &codec;
        codec
            .compression()
            .map(|(method, from)| (method.id(), from))
    };
    assert_eq!(from(Compressed::new(Raw, S2)), Some((3, 1025)));
    assert_eq!(from(Compressed::new(Raw, S2).above(0)), Some((3, 1)));
    let never = Compressed::new(Raw, S2).above(usize::MAX);
    assert_eq!(from(never), Some((3, usize::MAX)));
}

#[test]
fn any_level_reads_what_another_wrote() {
    let plain = b"as low as it goes, as high as it goes, as low as it goes".repeat(50);
    for level in [i32::MIN, -1, 0, 1, 19, i32::MAX] {
        let (mut bytes, mut back) = (Vec::new(), Vec::new());
        let method = Zstd::new().level(level);
        method.compress(&plain, &mut bytes).unwrap();
        Zstd::new()
            .decompress(&bytes, plain.len(), &mut back)
            .unwrap();
        assert!(back == plain, "level {level}");
    }
}
