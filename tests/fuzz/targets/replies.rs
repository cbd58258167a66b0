//! What a Redis answers, from its bytes on: redis-rs takes them apart, and the adapter judges.

#![no_main]

use jetcache_adapters::fuzzed::{answers, push};
use libfuzzer_sys::fuzz_target;
use redis::{Parser, PushInfo, Value};

fuzz_target!(|bytes: &[u8]| {
    let (mut parser, mut rest) = (Parser::new(), bytes);
    let mut values = Vec::new();
    while values.len() < 8 {
        let Ok(value) = parser.parse_value(&mut rest) else {
            break;
        };
        match value {
            Value::Push { kind, data } => {
                let _ = push(PushInfo { kind, data });
            }
            value => values.push(value),
        }
    }
    answers(&values);
});
