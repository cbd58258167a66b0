//! Contestants that take turns, so that a machine whose speed drifts slows all of them.

use std::future::Future;
use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use nix::time::{ClockId, clock_gettime};

/// What one run of a contestant took.
#[derive(Clone, Copy, Debug)]
pub struct Run {
    operations: usize,
    seconds: f64,
    /// Seconds of this process's processors.
    cpu: f64,
}

impl Run {
    /// Times `operations` operations.
    pub fn of(operations: usize, work: impl FnOnce()) -> Self {
        let (cpu, begin) = (cpu_seconds(), Instant::now());
        work();
        Self {
            operations,
            seconds: begin.elapsed().as_secs_f64(),
            cpu: cpu_seconds() - cpu,
        }
    }

    /// The same one after another, each told its number.
    pub fn of_each(operations: usize, mut work: impl FnMut(usize)) -> Self {
        Self::of(operations, || (0..operations).for_each(&mut work))
    }

    /// The same for answers that are awaited and come at once. Each is awaited where it is made, as
    /// programs do it: to move a future costs as much as a good part of a hit.
    pub fn of_each_hit(operations: usize, mut work: impl AsyncFnMut(usize)) -> Self {
        let all = async {
            for i in 0..operations {
                work(i).await;
            }
        };
        Self::of(operations, || ready(all))
    }
}

/// Some contestants; the first is the one that all are compared with.
#[derive(Default)]
pub struct Contest<'a> {
    contestants: Vec<(String, Box<dyn FnMut() -> Run + 'a>)>,
    by_cpu: bool,
}

impl<'a> Contest<'a> {
    /// One whose ratios are those of processor time: for work that neither waits nor runs on more
    /// than one thread, so that what other programs take of the machine counts for nobody.
    pub fn by_cpu() -> Self {
        Self {
            by_cpu: true,
            ..Self::default()
        }
    }

    /// Takes in one more.
    pub fn enter(&mut self, name: impl Into<String>, run: impl FnMut() -> Run + 'a) {
        self.contestants.push((name.into(), Box::new(run)));
    }

    /// Lets all run in turn, `rounds` times and once before that to warm up. Each round begins
    /// with another one.
    pub fn run(mut self, rounds: usize) -> Vec<Score> {
        let count = self.contestants.len();
        let mut runs: Vec<Vec<Run>> = vec![Vec::new(); count];
        for round in 0..=rounds {
            for at in (0..count).map(|at| (at + round) % count) {
                let run = (self.contestants[at].1)();
                if round > 0 {
                    runs[at].push(run);
                }
            }
        }
        let took = |run: &Run| match self.by_cpu {
            true => run.cpu / run.operations as f64,
            false => run.seconds / run.operations as f64,
        };
        let base: Vec<f64> = runs[0].iter().map(took).collect();
        let scores = self.contestants.into_iter().zip(runs);
        scores
            .map(|((name, _), runs)| {
                let times = runs.iter().map(took);
                Score {
                    name,
                    ratio: Range::of(times.clone().zip(&base).map(|(ours, base)| ours / base)),
                    time: Range::of(times),
                    cpu: Range::of(runs.iter().map(|run| run.cpu / run.operations as f64)),
                }
            })
            .collect()
    }
}

/// How a contestant did.
pub struct Score {
    pub name: String,
    /// Seconds an operation: of the clock, or of the processors if the contest goes by them.
    pub time: Range,
    /// Of the processors, an operation.
    pub cpu: Range,
    /// Its time over that of the first contestant, round by round.
    pub ratio: Range,
}

/// The median of some figures, the least and the greatest.
#[derive(Clone, Copy, Debug)]
pub struct Range {
    pub least: f64,
    pub median: f64,
    pub most: f64,
}

impl Range {
    pub fn of(figures: impl Iterator<Item = f64>) -> Self {
        let mut sorted: Vec<f64> = figures.collect();
        sorted.sort_by(f64::total_cmp);
        Self {
            least: sorted[0],
            median: sorted[sorted.len() / 2],
            most: sorted[sorted.len() - 1],
        }
    }

    /// One over each: times become speeds.
    pub fn inverse(self) -> Self {
        Self {
            least: 1.0 / self.most,
            median: 1.0 / self.median,
            most: 1.0 / self.least,
        }
    }
}

/// The answer of a future that does not wait, such as a hit in L1.
pub fn ready<T>(future: impl Future<Output = T>) -> T {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => value,
        Poll::Pending => unreachable!("a hit does not wait"),
    }
}

/// Runs `work` on as many threads at once, each told its number.
pub fn on_threads(threads: usize, work: impl Fn(usize) + Sync) {
    std::thread::scope(|scope| {
        for number in 0..threads {
            let work = &work;
            scope.spawn(move || work(number));
        }
    });
}

/// What the processors spent on this process. `getrusage` counts in ticks of the kernel on some
/// machines; this clock is exact.
fn cpu_seconds() -> f64 {
    let spent = clock_gettime(ClockId::CLOCK_PROCESS_CPUTIME_ID);
    Duration::from(spent.expect("a process may ask for its own time")).as_secs_f64()
}
