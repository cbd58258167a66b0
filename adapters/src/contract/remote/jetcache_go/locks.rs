//! The locks by which the services take turns in the jetcache-go format.

use core::time::Duration;

use jetcache_core::{Remote, Token};

use crate::contract::remote::suite::{Suite, stored};

pub(in crate::contract::remote) async fn run<R: Remote, S: AsyncFn(Duration)>(
    suite: &Suite<'_, R, S>,
) {
    one_has_it(suite).await;
    only_its_own_token_gives_it_back(suite).await;
    it_ends_by_itself(suite).await;
    whatever_stands_there_is_a_lock(suite).await;
}

async fn one_has_it<R: Remote, S: AsyncFn(Duration)>(suite: &Suite<'_, R, S>) {
    let (name, one, two) = (suite.key(), suite.token(), suite.token());
    assert!(
        lock(suite, &name, one, LONG).await,
        "a free lock is granted"
    );
    assert!(
        !lock(suite, &name, two, LONG).await,
        "one that is held is not"
    );
    assert!(
        lock(suite, &name, one, LONG).await,
        "whoever asks again has it still"
    );
}

async fn only_its_own_token_gives_it_back<R: Remote, S: AsyncFn(Duration)>(
    suite: &Suite<'_, R, S>,
) {
    let (name, one, two) = (suite.key(), suite.token(), suite.token());
    assert!(lock(suite, &name, one, LONG).await);
    unlock(suite, &name, two).await;
    assert!(
        !lock(suite, &name, two, LONG).await,
        "another's token gives nothing back"
    );
    unlock(suite, &name, one).await;
    assert!(lock(suite, &name, two, LONG).await, "it was given back");
    unlock(suite, &suite.key(), one).await;
}

async fn it_ends_by_itself<R: Remote, S: AsyncFn(Duration)>(suite: &Suite<'_, R, S>) {
    let (name, one, two) = (suite.key(), suite.token(), suite.token());
    assert!(lock(suite, &name, one, Duration::from_millis(20)).await);
    suite
        .wait_until("a lock ends after its life", async || {
            lock(suite, &name, two, LONG).await
        })
        .await;
}

async fn whatever_stands_there_is_a_lock<R: Remote, S: AsyncFn(Duration)>(suite: &Suite<'_, R, S>) {
    let (name, token) = (suite.key(), suite.token());
    suite.put(&name, stored(b"1700000000")).await;
    assert!(
        !lock(suite, &name, token, LONG).await,
        "a Go service has another kind of token"
    );
    unlock(suite, &name, token).await;
    assert!(suite.read(&name).await.is_some(), "and keeps its lock");
}

async fn lock<R: Remote, S: AsyncFn(Duration)>(
    suite: &Suite<'_, R, S>,
    name: &str,
    token: Token,
    life: Duration,
) -> bool {
    match suite.remote.lock(name, token, life).await {
        Ok(granted) => granted,
        Err(fault) => panic!("lock: {fault}"),
    }
}

async fn unlock<R: Remote, S: AsyncFn(Duration)>(
    suite: &Suite<'_, R, S>,
    name: &str,
    token: Token,
) {
    if let Err(fault) = suite.remote.unlock(name, token).await {
        panic!("unlock: {fault}");
    }
}

const LONG: Duration = Duration::from_secs(60);
