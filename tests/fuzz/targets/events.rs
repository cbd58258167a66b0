//! What comes over the bus.

#![no_main]

use jetcache_adapters::fuzzed::event;
use jetcache_core::MessageKind;
use jetcache_core::ports::bus::News;
use jetcache_core::ports::remote::RaiseEvent;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let News::Message(message) = event(bytes) else {
        return;
    };
    if message.kind == MessageKind::Raise || !message.keys.is_empty() {
        raise(&message.keys);
    }
});

fn raise(texts: &[String]) {
    let texts = texts.iter().map(String::as_str);
    let Some(raise) = RaiseEvent::parse(texts) else {
        return;
    };
    let again = raise.texts("ns:");
    let again = again.iter().filter_map(|text| text.strip_prefix("ns:"));
    assert_eq!(RaiseEvent::parse(again), Some(raise));
}
