//! What every [`Compression`] must do.

use jetcache_core::Compression;

/// Runs the suite over a compression, with values of its own: empty and large ones, dull and
/// random.
///
/// # Panics
/// At the first rule that is broken.
pub fn run(method: &impl Compression) {
    assert_ne!(
        method.id(),
        0,
        "the number 0 marks what is not compressed: take one from 128 on"
    );
    let mut dice = Dice(1);
    for plain in plains(&mut dice) {
        comes_back(method, &plain);
        is_appended(method, &plain);
        stays_within_limits(method, &plain);
    }
    for plain in [text(700), dice.bytes(300), vec![7; 5000]] {
        survives_damage(method, &plain, &mut dice);
    }
    survives_anything(method, &mut dice);
}

fn compressed(method: &impl Compression, plain: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    if let Err(error) = method.compress(plain, &mut bytes) {
        panic!("{} bytes cannot be compressed: {error}", plain.len());
    }
    bytes
}

/// What comes out of `bytes`, and that it is no more than `limit`.
fn decompressed(method: &impl Compression, bytes: &[u8], limit: usize) -> Option<Vec<u8>> {
    let mut plain = Vec::new();
    let done = method.decompress(bytes, limit, &mut plain);
    assert!(
        plain.capacity() <= limit.max(LEAST),
        "memory for {} bytes was reserved where {limit} are the limit",
        plain.capacity()
    );
    done.ok()?;
    assert!(plain.len() <= limit, "no more may come out than the limit");
    Some(plain)
}

fn comes_back(method: &impl Compression, plain: &[u8]) {
    let bytes = compressed(method, plain);
    let back = decompressed(method, &bytes, plain.len());
    assert!(
        back.as_deref() == Some(plain),
        "what is decompressed must be what was compressed ({} bytes)",
        plain.len()
    );
}

fn is_appended(method: &impl Compression, plain: &[u8]) {
    let bytes = compressed(method, plain);
    let mut both = b"header".to_vec();
    assert!(method.compress(plain, &mut both).is_ok());
    assert!(
        both.starts_with(b"header") && both[6..] == bytes,
        "compressing must append to what is there"
    );
    let mut both = b"header".to_vec();
    assert!(method.decompress(&bytes, plain.len(), &mut both).is_ok());
    assert!(
        both.starts_with(b"header") && both[6..] == *plain,
        "decompressing must append to what is there"
    );
}

fn stays_within_limits(method: &impl Compression, plain: &[u8]) {
    let bytes = compressed(method, plain);
    for limit in [0, 1, plain.len() / 2, plain.len().saturating_sub(1)] {
        if limit < plain.len() {
            assert!(
                decompressed(method, &bytes, limit).is_none(),
                "{} bytes came out where {limit} are the limit",
                plain.len()
            );
        }
    }
}

/// Bytes come from outside: errors and other values are fine, panics are not.
fn survives_damage(method: &impl Compression, plain: &[u8], dice: &mut Dice) {
    let good = compressed(method, plain);
    let limit = 2 * plain.len();
    for len in 0..good.len() {
        assert!(
            decompressed(method, &good[..len], limit).is_none(),
            "bytes that are cut short must be an error"
        );
    }
    let mut bytes = good.clone();
    for at in 0..bytes.len() {
        for bit in 0..8 {
            bytes[at] ^= 1 << bit;
            decompressed(method, &bytes, limit);
            bytes[at] ^= 1 << bit;
        }
    }
    for _ in 0..MUTATIONS {
        let mut bytes = good.clone();
        for _ in 0..=dice.below(4) {
            mutate(&mut bytes, dice);
        }
        decompressed(method, &bytes, limit);
    }
}

/// Puts in, takes out, repeats or overwrites a few bytes somewhere.
fn mutate(bytes: &mut Vec<u8>, dice: &mut Dice) {
    let at = dice.below(bytes.len() + 1);
    let end = bytes.len().min(at + dice.below(9));
    let new = match dice.below(4) {
        0 => dice.bytes(end - at),
        1 => vec![0xFF; 1 + dice.below(8)],
        2 => Vec::new(),
        _ => bytes[at..end].repeat(2),
    };
    bytes.splice(at..end, new);
}

fn survives_anything(method: &impl Compression, dice: &mut Dice) {
    let start = compressed(method, &text(100));
    for _ in 0..MUTATIONS {
        let len = dice.below(64);
        let random = dice.bytes(len);
        decompressed(method, &random, 1 << 16);
        // A good beginning leads further into the method than bytes that are no beginning.
        let begun = dice.below(start.len().min(16));
        decompressed(method, &[&start[..begun], &random].concat(), 1 << 16);
    }
}

fn plains(dice: &mut Dice) -> Vec<Vec<u8>> {
    vec![
        Vec::new(),
        vec![0],
        b"*".to_vec(),
        text(100),
        text(100_000),
        vec![0; 1_000_000],
        dice.bytes(100_000),
        // Longer than any method's window or block.
        [text(3_000_000), dice.bytes(3_000_000), text(3_000_000)].concat(),
    ]
}

fn text(len: usize) -> Vec<u8> {
    let words = (0_u32..).flat_map(|i| format!("word {}, ", i.wrapping_mul(i) % 997).into_bytes());
    words.take(len).collect()
}

/// The same numbers in every run (xorshift).
struct Dice(u64);

impl Dice {
    fn roll(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, bound: usize) -> usize {
        // What is lost of the roll leaves a number that is random enough.
        usize::try_from(self.roll() >> 33).unwrap_or_default() % bound.max(1)
    }

    fn bytes(&mut self, len: usize) -> Vec<u8> {
        (0..len).map(|_| self.roll().to_le_bytes()[3]).collect()
    }
}

const MUTATIONS: usize = 20_000;
/// The least that a vector reserves when it reserves anything.
const LEAST: usize = 8;
