//! The board: its heap, its time, its chance, and what to do at the end.

use core::cell::Cell;
use core::fmt::Arguments;
use core::panic::PanicInfo;
use core::time::Duration;

use cortex_m_semihosting::{debug, hprintln};
use embedded_alloc::LlffHeap;
use jetcache_core::Timestamp;
use jetcache_core::unsync::Moment;

#[global_allocator]
static HEAP: LlffHeap = LlffHeap::empty();

/// How much of the RAM is the heap.
pub const HEAP_SIZE: usize = 16 * 1024;

/// Call it first, and once.
pub fn start() {
    // SAFETY: this is the only call, before anything is allocated; the macro itself checks that.
    unsafe {
        embedded_alloc::init!(HEAP, HEAP_SIZE);
    }
}

/// How much of the heap is in use.
#[must_use]
pub fn heap_used() -> usize {
    HEAP.used()
}

/// Time and chance. Here the time passes when the program says so; a real board reads a timer.
#[derive(Debug, Default)]
pub struct Board {
    millis: Cell<u64>,
    bits: Cell<u32>,
}

impl Board {
    /// A board that has just been reset.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            millis: Cell::new(0),
            bits: Cell::new(1),
        }
    }

    /// Lets time pass.
    pub fn pass(&self, span: Duration) {
        let millis = u64::try_from(span.as_millis()).unwrap_or(u64::MAX);
        self.millis.set(self.millis.get().saturating_add(millis));
    }

    /// Milliseconds since the reset.
    #[must_use]
    pub fn millis(&self) -> u64 {
        self.millis.get()
    }

    /// The time.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        Timestamp::from_nanos(self.millis.get() * 1_000_000)
    }

    /// The time, and bits of a xorshift: enough to spread the ends of lives.
    pub fn moment(&self) -> Moment {
        let mut bits = 0;
        for _ in 0..4 {
            let mut next = self.bits.get();
            next ^= next << 13;
            next ^= next >> 17;
            next ^= next << 5;
            self.bits.set(next);
            bits = bits << 32 | u128::from(next);
        }
        Moment::new(self.now(), bits)
    }
}

/// Says a line to whoever debugs the board.
pub fn say(what: Arguments<'_>) {
    hprintln!("{}", what);
}

/// Ends the program: QEMU exits with 0.
pub fn done() -> ! {
    debug::exit(debug::EXIT_SUCCESS);
    loop {
        cortex_m::asm::wfi();
    }
}

/// Ends the program, which has not found what it should: QEMU exits with 1.
pub fn failed() -> ! {
    debug::exit(debug::EXIT_FAILURE);
    loop {
        cortex_m::asm::wfi();
    }
}

/// What a program does that panics: it says where.
pub fn panicked(what: &PanicInfo<'_>) -> ! {
    hprintln!("{}", what);
    failed()
}
