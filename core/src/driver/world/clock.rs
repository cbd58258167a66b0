//! The clocks that a runtime can be built on.

use core::fmt;
use core::future::Future;
use core::time::Duration;
use std::time::Instant;

use futures_util::future::Either;
#[cfg(feature = "test-util")]
pub use paused::PausedClock;

use crate::driver::world::erased::Boxed;
use crate::machine::time::Timestamp;

/// A monotonic clock for a [`Runtime`](crate::Runtime): the system's, which it reads exactly or, in
/// a third of the time, coarsely; or one that a test moves.
#[derive(Clone)]
pub struct Clock(Kind);

#[derive(Clone)]
enum Kind {
    System(Instant, coarsetime::Instant),
    #[cfg(feature = "test-util")]
    Paused(PausedClock),
}

impl Clock {
    /// The system's monotonic clock, from now on.
    #[must_use]
    pub fn system() -> Self {
        let coarse = coarsetime::Instant::now_without_cache_update();
        Self(Kind::System(Instant::now(), coarse))
    }

    /// A clock that stands still until a test moves it.
    #[cfg(feature = "test-util")]
    #[must_use]
    pub fn paused(clock: &PausedClock) -> Self {
        Self(Kind::Paused(clock.clone()))
    }

    /// The time.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        match &self.0 {
            Kind::System(origin, _) => {
                let nanos = origin.elapsed().as_nanos();
                Timestamp::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
            }
            #[cfg(feature = "test-util")]
            Kind::Paused(clock) => clock.now(),
        }
    }

    /// The time, wrong by up to a tick of the kernel in either direction: it is late by as much as
    /// has passed since the last tick, and its origin was, too.
    #[inline]
    #[must_use]
    pub fn coarse(&self) -> Timestamp {
        match &self.0 {
            Kind::System(_, origin) => {
                let now = coarsetime::Instant::now_without_cache_update();
                Timestamp::from_nanos(now.duration_since(*origin).as_nanos())
            }
            #[cfg(feature = "test-util")]
            Kind::Paused(clock) => clock.now(),
        }
    }

    /// Completes when this clock has moved by `span`; `real` is the runtime's own timer for that span.
    #[cfg_attr(
        not(feature = "test-util"),
        expect(unused_variables, reason = "the timer knows the span")
    )]
    pub fn sleep<F>(&self, span: Duration, real: F) -> impl Future<Output = ()> + Send + use<F>
    where
        F: Future<Output = ()> + Send + 'static,
    {
        // No async block, which would make room for the timer twice.
        #[cfg(feature = "test-util")]
        if let Kind::Paused(clock) = &self.0 {
            let clock = clock.clone();
            let asleep: Boxed<'static, ()> = Box::pin(async move { clock.sleep(span).await });
            return Either::Right(asleep);
        }
        Either::<F, Boxed<'static, ()>>::Left(real)
    }
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Clock").field(&self.now()).finish()
    }
}

#[cfg(feature = "test-util")]
mod paused {
    use std::sync::Arc;

    use event_listener::Event;
    use portable_atomic::{AtomicU64, Ordering};

    use super::{Duration, Timestamp};

    /// A clock that stands still until [`advance`](Self::advance) moves it; sleepers wake when it
    /// passes their time. Clones are the same clock.
    ///
    /// It is handed to a runtime (`Tokio::paused`, `Smol::paused`), and, as a function, to the
    /// in-process L2 (`Memory::with_clock`), which otherwise goes by real time. Jitter is to be
    /// turned off, or entries end a little before their TTL:
    ///
    /// ```text
    /// let clock = PausedClock::new();
    /// let hands = clock.clone();
    /// let memory = Memory::with_clock(move || hands.now().as_nanos() / 1_000_000);
    /// let cache = jetcache_tokio::builder_on::<u64, String>("test", Tokio::paused(&clock))
    ///     .remote(memory, MessagePack)
    ///     .jitter(0, Duration::ZERO)
    ///     .build()?;
    /// cache.insert(1, "one".into()).await?;
    /// clock.advance(Duration::from_secs(3600));
    /// assert_eq!(cache.get(&1).await, Cached::Miss);
    /// ```
    #[derive(Clone, Debug, Default)]
    pub struct PausedClock(Arc<Hands>);

    #[derive(Debug, Default)]
    struct Hands {
        nanos: AtomicU64,
        moved: Event,
    }

    impl PausedClock {
        /// A clock at its origin.
        #[must_use]
        pub fn new() -> Self {
            Self::default()
        }

        /// The time.
        #[must_use]
        pub fn now(&self) -> Timestamp {
            Timestamp::from_nanos(self.0.nanos.load(Ordering::SeqCst))
        }

        /// Moves the clock forward, and wakes whoever slept until then.
        pub fn advance(&self, span: Duration) {
            let nanos = u64::try_from(span.as_nanos()).unwrap_or(u64::MAX);
            self.0.nanos.fetch_add(nanos, Ordering::SeqCst);
            self.0.moved.notify(usize::MAX);
        }

        pub(crate) async fn sleep(&self, span: Duration) {
            let end = self.now() + span;
            loop {
                let moved = self.0.moved.listen();
                if self.now() >= end {
                    return;
                }
                moved.await;
            }
        }
    }
}
