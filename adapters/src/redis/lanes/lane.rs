//! A lane: its places, and what gathers while they are taken.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::pin::pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Poll;

use jetcache_core::Fault;

use crate::redis::connection::host::{Home, Host};
use crate::redis::connection::line::Line;
use crate::redis::connection::runtimes::{here, home};
use crate::redis::lanes::cargo::{Cargo, Outcomes};
use crate::redis::lanes::gathering::{Askers, Gathering, Waiting};

/// Where what gathers goes out together.
pub(super) struct Lane<C: Cargo> {
    line: Arc<dyn Line>,
    host: &'static Host,
    pub(super) home: Home,
    pub(super) sort: C::Sort,
    traffic: Mutex<Traffic<C>>,
    /// How much need not wait for a place.
    bound: AtomicUsize,
}

struct Traffic<C: Cargo> {
    /// The places that are free, each the number of its connection. They are taken in turn.
    free: VecDeque<usize>,
    /// What came meanwhile.
    gathering: Option<Gathering<C>>,
}

/// How what was asked for goes on.
pub(super) enum Entered<C: Cargo> {
    /// It has a place of its own.
    Alone(Place<C>),
    /// It goes with others.
    Gathered(Waiting<C>),
}

impl<C: Cargo> Lane<C> {
    /// A lane with so many places, in the runtime that the caller stands in.
    ///
    /// # Errors
    /// Why connections cannot be had there.
    pub(super) fn here(line: Arc<dyn Line>, sort: C::Sort, width: usize) -> Result<Self, Fault> {
        let (host, home) = here()?;
        Ok(Self {
            line,
            host,
            home,
            sort,
            traffic: Mutex::new(Traffic {
                free: (0..width).collect(),
                gathering: None,
            }),
            bound: AtomicUsize::new(C::BOUND),
        })
    }

    /// Called in the lane's own runtime.
    pub(super) fn enter(self: &Arc<Self>, ask: C::Ask<'_>) -> Entered<C> {
        // Woken, a caller has lost its place: one that is out of time would lose it at once.
        let is_carrier = C::may_repeat(self.sort) && (self.host.has_time)();
        let mut traffic = self.traffic();
        if is_carrier && let Some(number) = traffic.free.pop_front() {
            let lane = Arc::clone(self);
            return Entered::Alone(Place { lane, number });
        }
        let gathering = traffic.gathering.get_or_insert_default();
        let waiting = gathering.join(ask);
        let bound = self.bound.load(Ordering::Relaxed);
        let is_full = gathering.cargo.is_full(bound);
        let full = traffic.gathering.take_if(|_| is_full);
        // What is sent once first looks whether its connection lives. A caller that is not polled meanwhile
        // would keep its place, so a task has it.
        let number = match full {
            Some(_) => None,
            None => traffic.free.pop_front(),
        };
        drop(traffic);
        if let Some(full) = full {
            let lane = Arc::clone(self);
            (self.host.spawn)(Box::pin(async move { lane.carry(full, None).await }));
        }
        if number.is_some() {
            let lane = Arc::clone(self);
            (self.host.spawn)(Box::pin(Course { lane, number }.go_on()));
        }
        Entered::Gathered(waiting)
    }

    /// Sends what has gathered, as long as one of its askers waits.
    async fn carry(&self, gathering: Gathering<C>, connection: Option<usize>) {
        let Gathering { cargo, mut askers } = gathering;
        let Some(sent) = self.send(&cargo, &mut askers, connection).await else {
            return;
        };
        match sent {
            Ok(outcomes) => {
                let bound = cargo.bound(&outcomes);
                if bound != self.bound.load(Ordering::Relaxed) {
                    self.bound.store(bound, Ordering::Relaxed);
                }
                askers.hand_out(outcomes);
            }
            // Maybe of one of them alone: each asks again by itself.
            Err(Fault::Refused(_)) if askers.count() > 1 && C::may_repeat(self.sort) => {}
            Err(fault) => askers.fail(&fault),
        }
    }

    async fn send(
        &self,
        cargo: &C,
        askers: &mut Askers<C>,
        connection: Option<usize>,
    ) -> Option<Result<Outcomes<C>, Fault>> {
        let mut sending = pin!(cargo.send_all(&*self.line, self.sort, connection));
        poll_fn(|context| {
            if askers.poll_forsaken(context).is_ready() {
                return Poll::Ready(None);
            }
            askers.set_out();
            sending.as_mut().poll(context).map(Some)
        })
        .await
    }

    fn is_here(&self) -> bool {
        home().is_some_and(|(_, home)| home == self.home)
    }

    fn traffic(&self) -> MutexGuard<'_, Traffic<C>> {
        self.traffic.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<C: Cargo> Traffic<C> {
    /// Gives a place up. What is returned is to be dropped where no lock is held.
    fn leave(&mut self, number: usize) -> Option<Gathering<C>> {
        self.free.push_back(number);
        self.gathering.take()
    }
}

/// One of a lane's places. Whoever leaves it, answered or not, leaves it to those who gathered.
pub(super) struct Place<C: Cargo> {
    lane: Arc<Lane<C>>,
    pub(super) number: usize,
}

impl<C: Cargo> Drop for Place<C> {
    fn drop(&mut self) {
        // A future may be dropped anywhere.
        let is_here = self.lane.is_here();
        let mut traffic = self.lane.traffic();
        if is_here && traffic.gathering.is_some() {
            drop(traffic);
            let course = Course {
                lane: Arc::clone(&self.lane),
                number: Some(self.number),
            };
            (self.lane.host.spawn)(Box::pin(course.go_on()));
        } else {
            let left = traffic.leave(self.number);
            drop(traffic);
            drop(left);
        }
    }
}

/// What a task with one of a lane's places does. Dropped before it gave that up, it has lost its
/// runtime, and those who gathered ask by themselves.
struct Course<C: Cargo> {
    lane: Arc<Lane<C>>,
    /// Its place, until it gives that up.
    number: Option<usize>,
}

impl<C: Cargo> Course<C> {
    /// Takes what has gathered to the server, again and again, until nothing has.
    async fn go_on(mut self) {
        while let Some(gathering) = self.next() {
            let were_many = gathering.askers.count() > 1;
            self.lane.carry(gathering, self.number).await;
            if were_many {
                // Those that were answered are about to run, and may ask for more.
                let_others_run().await;
            }
        }
    }

    /// What has gathered; without it the place is given up.
    fn next(&mut self) -> Option<Gathering<C>> {
        let mut traffic = self.lane.traffic();
        let gathering = traffic.gathering.take();
        if gathering.is_none() {
            traffic.free.extend(self.number.take());
        }
        gathering
    }
}

impl<C: Cargo> Drop for Course<C> {
    fn drop(&mut self) {
        if let Some(number) = self.number {
            let left = self.lane.traffic().leave(number);
            drop(left);
        }
    }
}

/// Lets the tasks run that are ready now.
async fn let_others_run() {
    let mut was_here = false;
    poll_fn(|context| {
        if std::mem::replace(&mut was_here, true) {
            return Poll::Ready(());
        }
        context.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}
