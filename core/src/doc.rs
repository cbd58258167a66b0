//! A runtime of threads for this crate's own examples and tests. Not for production: a timer or a
//! task costs a thread.

use core::future::Future;
use core::pin::pin;
use core::task::{Context, Poll, Waker};
use core::time::Duration;
use std::sync::Arc;
use std::sync::LazyLock;
use std::task::Wake;
use std::thread;

use futures_util::FutureExt;

use crate::machine::time::Timestamp;
use crate::ports::runtime::{Runtime, Task};
use crate::{Clock, roll};

/// Each task and each timer is a thread.
#[derive(Clone, Copy, Debug)]
pub struct Threads;

static CLOCK: LazyLock<Clock> = LazyLock::new(Clock::system);

impl Runtime for Threads {
    fn now(&self) -> Timestamp {
        CLOCK.now()
    }

    fn roll(&self) -> u128 {
        roll()
    }

    fn sleep(&self, span: Duration) -> impl Future<Output = ()> + Send + 'static {
        let (done, wait) = futures_channel::oneshot::channel();
        thread::spawn(move || {
            thread::sleep(span);
            let _: Result<(), ()> = done.send(());
        });
        wait.map(|_| ())
    }

    fn spawn(&self, task: Task) -> Result<(), Task> {
        thread::spawn(move || block_on(task));
        Ok(())
    }
}

/// Runs a future on this thread.
pub fn block_on<T>(future: impl Future<Output = T>) -> T {
    struct Unpark(thread::Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut future = pin!(future);
    loop {
        match future.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(value) => return value,
            Poll::Pending => thread::park(),
        }
    }
}

/// What a runtime crate has, on [`Threads`]: examples of this crate say `jetcache_tokio`, so that they
/// compile where they are copied to, and mean this.
pub mod runtime {
    use core::hash::Hash;

    use super::Threads;
    pub use crate::*;

    /// As `jetcache_tokio::node`.
    #[must_use]
    pub fn node() -> Node {
        Node::new(Threads)
    }

    /// As `jetcache_tokio::builder`.
    pub fn builder<K, V>(name: &str) -> Builder<K, V>
    where
        K: Hash + Eq + Clone + Send + Sync + 'static,
        V: Clone + Send + Sync + 'static,
    {
        node().local_cache(name)
    }
}
