//! One caller of the service.

use std::time::{Duration, Instant};

use jetcache_tokio::LoadError;

use crate::{ROW, USERS, Users};

/// Asks until then: how long each of its calls took, and how many failed.
pub(crate) async fn ask(users: Users, task: u64, end: Instant) -> (Vec<Duration>, usize) {
    let (mut times, mut errors, mut dice) = (Vec::new(), 0, task + 1);
    while Instant::now() < end {
        // Knuth's generator is good enough. The cube makes some users far more popular.
        dice = dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        let unit = dice >> 44;
        let cube = (((unit * unit) >> 20) * unit) >> 20;
        let id = (cube * USERS) >> 20;
        let asked = Instant::now();
        let user = users.get_or_load(&id, async || {
            tokio::time::sleep(ROW).await;
            Ok::<_, LoadError>(format!("user {id}"))
        });
        errors += usize::from(user.await.is_err());
        times.push(asked.elapsed());
        // It has something else to do as well.
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    (times, errors)
}
