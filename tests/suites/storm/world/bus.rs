//! The bus and the air between the nodes: it delays, doubles and reorders words, and loses only
//! those that a subscription which was cut would have heard.

use std::collections::VecDeque;
use std::future::{pending, poll_fn};
use std::panic::resume_unwind;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Poll, Waker};
use std::time::Duration;

use jetcache_core::machine::generations::scope::RaiseEvent;
use jetcache_core::ports::bus::{self, Kind, Message, News, Subscription, Telling};
use jetcache_core::{Fault, Runtime};

use crate::fate::judge::Judge;
use crate::fate::ledger::{Floor, Key};
use crate::fate::tags::{MOST_KEYS, keys_of};
use crate::world::time::World;

/// How the nodes hear of each other's changes (core's `Telling`, or no bus at all).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Bus {
    /// Not at all.
    None,
    /// The node that made the change publishes it.
    Publish,
    /// L2 does, in the same step as the change.
    WithChange,
    /// L2 shows whatever is written under a key, by whomsoever.
    Watched,
}

#[derive(Clone)]
pub(crate) struct Air {
    world: World,
    judge: Judge,
    bus: Bus,
    weather: Weather,
    healed: Arc<AtomicBool>,
    lines: Arc<Mutex<Vec<Line>>>,
    said: Arc<AtomicUsize>,
    slow: Arc<Mutex<Duration>>,
    /// The first of the numbers by which its lives know their L2.
    server: u64,
}

/// How bad it is: chances in hundredths.
#[derive(Clone, Copy, Debug, Default)]
struct Weather {
    late: u64,
    doubled: u64,
    overflows: u64,
    fails: u64,
    hangs: u64,
    panics: u64,
}

/// What a subscription hears, in its turn.
#[derive(Clone)]
struct Line {
    life: usize,
    queue: Arc<Mutex<Queue>>,
}

#[derive(Default)]
struct Queue {
    signals: VecDeque<Signal>,
    waker: Option<Waker>,
    /// Nothing arrives any more.
    cut: bool,
}

enum Signal {
    News(News, About),
    Broken,
    Panic,
}

/// What a word is about.
#[derive(Clone, Debug)]
enum About {
    /// The listening node said it itself, and may ignore it.
    Own,
    Keys(Vec<Key>),
    /// A raise, and since when each of its keys has nothing older.
    Raise(Vec<(Key, Floor)>),
    Everything,
}

impl Air {
    pub(crate) fn of(world: &World, judge: &Judge) -> Self {
        let bus = match world.below(8) {
            0..4 => Bus::None,
            4 => Bus::Publish,
            5 | 6 => Bus::WithChange,
            _ => Bus::Watched,
        };
        let mut air = Self::calm(world, judge, bus);
        if bus != Bus::None && world.percent(70) {
            let bad = |most| world.below(most);
            air.weather = Weather {
                late: bad(30),
                doubled: bad(20),
                overflows: bad(4),
                fails: bad(30),
                hangs: bad(10),
                panics: bad(5),
            };
        }
        air
    }

    pub(crate) fn calm(world: &World, judge: &Judge, bus: Bus) -> Self {
        Self {
            world: world.clone(),
            judge: judge.clone(),
            bus,
            weather: Weather::default(),
            healed: Arc::default(),
            lines: Arc::default(),
            said: Arc::default(),
            slow: Arc::default(),
            server: SERVERS.fetch_add(LIVES, Ordering::Relaxed),
        }
    }

    /// The number of L2 for a life of a node: a breaker is a node's own.
    pub(crate) fn server(&self, life: usize) -> u64 {
        self.server + life as u64
    }

    pub(crate) fn bus(&self) -> Bus {
        self.bus
    }

    /// Makes every way longer by this much.
    pub(crate) fn slow_down(&self, by: Duration) {
        *self.slow.lock().unwrap() = by;
    }

    pub(crate) fn heal(&self) {
        self.healed.store(true, Ordering::SeqCst);
    }

    /// The bus of one life of a node.
    pub(crate) fn antenna(&self, life: usize) -> Antenna {
        let air = self.clone();
        Antenna { air, life }
    }

    /// How many messages were said.
    pub(crate) fn said(&self) -> usize {
        self.said.load(Ordering::SeqCst)
    }

    /// Cuts one subscription, which notices at once or after a while.
    pub(crate) fn cut_one(&self) {
        let line = {
            let mut lines = self.lines();
            if lines.is_empty() {
                return;
            }
            let at = usize::try_from(self.world.below(lines.len() as u64)).unwrap();
            lines.swap_remove(at)
        };
        line.queue.lock().unwrap().cut = true;
        let end = match self.world.below(3) {
            0 => Signal::Panic,
            _ => Signal::Broken,
        };
        let silent = match self.world.percent(50) {
            true => 0,
            false => self.world.below(10_000),
        };
        let world = self.world.clone();
        self.world.begin(async move {
            world.sleep(Duration::from_millis(silent)).await;
            line.hears(end);
        });
    }

    /// A node says something, or L2 does in its name.
    pub(crate) fn say(&self, life: usize, message: Message) {
        self.said.fetch_add(1, Ordering::SeqCst);
        let about = match message.kind {
            Kind::Everything => About::Everything,
            Kind::Raise => self.raise_in(&message),
            _ => About::Keys(message.keys.iter().filter_map(|key| key_of(key)).collect()),
        };
        self.spread(Some(life), &News::Message(message), &about);
    }

    /// L2 shows that these keys were written.
    pub(crate) fn show(&self, keys: &[String]) {
        // Of the log it only says that there is more to be read.
        let about = About::Keys(keys.iter().filter_map(|key| key_of(key)).collect());
        self.spread(None, &News::Changed(keys.to_vec()), &about);
    }

    fn raise_in(&self, message: &Message) -> About {
        let prefix = format!("{}:", message.cache);
        let texts = message
            .keys
            .iter()
            .filter_map(|text| text.strip_prefix(&*prefix));
        let event = RaiseEvent::parse(texts).unwrap();
        let (_, number) = event.numbers.unwrap();
        let floor = Floor::of_raise(self.judge.numbered(number.number()));
        let keys = keys_of(&event.scopes, &prefix);
        About::Raise(keys.into_iter().map(|key| (key, floor)).collect())
    }

    fn spread(&self, life: Option<usize>, news: &News, about: &About) {
        let lines = self.lines().clone();
        for line in lines {
            let about = match life == Some(line.life) {
                true => About::Own,
                false => about.clone(),
            };
            let signal = match self.happens(self.weather.overflows) {
                true => (News::Everything, About::Everything),
                false => (news.clone(), about),
            };
            let copies = 1 + u64::from(self.happens(self.weather.doubled));
            for _ in 0..copies {
                self.carry(line.clone(), signal.clone());
            }
        }
    }

    fn carry(&self, line: Line, (news, about): (News, About)) {
        let most = match self.happens(self.weather.late) {
            true => [50, 500, 10_000][self.world.below(3) as usize],
            false => 5,
        };
        let way = Duration::from_millis(self.world.below(most));
        let world = self.world.clone();
        self.world.begin(async move {
            world.sleep(way).await;
            if !line.queue.lock().unwrap().cut {
                line.hears(Signal::News(news, about));
            }
        });
    }

    fn happens(&self, of: u64) -> bool {
        !self.healed.load(Ordering::SeqCst) && self.world.percent(of)
    }

    /// What may happen to a node that publishes or subscribes.
    async fn obstructs(&self) -> Result<(), Fault> {
        let way = Duration::from_millis(self.world.below(5));
        let slow = *self.slow.lock().unwrap();
        self.world.sleep(way + slow).await;
        if self.happens(self.weather.hangs) {
            return pending().await;
        }
        if self.happens(self.weather.panics) {
            resume_unwind(Box::new("the bus"));
        }
        if self.happens(self.weather.fails) {
            return Err(away());
        }
        Ok(())
    }

    fn lines(&self) -> MutexGuard<'_, Vec<Line>> {
        self.lines.lock().unwrap()
    }
}

/// The bus as one life of a node sees it.
#[derive(Clone)]
pub(crate) struct Antenna {
    air: Air,
    life: usize,
}

impl Antenna {
    fn dials(&self) {
        if let Bus::WithChange | Bus::Watched = self.air.bus {
            self.air.judge.dials(self.life);
        }
    }
}

impl bus::Bus for Antenna {
    type Subscription = Ear;

    fn telling(&self) -> Telling {
        match self.air.bus {
            Bus::None | Bus::Publish => Telling::Publish,
            Bus::WithChange => Telling::WithChange {
                server: self.air.server(self.life),
                channel: "air".into(),
            },
            Bus::Watched => Telling::Watched {
                server: self.air.server(self.life),
            },
        }
    }

    async fn subscribe(&self, _: &[String]) -> Result<Ear, Fault> {
        self.dials();
        self.air.obstructs().await?;
        let line = Line {
            life: self.life,
            queue: Arc::default(),
        };
        self.air.lines().push(line.clone());
        let mut ear = Ear {
            air: self.air.clone(),
            line,
            unheard: Vec::new(),
        };
        self.air.obstructs().await?;
        // From now on no read may show what was missed while nobody listened.
        ear.hands_out(&About::Everything);
        Ok(ear)
    }

    async fn publish(&self, messages: &[Message]) -> Result<(), Fault> {
        self.dials();
        for message in messages {
            self.air.obstructs().await?;
            self.air.say(self.life, message.clone());
        }
        // It may fail after it was heard.
        self.air.obstructs().await
    }
}

/// One subscription.
pub(crate) struct Ear {
    air: Air,
    line: Line,
    /// The floors that hold once the node has taken in the last news.
    unheard: Vec<(Key, Floor)>,
}

impl Ear {
    fn hands_out(&mut self, about: &About) {
        let keys = match about {
            About::Own => return,
            About::Keys(keys) => keys.clone(),
            About::Raise(raised) => {
                let keys: Vec<Key> = raised.iter().map(|(key, _)| *key).collect();
                self.air.judge.hands_out_raise(self.line.life, &keys);
                self.unheard.clone_from(raised);
                return;
            }
            About::Everything => (0..MOST_KEYS).collect(),
        };
        self.unheard = self.air.judge.hands_out(self.line.life, &keys);
    }
}

impl Subscription for Ear {
    async fn next(&mut self) -> Result<News, Fault> {
        // A node that asks for more has taken in what came before.
        let heard = std::mem::take(&mut self.unheard);
        self.air.judge.heard(self.line.life, heard);
        let signal = poll_fn(|cx| {
            let mut queue = self.line.queue.lock().unwrap();
            match queue.signals.pop_front() {
                Some(signal) => Poll::Ready(signal),
                None => {
                    queue.waker = Some(cx.waker().clone());
                    Poll::Pending
                }
            }
        })
        .await;
        match signal {
            Signal::News(news, about) => {
                self.hands_out(&about);
                Ok(news)
            }
            Signal::Broken => Err(away()),
            Signal::Panic => resume_unwind(Box::new("the subscription")),
        }
    }
}

impl Drop for Ear {
    fn drop(&mut self) {
        let own = |line: &Line| Arc::ptr_eq(&line.queue, &self.line.queue);
        self.air.lines().retain(|line| !own(line));
    }
}

impl Line {
    fn hears(&self, signal: Signal) {
        let waker = {
            let mut queue = self.queue.lock().unwrap();
            queue.signals.push_back(signal);
            queue.waker.take()
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

/// The key that this text stands for, if it is none of the log's.
pub(crate) fn key_of(text: &str) -> Option<Key> {
    let (_, key) = text.rsplit_once(':')?;
    key.parse().ok()
}

fn away() -> Fault {
    Fault::Unreachable("the air".into())
}

/// Numbers that no other L2 of this process has.
static SERVERS: AtomicU64 = AtomicU64::new(0);
/// How many lives a storm has at most.
const LIVES: u64 = 1 << 20;
