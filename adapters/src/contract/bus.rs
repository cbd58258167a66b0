//! What every [`Bus`] must do.

use core::future::{Future, poll_fn};
use core::pin::pin;
use core::task::Poll;
use core::time::Duration;
use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;

use jetcache_core::ports::bus::{Kind, Message, News, Telling};
use jetcache_core::{Bus, Fault, Subscription};

/// Runs the suite over a bus. `change` changes a key in the way in which the others are to hear of
/// it: by a handle of L2 that announces, if [`telling`](Bus::telling) says that L2 tells; by any
/// handle of an L2 that is watched; by [`publish`], or in any other way, if the driver tells. It
/// uses keys of its own, beginning with `contract:`. `sleep` sleeps for at least so long, on your
/// runtime.
///
/// # Panics
/// At the first rule that is broken.
pub async fn run<B: Bus>(bus: &B, change: impl AsyncFn(&str), sleep: impl AsyncFn(Duration)) {
    let suite = Suite {
        bus,
        change,
        sleep,
        prefix: format!("contract:{:x}:", RandomState::new().hash_one(0)),
    };
    suite.every_subscription_hears_every_change().await;
    suite.dropping_the_question_loses_nothing().await;
    suite.a_subscription_that_was_dropped_is_replaced().await;
    suite.a_subscription_that_is_extended_hears_of_more().await;
    if !matches!(bus.telling(), Telling::Watched { .. }) {
        suite.messages_come_as_they_were_told().await;
    }
}

/// Tells of the removal of a key, for [`run`].
///
/// # Panics
/// If the bus fails.
pub async fn publish<B: Bus>(bus: &B, key: &str) {
    publish_all(bus, &[message(Kind::Delete, &[key])]).await;
}

async fn publish_all<B: Bus>(bus: &B, messages: &[Message]) {
    if let Err(fault) = bus.publish(messages).await {
        panic!("publish: {fault}");
    }
}

fn message(kind: Kind, keys: &[&str]) -> Message {
    Message {
        cache: "contract".into(),
        source: "contract-node".into(),
        kind,
        keys: keys.iter().map(|&key| key.into()).collect(),
        fenced: false,
    }
}

struct Suite<'a, B, C, S> {
    bus: &'a B,
    change: C,
    sleep: S,
    prefix: String,
}

impl<B: Bus, C: AsyncFn(&str), S: AsyncFn(Duration)> Suite<'_, B, C, S> {
    async fn every_subscription_hears_every_change(&self) {
        let mut subscriptions = [self.subscribe().await, self.subscribe().await];
        let keys: Vec<String> = (0..100).map(|n| self.key(&n.to_string())).collect();
        for key in &keys {
            (self.change)(key).await;
        }
        for subscription in &mut subscriptions {
            self.hear(subscription, keys.clone()).await;
        }
    }

    async fn dropping_the_question_loses_nothing(&self) {
        let mut subscription = self.subscribe().await;
        for n in 0..20 {
            let key = self.key(&format!("dropped:{n}"));
            // It asks, and gives up before there can be an answer.
            once(subscription.next()).await;
            (self.change)(&key).await;
            self.hear(&mut subscription, vec![key]).await;
        }
    }

    async fn a_subscription_that_was_dropped_is_replaced(&self) {
        let first = self.subscribe().await;
        drop(first);
        let mut second = self.subscribe().await;
        let key = self.key("second");
        (self.change)(&key).await;
        self.hear(&mut second, vec![key]).await;
    }

    /// Or says that it cannot be.
    async fn a_subscription_that_is_extended_hears_of_more(&self) {
        let prefixes: Vec<String> = (0..10).map(|n| self.key(&format!("{n}:"))).collect();
        let keys: Vec<String> = prefixes
            .iter()
            .map(|prefix| format!("{prefix}key"))
            .collect();
        let mut subscription = self.subscribe_to(&prefixes[..1]).await;
        for at in 1..prefixes.len() {
            let extending = subscription.extend(&prefixes[at..=at]);
            match self.within("an extension is confirmed", extending).await {
                Ok(true) => {}
                Ok(false) => return,
                Err(fault) => panic!("extend: {fault}"),
            }
            for key in &keys[..=at] {
                (self.change)(key).await;
            }
            self.hear(&mut subscription, keys[..=at].to_vec()).await;
        }
    }

    async fn messages_come_as_they_were_told(&self) {
        let mut subscription = self.subscribe().await;
        let (one, two) = (self.key("ä \"<\\>\u{2028}"), self.key("}{"));
        let mut messages = vec![
            message(Kind::Set, &[&one]),
            message(Kind::SetByOnce, &[&one]),
            message(Kind::SetByRefresh, &[&two]),
            message(Kind::SetByMGet, &[&one, &two]),
            message(Kind::Delete, &[&two]),
            message(Kind::Everything, &[]),
        ];
        publish_all(self.bus, &messages).await;
        while !messages.is_empty() {
            if let News::Message(heard) = self.next(&mut subscription).await {
                messages.retain(|message| *message != heard);
            }
        }
        publish_all(self.bus, &[]).await;
    }

    fn key(&self, name: &str) -> String {
        format!("{}{name}", self.prefix)
    }

    async fn subscribe(&self) -> B::Subscription {
        self.subscribe_to(&["contract:".into()]).await
    }

    async fn subscribe_to(&self, prefixes: &[String]) -> B::Subscription {
        let attempt = self.within("a subscription is confirmed", self.bus.subscribe(prefixes));
        match attempt.await {
            Ok(subscription) => subscription,
            Err(fault) => panic!("subscribe: {fault}"),
        }
    }

    /// Waits for word of these keys, in any order.
    async fn hear(&self, subscription: &mut B::Subscription, mut keys: Vec<String>) {
        while !keys.is_empty() {
            match self.next(subscription).await {
                News::Message(message) => keys.retain(|key| !message.keys.contains(key)),
                News::Changed(changed) => keys.retain(|key| !changed.contains(key)),
                News::Everything => keys.clear(),
                _ => {}
            }
        }
    }

    async fn next(&self, subscription: &mut B::Subscription) -> News {
        let next: Result<News, Fault> = self
            .within("what was told is heard", subscription.next())
            .await;
        match next {
            Ok(news) => news,
            Err(fault) => panic!("next: {fault}"),
        }
    }

    async fn within<T>(&self, what: &str, work: impl Future<Output = T>) -> T {
        let mut work = pin!(work);
        let mut patience = pin!((self.sleep)(PATIENCE));
        poll_fn(|context| {
            if let Poll::Ready(done) = work.as_mut().poll(context) {
                return Poll::Ready(done);
            }
            assert!(patience.as_mut().poll(context).is_pending(), "{what}");
            Poll::Pending
        })
        .await
    }
}

/// Polls it once.
async fn once<T>(work: impl Future<Output = T>) {
    let mut work = pin!(work);
    poll_fn(|context| {
        let _ = work.as_mut().poll(context);
        Poll::Ready(())
    })
    .await;
}

const PATIENCE: Duration = Duration::from_secs(10);
