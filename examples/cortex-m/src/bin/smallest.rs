//! An L1 and a loader, and nothing else: what a cache costs at least.

#![no_std]
#![no_main]

use core::num::NonZeroUsize;
use core::panic::PanicInfo;
use core::time::Duration;

use cortex_m_rt::entry;
use jetcache_core::unsync::Builder;
use jetcache_example_cortex_m::board::{Board, done, failed, start};

#[entry]
fn main() -> ! {
    start();
    let board = Board::new();
    let mut clock = || board.moment();
    let settings = Builder::<u8, i16>::new(NonZeroUsize::MIN).ttl(Duration::from_secs(30));
    let Ok(mut cache) = settings.build() else {
        failed()
    };
    for loaded in 1..4 {
        match cache.get_or_load(&3, &mut clock, || Ok(loaded)) {
            Ok(Some(1)) => {}
            _ => failed(),
        }
    }
    done()
}

/// It says nothing: text costs flash.
#[panic_handler]
fn panics(_: &PanicInfo<'_>) -> ! {
    failed()
}
