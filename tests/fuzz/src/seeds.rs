//! Writes the first inputs of each target: a folder for each beneath `JETCACHE_SEEDS`, from what
//! jetcache-go wrote (tests/data) and from what this build writes. It is linked as the targets are, so it
//! does that before libFuzzer begins, and ends.

#![no_main]

use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use jetcache_adapters::{Json, Lz4, MessagePack, Postcard, S2, Zstd};
use jetcache_core::machine::generations::tags::Tags;
use jetcache_core::machine::tier::envelope::{compressed, costs, mark, open, seal, stamp, tagged};
use jetcache_core::machine::tier::mark::Mark;
use jetcache_core::{Codec, Compression};
use jetcache_fuzz::row::{Dated, Row};
use libfuzzer_sys::fuzz_target;
use serde_json::Value;

type Done = Result<(), Box<dyn Error>>;

fuzz_target!(init: write_and_end(), |_bytes: &[u8]| {});

fn write_and_end() {
    match write() {
        Ok(count) => println!("{count} seeds"),
        Err(error) => panic!("no seeds: {error}"),
    }
    std::process::exit(0);
}

fn write() -> Result<usize, Box<dyn Error>> {
    let mut corpus = Corpus {
        folder: std::env::var("JETCACHE_SEEDS")?.into(),
        count: 0,
    };
    go(&mut corpus)?;
    codecs(&mut corpus)?;
    entries(&mut corpus)?;
    replies(&mut corpus)?;
    Ok(corpus.count)
}

struct Corpus {
    folder: PathBuf,
    count: usize,
}

impl Corpus {
    fn add(&mut self, target: &str, parts: &[&[u8]]) -> Done {
        let folder = self.folder.join(target);
        fs::create_dir_all(&folder)?;
        fs::write(folder.join(format!("seed-{}", self.count)), parts.concat())?;
        self.count += 1;
        Ok(())
    }
}

/// What jetcache-go wrote.
fn go(corpus: &mut Corpus) -> Done {
    let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("../data/jetcache-go");
    for line in fs::read_to_string(data.join("vectors.jsonl"))?.lines() {
        let vector: Value = serde_json::from_str(line)?;
        let stored = hex(vector["stored_hex"].as_str().unwrap_or_default())?;
        // Big ones only take time.
        if stored.len() > 2048 {
            continue;
        }
        let (choice, plain): (&[u8], _) = match vector["codec"].as_str() {
            Some("json") => (b"j", &stored[..]),
            _ => (
                b"m",
                stored
                    .get(..stored.len().saturating_sub(1))
                    .unwrap_or_default(),
            ),
        };
        match vector["form"].as_str() {
            Some("s2" | "s2_01") => corpus.add("compressions", &[b"s", plain])?,
            _ => corpus.add("codecs", &[choice, plain])?,
        }
        corpus.add("entries", &[b"g", &MINUTE, &stored])?;
        corpus.add("entries", &[b"r", &MINUTE, &stored])?;
    }
    for line in fs::read_to_string(data.join("events.jsonl"))?.lines() {
        let event: Value = serde_json::from_str(line)?;
        if let Some(payload) = event["payload"].as_str() {
            corpus.add("events", &[payload.as_bytes()])?;
        }
    }
    let (head, tail) = (r#"{"CacheName":"c","SourceID":"s","EventType":"#, "]}");
    for rest in [
        r#"7,"Keys":[">","*""#,
        r#"7,"Keys":["3>1234567890123456","t9fa3","k0001""#,
        r#"5,"Fenced":true,"Keys":["a",1,null"#,
    ] {
        corpus.add(
            "events",
            &[head.as_bytes(), rest.as_bytes(), tail.as_bytes()],
        )?;
    }
    Ok(())
}

fn codecs(corpus: &mut Corpus) -> Done {
    let row = Row::example();
    let at = SystemTime::UNIX_EPOCH + Duration::from_nanos(1_709_210_096_123_456_789);
    let dates = [None, Some(SystemTime::UNIX_EPOCH)].map(|end| Dated { at, end });
    let numbers = vec![None, Some(-3_i16), Some(7)];
    corpus.add("codecs", &[b"m", &encoded(&MessagePack, &row)?])?;
    corpus.add("codecs", &[b"p", &encoded(&Postcard, &row)?])?;
    corpus.add("codecs", &[b"j", &encoded(&Json, &row)?])?;
    for date in dates {
        corpus.add("codecs", &[b"m", &encoded(&MessagePack, &date)?])?;
    }
    corpus.add("codecs", &[b"m", &encoded(&MessagePack, &numbers)?])?;
    corpus.add("codecs", &[b"p", &encoded(&Postcard, &numbers)?])?;
    corpus.add("codecs", &[b"j", &encoded(&Json, &numbers)?])?;
    Ok(())
}

fn encoded<V>(codec: &impl Codec<V>, value: &V) -> Result<Vec<u8>, Box<dyn Error>> {
    let mut bytes = Vec::new();
    codec
        .encode(value, &mut bytes)
        .map_err(|why| why.to_string())?;
    Ok(bytes)
}

/// Native entries with each codec and each compression, with and without tags and marks.
fn entries(corpus: &mut Corpus) -> Done {
    let row = Row::example();
    let plain = encoded(&MessagePack, &row)?;
    let methods: [(&[u8], &dyn Compression); 3] = [(b"4", &Lz4), (b"z", &Zstd::new()), (b"s", &S2)];
    for (choice, method) in methods {
        let mut packed = Vec::new();
        method
            .compress(&plain, &mut packed)
            .map_err(|why| why.to_string())?;
        corpus.add("compressions", &[choice, &packed])?;
        let id = Codec::<Row>::id(&MessagePack);
        for entry in variants(id, method.id(), &packed) {
            corpus.add("entries", &[b"c", &CLOCK, &entry])?;
        }
    }
    let (postcard, json) = (encoded(&Postcard, &row)?, encoded(&Json, &row)?);
    for entry in variants(Codec::<Row>::id(&Postcard), 0, &postcard) {
        corpus.add("envelope", &[&entry])?;
        corpus.add("entries", &[b"p", &MINUTE, &entry])?;
    }
    for entry in variants(Codec::<Row>::id(&Json), 0, &json) {
        corpus.add("entries", &[b"j", &CLOCK, &entry])?;
    }
    let mut absent = Vec::new();
    open(&mut absent, None);
    seal(&mut absent, LIFE, Duration::ZERO);
    corpus.add("envelope", &[&absent])?;
    if let Some(plain) = variants(1, 0, b"12345678").first() {
        corpus.add("planted", &[plain])?;
    }
    corpus.add("entries", &[b"p", &CLOCK, &absent])
}

/// Entries of this payload: plain, with a tag, with a mark.
fn variants(codec: u8, compression: u8, payload: &[u8]) -> Vec<Vec<u8>> {
    let tags = [
        Tags::NONE,
        Tags::of(["tag"]).unwrap_or_default(),
        Tags::NONE,
    ];
    let marks = [None, None, Mark::new(b"v1")];
    let variants = tags.iter().zip(&marks).map(|(tags, with)| {
        let mut entry = Vec::new();
        open(&mut entry, Some(codec));
        compressed(&mut entry, compression);
        tagged(&mut entry, tags);
        if let Some(with) = with {
            mark(&mut entry, with);
        }
        entry.extend_from_slice(payload);
        costs(&mut entry, Duration::from_millis(5));
        seal(&mut entry, LIFE, LIFE);
        stamp(&mut entry, 1_000_000);
        entry
    });
    variants.collect()
}

fn replies(corpus: &mut Corpus) -> Done {
    for reply in [
        "*1\r\n$3\r\nabc\r\n*2\r\n$2\r\n12\r\n$6\r\n123456\r\n",
        "*2\r\n$-1\r\n$3\r\nabc\r\n*2\r\n:12\r\n:123456\r\n",
        "+OK\r\n+QUEUED\r\n+QUEUED\r\n*2\r\n:60000\r\n*1\r\n$3\r\nabc\r\n",
        "+OK\r\n+QUEUED\r\n-OOM command not allowed\r\n-EXECABORT gone\r\n",
        ":60000\r\n$33\r\n@0123456789abcdef0123456789abcdef\r\n:900\r\n*1\r\n_\r\n*2\r\n:1\r\n:2\r\n",
        "$33\r\n!0123456789abcdef0123456789abcdef\r\n",
        "*2\r\n$16\r\n0123456789abcdef\r\n$45\r\n\u{1}\u{1}\u{1}\u{1}\u{1}\u{1}\u{1}\u{1}\u{1}\u{1}\u{1}\u{1}\u{1}\u{1}\u{1}\u{1}\u{1}\u{1}\u{1}\u{1}\u{1}\u{1}\u{1}\u{1}\u{1}\u{1}\u{1}\u{1}\u{1}\u{1}\u{1}\u{1}\u{1}\u{1}\u{1}\u{1}\u{1}\u{1}\u{1}\u{1}\u{1}\u{1}\u{1}\u{1}\u{1}\r\n",
        "*4\r\n$16\r\n1234567890123456\r\n$1\r\n0\r\n:1\r\n*1\r\n$1\r\n0\r\n",
        "*3\r\n$16\r\n1234567890123456\r\n$1\r\n0\r\n*2\r\n$1\r\n*\r\n$5\r\nt9fa3\r\n",
        "*4\r\n$1\r\n*\r\n$16\r\n1234567890123456\r\n$5\r\nk0001\r\n$5\r\n1e+15\r\n",
        "*1\r\n*2\r\n$5\r\nt9fa3\r\n,1234567890123456\r\n",
        ">2\r\n+invalidate\r\n*2\r\n$4\r\nns:1\r\n$9\r\n{ns:}#gen\r\n",
        ">2\r\n+invalidate\r\n_\r\n",
        "-MOVED 3999 127.0.0.1:6381\r\n:1\r\n:2\r\n#t\r\n",
        "%1\r\n+k\r\n=7\r\ntxt:abc\r\n~1\r\n(123\r\n",
    ] {
        corpus.add("replies", &[reply.as_bytes()])?;
    }
    Ok(())
}

fn hex(text: &str) -> Result<Vec<u8>, Box<dyn Error>> {
    let pairs = text.as_bytes().chunks(2);
    let bytes = pairs.map(|pair| Ok(u8::from_str_radix(std::str::from_utf8(pair)?, 16)?));
    bytes.collect()
}

const LIFE: Duration = Duration::from_secs(60);
/// An even number is the server's clock, an odd one what is left; in milliseconds.
const CLOCK: [u8; 8] = 990_000_u64.to_be_bytes();
const MINUTE: [u8; 8] = 60_001_u64.to_be_bytes();
