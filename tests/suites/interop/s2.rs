//! S2 blocks, against a decoder written after the format and nothing else.

use jetcache_adapters::S2;
use jetcache_core::Compression;

use super::rows::{Form, rows};

/// Decodes a block. Returns the text, and how many repeats there were.
fn decoded(block: &[u8]) -> (Vec<u8>, usize) {
    let mut bytes = block.iter().copied();
    let mut next = || usize::from(bytes.next().expect("the block goes on"));
    let (mut length, mut shift) = (0, 0);
    loop {
        let byte = next();
        length |= (byte & 0x7f) << shift;
        shift += 7;
        if byte < 0x80 {
            break;
        }
    }
    let (mut out, mut offset, mut repeats) = (Vec::new(), 0, 0);
    while out.len() < length {
        let tag = next();
        let mut little = |bytes: usize| (0..bytes).fold(0, |sum, at| sum | next() << (8 * at));
        let count = match tag & 3 {
            0 => {
                let count = 1 + match tag >> 2 {
                    short @ 0..60 => short,
                    long => little(long - 59),
                };
                out.extend((0..count).map(|_| little(1) as u8));
                continue;
            }
            1 => {
                let far = (tag & 0xe0) << 3 | little(1);
                let code = tag >> 2 & 7;
                if far != 0 {
                    offset = far;
                    4 + code
                } else {
                    repeats += 1;
                    match code {
                        5 => 8 + little(1),
                        6 => 260 + little(2),
                        7 => 65_540 + little(3),
                        short => 4 + short,
                    }
                }
            }
            2 => {
                offset = little(2);
                1 + (tag >> 2)
            }
            _ => {
                offset = little(4);
                1 + (tag >> 2)
            }
        };
        assert!((1..=out.len()).contains(&offset), "an offset of {offset}");
        for _ in 0..count {
            out.push(out[out.len() - offset]);
        }
    }
    assert_eq!(out.len(), length);
    assert_eq!(bytes.next(), None, "nothing follows");
    (out, repeats)
}

pub(super) fn unpacked(block: &[u8]) -> Vec<u8> {
    let mut plain = Vec::new();
    S2.decompress(block, 1 << 20, &mut plain).unwrap();
    plain
}

#[test]
fn the_blocks_of_go_are_read() {
    let (mut blocks, mut with_repeats) = (0, 0);
    for row in rows().iter().filter(|row| row.form == Form::S2) {
        let stored = row.bytes();
        let block = &stored[..stored.len() - 1];
        let (plain, repeats) = decoded(block);
        let operations = row.s2_ops.as_ref().unwrap();
        assert_eq!(
            (plain.len(), repeats),
            (operations.decoded_len, operations.repeat)
        );
        assert_eq!(unpacked(block), plain, "{}", row.name);
        blocks += 1;
        with_repeats += usize::from(repeats > 0);
    }
    assert_eq!((blocks, with_repeats), (14, 5));
}

#[test]
fn what_is_compressed_here_is_an_s2_block() {
    let noise = |size: usize| -> Vec<u8> {
        let mut random = fastrand::Rng::with_seed(7);
        (0..size).map(|_| random.u8(..)).collect()
    };
    let mut cases: Vec<Vec<u8>> = [0, 1, 63, 64, 65, 1000, 70_000, 300_000]
        .iter()
        .flat_map(|&size| [vec![b'z'; size], noise(size), b"abcdefg".repeat(size / 7)])
        .collect();
    cases.push(
        (0..2000_u32)
            .flat_map(|n| format!("user-{n:06}@example.com,{n};").into_bytes())
            .collect(),
    );
    for row in rows().iter().filter(|row| row.form == Form::S2) {
        let stored = row.bytes();
        cases.push(decoded(&stored[..stored.len() - 1]).0);
    }
    for plain in cases {
        let mut block = Vec::new();
        S2.compress(&plain, &mut block).unwrap();
        assert!(decoded(&block).0 == plain, "{} bytes", plain.len());
        assert!(unpacked(&block) == plain, "{} bytes", plain.len());
    }
}
