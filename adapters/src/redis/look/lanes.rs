//! Reads of many callers at once, sent together.
//!
//! A read that finds a place goes out at once, in its caller's own task. There is a place for each
//! connection, so a big value, or a connection that answers nothing, holds up what shares its place and
//! nothing else. What comes while all places are taken gathers, and goes out as one `MGET` when a place is
//! free, or when it is so much that it need not wait. Then a task of the runtime carries it, so that no
//! caller that gives up, or is not polled any more, takes the others' answers along; only when all of them
//! have given up it is given up.
//!
//! Reads may be sent twice. So whoever loses the task that carried its keys, with the runtime or because
//! the server refused the whole for the sake of one key, asks again by itself.

use std::collections::VecDeque;
use std::fmt;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Wake, Waker};

use jetcache_core::Fault;
use jetcache_core::ports::remote::Wire;

use crate::redis::connection::host::{Home, Host};
use crate::redis::connection::line::Line;
use crate::redis::connection::runtimes::{here, home};
use crate::redis::look::gathering::{Gathering, Outcomes, Waiting};
use crate::redis::look::{ask, read};

/// The lanes of one handle: one for each runtime and format.
pub(in crate::redis) struct Lanes {
    line: Arc<dyn Line>,
    /// How many places each lane has: as many as there are connections.
    width: usize,
    lanes: Mutex<Vec<Arc<Lane>>>,
}

struct Lane {
    line: Arc<dyn Line>,
    host: &'static Host,
    home: Home,
    wire: Wire,
    traffic: Mutex<Traffic>,
    /// How many keys need not wait for a place.
    enough: AtomicUsize,
}

struct Traffic {
    /// The places that are free, each the number of its connection. They are taken in turn.
    free: VecDeque<usize>,
    /// What came meanwhile.
    gathering: Option<Gathering>,
}

/// How a read goes on.
enum Entered {
    /// It has a place of its own.
    Alone(Place),
    /// Others take it along.
    Gathered(Waiting),
}

impl Lanes {
    /// Lanes with so many places each.
    pub(in crate::redis) fn new(line: &Arc<dyn Line>, width: usize) -> Self {
        Self {
            line: Arc::clone(line),
            width,
            lanes: Mutex::default(),
        }
    }

    pub(in crate::redis) async fn read(&self, keys: &[&str], wire: Wire) -> Outcomes {
        if !(1..=MOST_GATHERED).contains(&keys.len()) {
            return read(&*self.line, keys, wire, None).await;
        }
        let lane = match self.lane(wire) {
            Ok(lane) => lane,
            Err(fault) => return keys.iter().map(|_| Err(fault.clone())).collect(),
        };
        match lane.enter(keys) {
            Entered::Alone(place) => {
                let reading = read(&*self.line, keys, wire, Some(place.number));
                until_woken(place, reading).await
            }
            Entered::Gathered(waiting) => match waiting.answer().await {
                Some(outcomes) => outcomes,
                None => read(&*self.line, keys, wire, None).await,
            },
        }
    }

    /// The lane of the runtime that the caller stands in. A new one takes the place of those that
    /// nobody uses.
    fn lane(&self, wire: Wire) -> Result<Arc<Lane>, Fault> {
        let own = home().map(|(_, home)| home);
        let is_own = |lane: &&Arc<Lane>| Some(lane.home) == own && lane.wire == wire;
        if let Some(lane) = self.lanes().iter().find(is_own) {
            return Ok(Arc::clone(lane));
        }
        // Asked once a lane: whether connections can be had here does not change.
        let (host, home) = here()?;
        let lane = Arc::new(Lane {
            line: Arc::clone(&self.line),
            host,
            home,
            wire,
            traffic: Mutex::new(Traffic {
                free: (0..self.width).collect(),
                gathering: None,
            }),
            enough: AtomicUsize::new(MOST_TOGETHER),
        });
        let mut lanes = self.lanes();
        if let Some(lane) = lanes.iter().find(is_own) {
            return Ok(Arc::clone(lane));
        }
        lanes.retain(|lane| Arc::strong_count(lane) > 1);
        lanes.push(Arc::clone(&lane));
        Ok(lane)
    }

    fn lanes(&self) -> MutexGuard<'_, Vec<Arc<Lane>>> {
        self.lanes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Lane {
    /// Called in the lane's own runtime.
    fn enter(self: &Arc<Self>, keys: &[&str]) -> Entered {
        let mut traffic = self.traffic();
        if let Some(number) = traffic.free.pop_front() {
            let lane = Arc::clone(self);
            return Entered::Alone(Place { lane, number });
        }
        let gathering = traffic.gathering.get_or_insert_default();
        let waiting = gathering.join(keys);
        let is_enough = gathering.len() >= self.enough.load(Ordering::Relaxed);
        let full = traffic.gathering.take_if(|_| is_enough);
        drop(traffic);
        if let Some(full) = full {
            let lane = Arc::clone(self);
            (self.host.spawn)(Box::pin(async move { lane.carry(full, None).await }));
        }
        Entered::Gathered(waiting)
    }

    /// Reads for all who have gathered, as long as one of them waits.
    async fn carry(&self, gathering: Gathering, connection: Option<usize>) {
        let Some(found) = self.ask(&gathering, connection).await else {
            return;
        };
        match found {
            Ok(found) => {
                self.weigh(&found);
                gathering.hand_out(found);
            }
            // Maybe of one key alone: each asks again by itself.
            Err(Fault::Refused(_)) if gathering.askers() > 1 => {}
            Err(fault) => gathering.fail(&fault),
        }
    }

    async fn ask(
        &self,
        gathering: &Gathering,
        connection: Option<usize>,
    ) -> Option<Result<Outcomes, Fault>> {
        let keys = gathering.keys();
        let mut forsaken = pin!(gathering.forsaken());
        let mut asking = pin!(ask(&*self.line, &keys, self.wire, connection));
        poll_fn(|context| {
            if forsaken.as_mut().poll(context).is_ready() {
                return Poll::Ready(None);
            }
            asking.as_mut().poll(context).map(Some)
        })
        .await
    }

    /// Bounds what goes together next by the size of what was found: an answer comes as a whole.
    fn weigh(&self, found: &Outcomes) {
        let sizes = found.iter().flatten().flatten().map(|it| it.bytes.len());
        let mean = sizes.sum::<usize>() / found.len().max(1);
        let enough = MOST_BYTES / mean.max(1);
        let enough = enough.clamp(FEWEST_TOGETHER, MOST_TOGETHER);
        self.enough.store(enough, Ordering::Relaxed);
    }

    fn is_here(&self) -> bool {
        home().is_some_and(|(_, home)| home == self.home)
    }

    fn traffic(&self) -> MutexGuard<'_, Traffic> {
        self.traffic.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One of a lane's places. Whoever leaves it, answered or not, leaves it to those who gathered.
struct Place {
    lane: Arc<Lane>,
    number: usize,
}

impl Drop for Place {
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

/// Does a caller's work, which keeps its place until it is woken: an answer that is there makes room even
/// if the caller is not polled any more.
async fn until_woken<T>(place: Place, work: impl Future<Output = T>) -> T {
    let stay = Arc::new(Stay {
        place: Mutex::new(Some(place)),
        caller: Mutex::default(),
    });
    let waker = Waker::from(Arc::clone(&stay));
    let _end = End(&stay);
    let mut work = pin!(work);
    poll_fn(|context| {
        *stay.caller() = Some(context.waker().clone());
        work.as_mut().poll(&mut Context::from_waker(&waker))
    })
    .await
}

/// A caller with a place.
struct Stay {
    place: Mutex<Option<Place>>,
    caller: Mutex<Option<Waker>>,
}

impl Stay {
    fn end(&self) {
        let place = {
            let mut place = self.place.lock().unwrap_or_else(PoisonError::into_inner);
            place.take()
        };
        // Where no lock is held: it may start a task.
        drop(place);
    }

    fn caller(&self) -> MutexGuard<'_, Option<Waker>> {
        self.caller.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Wake for Stay {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.end();
        let caller = self.caller().take();
        if let Some(caller) = caller {
            caller.wake();
        }
    }
}

/// The end of a caller's work, or of its patience.
struct End<'a>(&'a Stay);

impl Drop for End<'_> {
    fn drop(&mut self) {
        self.0.end();
    }
}

/// What a task with one of a lane's places does. Dropped before it gave that up, it has lost its
/// runtime, and those who gathered ask by themselves.
struct Course {
    lane: Arc<Lane>,
    /// Its place, until it gives that up.
    number: Option<usize>,
}

impl Course {
    /// Takes what has gathered to the server, again and again, until nothing has.
    async fn go_on(mut self) {
        while let Some(gathering) = self.next() {
            let were_many = gathering.askers() > 1;
            self.lane.carry(gathering, self.number).await;
            if were_many {
                // Those that were answered are about to run, and may ask for more.
                let_others_run().await;
            }
        }
    }

    /// What has gathered; without it the place is given up.
    fn next(&mut self) -> Option<Gathering> {
        let mut traffic = self.lane.traffic();
        let gathering = traffic.gathering.take();
        if gathering.is_none() {
            traffic.free.extend(self.number.take());
        }
        gathering
    }
}

impl Drop for Course {
    fn drop(&mut self) {
        if let Some(number) = self.number {
            let left = self.lane.traffic().leave(number);
            drop(left);
        }
    }
}

impl Traffic {
    /// Gives a place up. What is returned is to be dropped where no lock is held.
    fn leave(&mut self, number: usize) -> Option<Gathering> {
        self.free.push_back(number);
        self.gathering.take()
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

impl fmt::Debug for Lanes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lanes")
            .field("width", &self.width)
            .field("lanes", &self.lanes().len())
            .finish_non_exhaustive()
    }
}

/// A read of more keys is many already, and waits for nobody.
const MOST_GATHERED: usize = 64;
/// How many keys go together at most, but for the last reader's: the server does nothing else meanwhile.
const MOST_TOGETHER: usize = 512;
/// And at least, however big the values are.
const FEWEST_TOGETHER: usize = 4;
/// How many bytes an answer should have at most.
const MOST_BYTES: usize = 512 * 1024;
