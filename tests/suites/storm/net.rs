//! The shipping table of the in-process L2, behind a network.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_channel::oneshot::channel;
use jetcache_adapters::memory::Table;
use jetcache_core::ports::remote::{
    Claim, Fill, Filled, Found, Hold, LeaseAsk, Leased, Settle, Stored, Wire,
};
use jetcache_core::{Fault, Remote, Runtime};

use crate::world::World;

#[derive(Clone)]
pub(crate) struct Net {
    world: World,
    table: Arc<Mutex<Table>>,
    weather: Weather,
    healed: Arc<AtomicBool>,
}

/// How bad it is, in hundredths and milliseconds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Weather {
    latency: u64,
    lost: u64,
    late: u64,
    errors: u64,
}

impl Weather {
    pub(crate) fn of(world: &World) -> Self {
        let calm = world.percent(30);
        let bad = |most| if calm { 0 } else { world.below(most) };
        Self {
            latency: 1 + world.below(10),
            lost: bad(20),
            late: bad(20),
            errors: bad(10),
        }
    }

    pub(crate) fn is_calm(&self) -> bool {
        self.lost + self.late + self.errors == 0
    }
}

impl Net {
    pub(crate) fn new(world: &World, weather: Weather) -> Self {
        Self {
            world: world.clone(),
            table: Arc::default(),
            weather,
            healed: Arc::default(),
        }
    }

    pub(crate) fn heal(&self) {
        self.healed.store(true, Ordering::SeqCst);
    }

    pub(crate) fn leases(&self) -> usize {
        let now = self.clock();
        self.table.lock().unwrap().leases(now)
    }

    /// The server's clock is far from the nodes'.
    fn clock(&self) -> u64 {
        1_700_000_000_000 + self.world.time().as_nanos() / 1_000_000
    }

    /// Sends a command. It arrives whether or not its sender still waits.
    async fn send<T: Send + 'static>(
        &self,
        keys: usize,
        command: impl FnOnce(&mut Table, u64) -> Vec<Result<T, Fault>> + Send + 'static,
    ) -> Vec<Result<T, Fault>> {
        let well = self.healed.load(Ordering::SeqCst);
        let happens = |of| !well && self.world.percent(of);
        let way = || Duration::from_millis(self.world.below(self.weather.latency));
        if happens(self.weather.errors) {
            let fault = || Err(Fault::Unreachable("the weather".into()));
            return (0..keys).map(|_| fault()).collect();
        }
        let late = happens(self.weather.late).then(|| self.world.below(10_000));
        let there = way() + Duration::from_millis(late.unwrap_or(0));
        let (lost, unheard) = (happens(self.weather.lost), happens(self.weather.lost));
        let (told, answer) = channel();
        let net = self.clone();
        if !lost {
            self.world.begin(async move {
                net.world.sleep(there).await;
                net.world.tick();
                let outcomes = command(&mut net.table.lock().unwrap(), net.clock());
                if unheard {
                    std::mem::forget(told);
                } else {
                    let _ = told.send(outcomes);
                }
            });
        } else {
            std::mem::forget(told);
        }
        let outcomes = answer.await.unwrap();
        self.world.sleep(way()).await;
        outcomes
    }
}

impl Remote for Net {
    async fn read(&self, keys: &[&str], _: Wire) -> Vec<Result<Option<Found>, Fault>> {
        let keys: Vec<String> = keys.iter().map(|key| (*key).to_owned()).collect();
        self.send(keys.len(), move |table, now| {
            keys.iter().map(|key| Ok(table.read(now, key))).collect()
        })
        .await
    }

    async fn lease(&self, asks: &[LeaseAsk<'_>], _: Wire) -> Vec<Result<Leased, Fault>> {
        let own = |ask: &LeaseAsk<'_>| (ask.key.to_owned(), ask.token, ask.life);
        let asks: Vec<_> = asks.iter().map(own).collect();
        self.send(asks.len(), move |table, now| {
            let mut outcomes = Vec::new();
            for (key, token, life) in &asks {
                let ask = LeaseAsk {
                    key,
                    token: *token,
                    life: *life,
                };
                outcomes.push(Ok(table.lease(now, &ask)));
            }
            outcomes
        })
        .await
    }

    async fn fill(&self, fills: &[Fill<'_>], _: Wire) -> Vec<Result<Filled, Fault>> {
        let own = |fill: &Fill<'_>| {
            let value = fill.value;
            (
                fill.key.to_owned(),
                fill.token,
                value.bytes.to_vec(),
                value.life,
                value.lease,
                value.age,
            )
        };
        let fills: Vec<_> = fills.iter().map(own).collect();
        self.send(fills.len(), move |table, now| {
            let mut outcomes = Vec::new();
            for (key, token, bytes, life, lease, age) in &fills {
                let value = Stored {
                    replaces: None,
                    bytes,
                    life: *life,
                    stale: Duration::ZERO,
                    lease: *lease,
                    age: *age,
                };
                let fill = Fill {
                    key,
                    token: *token,
                    value,
                };
                outcomes.push(Ok(table.fill(now, &fill)));
            }
            outcomes
        })
        .await
    }

    async fn release(&self, holds: &[Hold<'_>]) -> Vec<Result<(), Fault>> {
        let own = |hold: &Hold<'_>| (hold.key.to_owned(), hold.token);
        let holds: Vec<_> = holds.iter().map(own).collect();
        self.send(holds.len(), move |table, now| {
            let mut outcomes = Vec::new();
            for (key, token) in &holds {
                let hold = Hold { key, token: *token };
                table.release(now, &hold);
                outcomes.push(Ok(()));
            }
            outcomes
        })
        .await
    }

    async fn claim(&self, claims: &[Claim<'_>], _: Wire) -> Vec<Result<bool, Fault>> {
        let own = |c: &Claim<'_>| (c.key.to_owned(), c.token, c.life, c.condition);
        let claims: Vec<_> = claims.iter().map(own).collect();
        self.send(claims.len(), move |table, now| {
            let mut outcomes = Vec::new();
            for (key, token, life, condition) in &claims {
                let claim = Claim {
                    key,
                    token: *token,
                    life: *life,
                    condition: *condition,
                };
                outcomes.push(Ok(table.claim(now, &claim)));
            }
            outcomes
        })
        .await
    }

    async fn settle(&self, settles: &[Settle<'_>], _: Wire) -> Vec<Result<Filled, Fault>> {
        unreachable!("no write-through settles {} keys yet", settles.len())
    }

    async fn remove(&self, keys: &[&str]) -> Vec<Result<(), Fault>> {
        let keys: Vec<String> = keys.iter().map(|key| (*key).to_owned()).collect();
        self.send(keys.len(), move |table, _| {
            let remove = |key: &String| {
                table.remove(key);
                Ok(())
            };
            keys.iter().map(remove).collect()
        })
        .await
    }
}
