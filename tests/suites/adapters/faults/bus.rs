//! A bus with faults: with none it keeps the contract, and each of them does what it says.

use std::time::Duration;

use futures_util::FutureExt;
use jetcache_adapters::faults::FaultySubscription;
use jetcache_adapters::{Faults, FaultyBus, contract};
use jetcache_core::{Bus, Fault, Message, MessageKind, News, Subscription};
use jetcache_tokio::Tokio;

use crate::adapters::faults::waves::{Ear, Waves};
use crate::adapters::verbs::many;

fn faulty() -> (FaultyBus<Waves>, Faults) {
    let faults = Faults::seeded(Tokio::new(), 1);
    (FaultyBus::new(Waves::default(), faults.clone()), faults)
}

fn messages(count: usize) -> Vec<Message> {
    let message = |n: usize| Message {
        cache: "users".into(),
        source: "me".into(),
        kind: MessageKind::Delete,
        keys: vec![n.to_string()],
        fenced: true,
    };
    (0..count).map(message).collect()
}

/// The keys that are heard until `count` have come.
async fn hear(ear: &mut FaultySubscription<Ear>, count: usize) -> Vec<usize> {
    let mut heard = Vec::new();
    while heard.len() < count {
        match ear.next().await.unwrap() {
            News::Message(message) => heard.push(message.keys[0].parse().unwrap()),
            other => panic!("{other:?}"),
        }
    }
    heard
}

fn is_unreachable<T>(outcome: &Result<T, Fault>) -> bool {
    matches!(outcome, Err(Fault::Unreachable(_)))
}

#[test]
fn with_no_fault_it_keeps_the_contract() {
    let (bus, faults) = faulty();
    let change = async |key: &str| contract::bus::publish(&bus, key).await;
    many().block_on(contract::bus::run(&bus, change, tokio::time::sleep));
    assert_eq!(faults.injected(), Faults::new(Tokio::new()).injected());
}

#[test]
fn doubled_and_delayed_it_keeps_the_contract() {
    let (bus, faults) = faulty();
    let span = Duration::from_millis(1)..=Duration::from_millis(5);
    faults.bus_double_rate(0.5).bus_latency(span);
    let change = async |key: &str| contract::bus::publish(&bus, key).await;
    many().block_on(contract::bus::run(&bus, change, tokio::time::sleep));
    let injected = faults.injected();
    assert!(injected.bus_doubles > 0 && injected.bus_delays > 0);
}

#[tokio::test]
async fn a_share_of_the_messages_is_lost() {
    let (bus, faults) = faulty();
    let mut ear = bus.subscribe(&[]).await.unwrap();
    faults.bus_loss_rate(0.5);
    bus.publish(&messages(1_000)).await.unwrap();
    let mut heard = 0;
    while ear.next().now_or_never().is_some() {
        heard += 1;
    }
    assert!((400..600).contains(&heard), "{heard}");
    assert_eq!(faults.injected().bus_losses, 1_000 - heard);
}

#[tokio::test]
async fn a_doubled_message_is_heard_twice() {
    let (bus, faults) = faulty();
    let mut ear = bus.subscribe(&[]).await.unwrap();
    faults.bus_double_rate(1.0);
    bus.publish(&messages(2)).await.unwrap();
    assert_eq!(hear(&mut ear, 4).await, [0, 0, 1, 1]);
    assert!(ear.next().now_or_never().is_none());
    assert_eq!(faults.injected().bus_doubles, 2);
}

#[tokio::test]
async fn delayed_messages_all_come_and_overtake_each_other() {
    let (bus, faults) = faulty();
    let mut ear = bus.subscribe(&[]).await.unwrap();
    faults.bus_latency(Duration::from_millis(1)..=Duration::from_millis(100));
    // More than wait at once.
    bus.publish(&messages(1_500)).await.unwrap();
    // Giving the question up loses nothing.
    assert!(ear.next().now_or_never().is_none());
    let mut heard = hear(&mut ear, 1_500).await;
    assert!(!heard.is_sorted());
    heard.sort_unstable();
    assert!(heard.into_iter().eq(0..1_500));
    assert_eq!(faults.injected().bus_delays, 1_500);
}

#[tokio::test]
async fn a_cut_ends_what_stands_and_refuses_what_comes() {
    for cut in [Faults::cut_bus, Faults::partition] {
        let (bus, faults) = faulty();
        let mut ear = bus.subscribe(&[]).await.unwrap();
        let waits = tokio::spawn(async move { ear.next().await });
        tokio::task::yield_now().await;
        assert!(!waits.is_finished());
        cut(&faults);
        assert!(is_unreachable(&waits.await.unwrap()));
        assert!(is_unreachable(&bus.subscribe(&[]).await));
        assert!(is_unreachable(&bus.publish(&messages(1)).await));
        assert_eq!(faults.injected().cut, 3);

        faults.heal();
        let mut ear = bus.subscribe(&[]).await.unwrap();
        bus.publish(&messages(1)).await.unwrap();
        assert_eq!(hear(&mut ear, 1).await, [0]);
    }
}

#[tokio::test]
async fn a_cut_that_was_healed_at_once_is_noticed() {
    let (bus, faults) = faulty();
    let mut ear = bus.subscribe(&[]).await.unwrap();
    let mut other = bus.subscribe(&[]).await.unwrap();
    assert!(other.extend(&["more".into()]).await.unwrap());
    faults.cut_bus().heal();
    bus.publish(&messages(1)).await.unwrap();
    let next = ear.next().now_or_never();
    assert!(is_unreachable(&next.expect("it has ended")));
    assert!(is_unreachable(&other.extend(&["again".into()]).await));
}
