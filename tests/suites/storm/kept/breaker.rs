//! Kept cases of the breaker: each rule of when it opens, what is sent meanwhile, and what follows when
//! it closes, in the fewest steps.

use std::future::Future;
use std::time::Duration;

use futures_util::future::{join_all, join3};
use jetcache_core::{Breaker, BreakerState, BusState, Cache, Reach, Runtime};

use crate::fate::judge::Judge;
use crate::fate::ledger::Key;
use crate::kept::play;
use crate::world::bus::{Air, Bus};
use crate::world::codec::Fickle;
use crate::world::net::Net;
use crate::world::time::World;
use crate::world::weather::Weather;

type Node = Cache<Key, u64>;

/// A node whose L2 can be broken and healed.
#[derive(Clone)]
struct Stage {
    world: World,
    judge: Judge,
    net: Net,
    air: Air,
    node: Node,
}

impl Stage {
    /// In this weather, which is not there yet.
    fn of(weather: Weather, breaker: Breaker) -> Self {
        Self::on(Bus::None, weather, breaker)
    }

    /// The same with a bus on the same server, if there is one.
    fn on(bus: Bus, weather: Weather, breaker: Breaker) -> Self {
        let world = World::new(0);
        let judge = Judge::new(&world);
        let air = Air::calm(&world, &judge, bus);
        let net = Net::new(&world, &judge, weather).on(&air);
        net.heal();
        let builder = Cache::builder("kept", world.clone())
            .remote(net.clone(), Fickle)
            .remote_timeout(SECOND)
            .breaker(breaker)
            .observer(judge.circuits().of(0, breaker));
        let builder = match bus {
            Bus::None => builder,
            _ => builder.bus(air.antenna(0)),
        };
        let node = builder.build().unwrap();
        Self {
            world,
            judge,
            net,
            air,
            node,
        }
    }

    /// Plays this case, in which no promise may be broken.
    fn play<F: Future<Output = ()> + Send + 'static>(self, case: impl FnOnce(Self) -> F) {
        play(&self.world, case(self.clone()));
        let broken = self.judge.broken();
        assert!(
            broken.is_none(),
            "kept case, step {}: {}",
            self.world.ticks(),
            broken.unwrap_or_default()
        );
    }

    fn rule(&self, holds: bool, text: &str) {
        let step = self.world.ticks();
        assert!(holds, "kept case, step {step}: P3 is broken: {text}");
    }

    /// One call.
    async fn calls(&self) {
        let _ = self.node.get(&1).await;
    }

    /// Whether L2 is asked by a call.
    async fn asks(&self) -> bool {
        let before = self.node.stats().remote_not_asked;
        self.calls().await;
        self.node.stats().remote_not_asked == before
    }

    /// One call that fails, if it is sent.
    async fn fails(&self) {
        self.net.ail();
        self.calls().await;
        self.net.heal();
    }

    /// Breaks L2 for good, and makes it known.
    async fn opens(&self) {
        self.net.ail();
        while self.is_closed() {
            self.calls().await;
        }
    }

    fn is_closed(&self) -> bool {
        self.node.stats().breaker == BreakerState::Closed
    }

    async fn sleep(&self, millis: u32) {
        self.world.sleep(MILLI * millis).await;
    }

    /// Waits until it is closed.
    async fn until_closed(&self) {
        while !self.is_closed() {
            self.sleep(1).await;
        }
    }
}

/// Everything fails at once.
fn broken() -> Weather {
    Weather {
        errors: 100,
        ..Weather::calm()
    }
}

/// Nothing is answered.
fn silent() -> Weather {
    Weather {
        lost: 100,
        ..Weather::calm()
    }
}

/// One that opens for no reason but those that a case gives it, and probes soon.
fn breaker() -> Breaker {
    let mut breaker = Breaker::default();
    breaker.consecutive_failures = 1000;
    breaker.least_calls = 1000;
    breaker.window = SECOND;
    breaker.first_pause = MILLI * 100;
    breaker.longest_pause = SECOND * 10;
    breaker.jitter_percent = 0;
    breaker
}

/// One that opens after so many failures in a row.
fn after(failures: u32) -> Breaker {
    let mut breaker = breaker();
    breaker.consecutive_failures = failures;
    breaker
}

#[test]
fn failures_in_a_row_open_it_and_an_answer_ends_the_row() {
    Stage::of(broken(), after(3)).play(async |stage| {
        for round in 0..3 {
            stage.fails().await;
            stage.fails().await;
            stage.rule(stage.asks().await, "an answer did not end the row");
            stage.rule(stage.is_closed(), &format!("it opens in round {round}"));
        }
        for _ in 0..3 {
            stage.rule(stage.is_closed(), "it opens too soon");
            stage.fails().await;
        }
        stage.rule(!stage.asks().await, "three failures do not open it");
    });
}

#[test]
fn half_of_the_calls_of_a_window_open_it_and_older_ones_do_not_count() {
    let mut half = breaker();
    half.least_calls = 4;
    Stage::of(broken(), half).play(async |stage| {
        for _ in 0..3 {
            stage.fails().await;
        }
        stage.rule(stage.is_closed(), "three calls say nothing");
        // Another tenth of a window than the one that has them.
        stage.sleep(2_150).await;
        stage.calls().await;
        stage.calls().await;
        stage.fails().await;
        stage.rule(stage.is_closed(), "what is long over counts");
        stage.fails().await;
        stage.rule(!stage.asks().await, "half of the calls do not open it");
    });
}

#[test]
fn slow_calls_count_where_that_was_chosen() {
    for chosen in [false, true] {
        let mut slow = breaker();
        slow.least_calls = 4;
        slow.slow_call = chosen.then_some(MILLI);
        Stage::of(Weather::slow(), slow).play(async move |stage| {
            for _ in 0..8 {
                stage.calls().await;
            }
            let asks = stage.asks().await;
            stage.rule(asks != chosen, &format!("slow calls, chosen: {chosen}"));
        });
    }
}

#[test]
fn what_one_connection_took_along_counts_as_one() {
    let weather = Weather {
        single: 100,
        latency: 50,
        ..Weather::calm()
    };
    Stage::of(weather, after(5)).play(async |stage| {
        stage.net.ail();
        let keys: Vec<Key> = (0..32).collect();
        join_all(keys.iter().map(|key| stage.node.get(key))).await;
        stage.rule(stage.is_closed(), "one broken connection opens it");
    });
}

/// The judge looks on: it counts what is sent, and when.
#[test]
fn while_it_is_open_one_probe_at_a_time_is_sent_after_pauses_that_grow() {
    for weather in [broken(), silent()] {
        Stage::of(weather, after(2)).play(async |stage| {
            stage.opens().await;
            for _ in 0..300 {
                let (asked, reach) = (stage.asks().await, stage.node.invalidate(&2).await);
                stage.rule(!asked && reach == Reach::Pending, "a call is sent");
                stage.sleep(37).await;
            }
            stage.net.heal();
            stage.until_closed().await;
            stage.rule(stage.asks().await, "it is closed, and nothing is sent");
        });
    }
}

#[test]
fn it_closes_by_itself() {
    Stage::of(silent(), after(2)).play(async |stage| {
        stage.opens().await;
        stage.net.heal();
        stage.sleep(200).await;
        stage.rule(stage.is_closed(), "a probe is answered, and it stays open");
    });
}

#[test]
fn one_that_has_hardly_closed_goes_on_with_the_pauses_where_it_was() {
    Stage::of(broken(), after(2)).play(async |stage| {
        stage.opens().await;
        // Probes after 100, 300 and 700 ms.
        stage.sleep(350).await;
        stage.net.heal();
        stage.until_closed().await;
        stage.opens().await;
        stage.sleep(150).await;
        stage.net.heal();
        stage.sleep(500).await;
        stage.rule(!stage.is_closed(), "it has forgotten that");
        stage.sleep(300).await;
        stage.rule(stage.is_closed(), "the pause is longer than it was");
    });
}

#[test]
fn the_last_calls_of_an_outage_do_not_open_it_again() {
    Stage::of(silent(), after(2)).play(async |stage| {
        stage.net.ail();
        let first = async {
            join_all([1, 2].map(async |key| stage.node.get(&key).await)).await;
        };
        let last = async {
            stage.sleep(500).await;
            join_all([3, 4, 5].map(async |key| stage.node.get(&key).await)).await;
        };
        let back = async {
            stage.sleep(1_001).await;
            stage.rule(!stage.is_closed(), "two failures do not open it");
            stage.net.heal();
            stage.until_closed().await;
        };
        join3(first, last, back).await;
        stage.sleep(600).await;
        let opened = stage.node.stats().breaker_opened;
        stage.rule(opened == 1, &format!("it opened {opened} times"));
    });
}

#[test]
fn what_is_in_doubt_is_removed_when_it_closes() {
    Stage::of(broken(), after(2)).play(async |stage| {
        stage.opens().await;
        for key in 0..100 {
            let _ = stage.node.invalidate(&key).await;
        }
        let unconfirmed = |stage: &Stage| stage.node.activity().unconfirmed;
        stage.rule(unconfirmed(&stage) == 100, "nothing is in doubt");
        stage.net.heal();
        stage.until_closed().await;
        // The way there and back is a millisecond each.
        stage.sleep(10).await;
        stage.rule(unconfirmed(&stage) == 0, "it is left in doubt");
    });
}

/// It stands in the way for minutes, and is hardly gone when the bus hears again.
#[test]
fn the_bus_does_not_dial_a_server_whose_breaker_is_open() {
    for bus in [Bus::WithChange, Bus::Watched] {
        let mut patient = after(2);
        patient.longest_pause = SECOND * 20;
        Stage::on(bus, broken(), patient).play(async |stage| {
            stage.rule(
                stage.node.listen().await == BusState::Up,
                "it does not listen",
            );
            stage.opens().await;
            // A subscription that stands is left alone.
            stage.sleep(2_000).await;
            stage.rule(stage.node.bus() == BusState::Up, "it was cut");
            stage.air.cut_one();
            // Until the judge sees it dial, or the whole play is over.
            stage.sleep(15_000).await;
            stage.rule(stage.node.bus() == BusState::Down, "it is not cut");
            stage.rule(
                stage.node.listen().await == BusState::Down,
                "who asks is kept waiting",
            );
            stage.net.heal();
            stage.until_closed().await;
            stage.sleep(50).await;
            stage.rule(stage.node.bus() == BusState::Up, "it is still deaf");
        });
    }
}

const MILLI: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);
