//! Two tasks of an executor of one thread ask for one cold key: one load runs, and both have its reading.

#![no_std]
#![no_main]

extern crate alloc;

use alloc::rc::Rc;
use core::cell::Cell;
use core::future::{Future, poll_fn};
use core::num::NonZeroUsize;
use core::panic::PanicInfo;
use core::task::Poll;
use core::time::Duration;

use embassy_executor::Spawner;
use jetcache_core::unsync::{Builder, Moment, Tasks, Timer};
use jetcache_example_cortex_m::board::{Board, done, panicked, say, start};

type Readings = Tasks<u8, i16, Ticks>;

/// What both tasks have.
struct Room {
    readings: Readings,
    loads: Cell<u32>,
    answered: Cell<u32>,
}

#[embassy_executor::main]
async fn main(spawner: Spawner) {
    start();
    let settings = Builder::new(NonZeroUsize::MIN).ttl(Duration::from_secs(30));
    let room = Rc::new(Room {
        readings: settings
            .build_tasks(Ticks(Board::new()))
            .expect("it can work"),
        loads: Cell::new(0),
        answered: Cell::new(0),
    });
    for _ in 0..2 {
        spawner.spawn(ask(Rc::clone(&room)).expect("there is room for two"));
    }
    let patience = 10_000;
    for _ in 0..patience {
        if room.answered.get() == 2 {
            break;
        }
        moved().await;
    }
    let (loads, stats) = (room.loads.get(), room.readings.stats());
    say(format_args!(
        "tasks: {} answered, {loads} load, {} coalesced",
        room.answered.get(),
        stats.coalesced,
    ));
    assert_eq!((room.answered.get(), loads, stats.coalesced), (2, 1, 1));
    done()
}

#[embassy_executor::task(pool_size = 2)]
async fn ask(room: Rc<Room>) {
    let reading = room
        .readings
        .get_or_load(&3, async || {
            room.loads.set(room.loads.get() + 1);
            for _ in 0..20 {
                moved().await;
            }
            Ok(215)
        })
        .await;
    assert_eq!(reading.expect("it loads"), Some(215));
    room.answered.set(room.answered.get() + 1);
}

/// Lets the other tasks move.
async fn moved() {
    let mut again = false;
    poll_fn(|cx| {
        if again {
            return Poll::Ready(());
        }
        again = true;
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

/// A timer that is asked again and again: with each time a millisecond passes.
struct Ticks(Board);

impl Timer for Ticks {
    fn moment(&self) -> Moment {
        self.0.moment()
    }

    fn sleep(&self, span: Duration) -> impl Future<Output = ()> {
        let end = self.0.now() + span;
        poll_fn(move |cx| {
            if self.0.now() >= end {
                return Poll::Ready(());
            }
            self.0.pass(Duration::from_millis(1));
            cx.waker().wake_by_ref();
            Poll::Pending
        })
    }
}

#[panic_handler]
fn panics(what: &PanicInfo<'_>) -> ! {
    panicked(what)
}
