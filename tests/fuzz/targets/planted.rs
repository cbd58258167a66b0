//! A fault that is planted, to see that a run finds one: behind an entry that has a mark, and then behind
//! one that has a tag as well. The seed has neither, and to come upon both at once is not to be expected: a
//! run gets there by what it has reached before.

#![no_main]

use jetcache_core::machine::tier::envelope::parse;
use jetcache_fuzz::mended;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(entry) = parse(&mended(bytes))
        && entry.mark.is_some_and(|mark| mark.len() < 8)
    {
        assert!(entry.tags.len() != 2, "the planted fault");
    }
});
