//! Readings of sensors, cached on the board, and beneath that at the end of a line. Everything that the
//! cache promises is shown once, and compared.

#![no_std]
#![no_main]

use core::cell::{Cell, RefCell};
use core::num::NonZeroUsize;
use core::panic::PanicInfo;
use core::time::Duration;

use cortex_m_rt::entry;
use jetcache_core::unsync::Builder;
use jetcache_core::{Cached, Error, LoadError, Reach};
use jetcache_example_cortex_m::board::{Board, HEAP_SIZE, done, heap_used, panicked, say, start};
use jetcache_example_cortex_m::line::Line;
use jetcache_example_cortex_m::reading::{Postcard, Reading};

const SECOND: Duration = Duration::from_secs(1);

#[entry]
fn main() -> ! {
    start();
    let board = Board::new();
    near(&board);
    far(&board);
    say(format_args!(
        "heap: {} of {HEAP_SIZE} bytes left behind",
        heap_used()
    ));
    done()
}

/// A sensor that takes 20 ms, and whose line may be broken.
struct Sensor<'a> {
    board: &'a Board,
    broken: Cell<bool>,
    asked: Cell<u32>,
}

impl Sensor<'_> {
    fn measure(&self, channel: u8) -> Result<Option<Reading>, LoadError> {
        self.asked.set(self.asked.get() + 1);
        self.board.pass(Duration::from_millis(20));
        if self.broken.get() {
            return Err("the sensor does not answer".into());
        }
        let reading = Reading {
            celsius: 200 + i16::from(channel),
            humidity: 40,
        };
        // There are eight of them.
        Ok((channel < 8).then_some(reading))
    }
}

/// L1 alone.
fn near(board: &Board) {
    let sensor = Sensor {
        board,
        broken: Cell::new(false),
        asked: Cell::new(0),
    };
    let mut clock = || board.moment();
    let settings = Builder::<u8, Reading>::new(NonZeroUsize::new(4).expect("4 is not 0"));
    let settings = settings.ttl(30 * SECOND).negative_ttl(10 * SECOND);
    let mut cache = settings
        .stale_for(300 * SECOND)
        .build()
        .expect("it can work");
    let before = heap_used();

    for _ in 0..3 {
        let reading = cache.get_or_load(&3, &mut clock, || sensor.measure(3));
        assert_eq!(reading.expect("it answers").map(|it| it.celsius), Some(203));
    }
    assert_eq!(sensor.asked.get(), 1, "a miss, then hits");

    for _ in 0..2 {
        let reading = cache.get_or_load(&9, &mut clock, || sensor.measure(9));
        assert_eq!(reading.expect("it answers"), None);
    }
    assert_eq!(sensor.asked.get(), 2, "that there is none is remembered");

    board.pass(30 * SECOND);
    let reading = cache.get_or_load(&3, &mut clock, || sensor.measure(3));
    assert!(
        reading.is_ok() && sensor.asked.get() == 3,
        "its life was over"
    );

    board.pass(30 * SECOND);
    sensor.broken.set(true);
    let reading = cache.get_or_load(&3, &mut clock, || sensor.measure(3));
    assert_eq!(
        reading.expect("it is stale").map(|it| it.celsius),
        Some(203)
    );
    let reading = cache.get_or_load(&4, &mut clock, || sensor.measure(4));
    assert!(
        matches!(reading, Err(Error::Load(_))),
        "nothing was known of it"
    );
    sensor.broken.set(false);

    for channel in 0..8 {
        let reading = cache.get_or_load(&channel, &mut clock, || sensor.measure(channel));
        assert!(reading.is_ok());
    }
    assert_eq!(cache.len(), 4);
    let used = heap_used() - before;

    let stats = cache.stats();
    say(format_args!(
        "l1: {} hits, {} misses, {} loads, {} failed, {} not found, {} stale, {} evicted; heap: {used} bytes for 4 entries",
        stats.local_hits,
        stats.misses,
        stats.loads,
        stats.load_failures,
        stats.not_found,
        stats.stale,
        stats.evicted.unwrap_or(0),
    ));
    let counted = (stats.local_hits, stats.misses, stats.loads, stats.not_found);
    assert_eq!(counted, (4, 12, 10, 1));
    assert_eq!((stats.load_failures, stats.stale), (2, 2));
    assert_eq!(stats.evicted, Some(5));
}

/// L1 of two entries over an L2 at the end of a line.
fn far(board: &Board) {
    let line = RefCell::new(Line::new(board));
    let mut clock = || board.moment();
    let settings = Builder::<u8, Reading>::new(NonZeroUsize::new(2).expect("2 is not 0"));
    let settings = settings.ttl(60 * SECOND).store(&line, Postcard);
    let mut cache = settings.max_value_size(32).build().expect("it can work");
    let reading = |celsius| Reading {
        celsius,
        humidity: 40,
    };

    for channel in 0..6_i16 {
        let key = channel as u8;
        let loaded = cache.get_or_load(&key, &mut clock, || Ok(reading(channel)));
        assert_eq!(loaded.expect("it loads"), Some(reading(channel)));
    }
    for channel in 0..6_i16 {
        let found = cache.get(&(channel as u8), &mut clock);
        assert_eq!(
            found,
            Cached::Hit(reading(channel)),
            "L2 has what L1 has evicted"
        );
    }

    // While the line is cut nobody is worse off than without it, and a change is not undone by what L2
    // still has.
    line.borrow_mut().cut(true);
    let loaded = cache.get_or_load(&7, &mut clock, || Ok(reading(7)));
    assert_eq!(loaded.expect("it loads"), Some(reading(7)));
    assert_eq!(cache.invalidate(&0, &mut clock), Reach::Pending);
    line.borrow_mut().cut(false);
    assert_eq!(cache.get(&0, &mut clock), Cached::Miss);
    assert_eq!(cache.activity().unconfirmed, 1);
    while let Some(next) = cache.run_pending(&mut clock) {
        board.pass(next.since(board.now()));
    }
    assert_eq!(cache.activity().unconfirmed, 0);
    assert_eq!(cache.get(&0, &mut clock), Cached::Miss);

    let stats = cache.stats();
    say(format_args!(
        "l2: {} hits, {} misses, {} faults, {} unconfirmed; line: {} bytes",
        stats.remote_hits,
        stats.remote_misses,
        stats.remote_faults,
        stats.unconfirmed,
        line.borrow().bytes(),
    ));
    assert_eq!((stats.remote_hits, stats.remote_faults), (6, 2));
    assert_eq!((stats.loads, stats.unconfirmed), (7, 1));
}

#[panic_handler]
fn panics(what: &PanicInfo<'_>) -> ! {
    panicked(what)
}
