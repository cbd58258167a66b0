//! A thread that waits for a call, and runs what the call asks of it.

use core::future::{Future, poll_fn};
use core::pin::{Pin, pin};
use core::task::Poll;
use std::panic::resume_unwind;
use std::thread;

use crate::driver::cache::blocking::desk::{Desk, Request};
use crate::driver::flight::chain::Chain;
use crate::driver::world::erased::AnyRuntime;
use crate::ports::loader::LoadError;

/// What a call comes to.
///
/// # Errors
/// Why this thread may not wait; the call was not begun.
pub(super) fn outcome<F>(runtime: &dyn AnyRuntime, call: F) -> Result<F::Output, &'static str>
where
    F: Future + Send,
    F::Output: Send,
{
    runtime.may_block()?;
    let mut outcome = None;
    runtime.block_on(pin!(async { outcome = Some(call.await) }));
    outcome.ok_or(UNFINISHED)
}

/// What a call comes to that asks this thread, at the desk, to do some work. While it does the work,
/// another thread goes on with the call, if it is to [keep](crate::Remote::renew) a lease meanwhile.
///
/// # Errors
/// Why this thread may not wait; the call was not begun.
pub(super) fn serve<F, R, A>(
    runtime: &dyn AnyRuntime,
    keeps: bool,
    desk: &Desk<R, A>,
    call: F,
    mut work: impl FnMut(R) -> Result<A, LoadError>,
) -> Result<F::Output, &'static str>
where
    F: Future + Send,
    F::Output: Send,
    R: Send,
    A: Send,
{
    let mut call = pin!(call);
    let chain = Chain::here();
    let mut next = next(runtime, desk, call.as_mut())?;
    loop {
        let request = match next {
            Next::Done(outcome) => return Ok(outcome),
            Next::Asked(request) => request,
        };
        next = thread::scope(|scope| {
            let keep = || chain.within(|| self::next(runtime, desk, call.as_mut()));
            let keeper = thread::Builder::new().name(KEEPER.into());
            // Without a thread to be had, the call goes on afterwards.
            let keeper = match keeps {
                true => keeper.spawn_scoped(scope, keep).ok(),
                false => None,
            };
            request.serve(&mut work);
            keeper.map(|keeper| keeper.join().unwrap_or_else(|panic| resume_unwind(panic)))
        })
        .unwrap_or_else(|| self::next(runtime, desk, call.as_mut()))?;
    }
}

enum Next<T, R, A> {
    Done(T),
    Asked(Request<R, A>),
}

fn next<F, R, A>(
    runtime: &dyn AnyRuntime,
    desk: &Desk<R, A>,
    mut call: Pin<&mut F>,
) -> Result<Next<F::Output, R, A>, &'static str>
where
    F: Future + Send,
    F::Output: Send,
    R: Send,
    A: Send,
{
    let next = poll_fn(|cx| {
        if let Poll::Ready(outcome) = call.as_mut().poll(cx) {
            return Poll::Ready(Next::Done(outcome));
        }
        // It asks while it is polled.
        desk.take()
            .map_or(Poll::Pending, |request| Poll::Ready(Next::Asked(request)))
    });
    outcome(runtime, next)
}

/// The name of the thread.
const KEEPER: &str = "jetcache-lease";

const UNFINISHED: &str = "the runtime has ended in the middle of the call";
