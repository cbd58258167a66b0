//! An L2 with faults: with none it keeps the contract, and each of them does what it says.

use std::future::Future;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::FutureExt;
use jetcache_adapters::{Faults, Faulty, Memory};
use jetcache_core::ports::remote::{
    Claim, Claimed, Ensure, Ensured, Fill, Filled, Found, Herald, Hold, LeaseAsk, Leased, Mark,
    NewsPage, Placed, Put, Raise, Raised, Scope, Settle, Wire,
};
use jetcache_core::{Fault, Remote, Runtime, Task, Timestamp, Token};
use jetcache_smol::Smol;
use jetcache_tokio::Tokio;

use crate::adapters::verbs::{MINUTE, T, contract_on_tokio, fill, lease, read};

const KEY: &str = "k";

fn faulty(seed: u64) -> (Faulty<Memory>, Faults) {
    let faults = Faults::seeded(Tokio::new(), seed);
    (Faulty::new(Memory::new(), faults.clone()), faults)
}

/// One that holds `KEY`.
async fn with_value(seed: u64) -> (Faulty<Memory>, Faults) {
    let (remote, faults) = faulty(seed);
    lease(&remote, KEY, T).await.unwrap();
    fill(&remote, KEY, T, VALUE).await.unwrap();
    (remote, faults)
}

const VALUE: &[u8] = b"a value of some length";

fn is_unreachable<T>(outcome: &Result<T, Fault>) -> bool {
    matches!(outcome, Err(Fault::Unreachable(_)))
}

/// Whether it is ready when it is polled once.
fn is_ready(work: impl Future) -> bool {
    work.now_or_never().is_some()
}

#[test]
fn with_no_fault_it_keeps_the_contract() {
    let (remote, faults) = faulty(0);
    contract_on_tokio(&remote);
    assert_eq!(faults.injected(), Faults::new(Tokio::new()).injected());
}

#[test]
fn after_every_fault_was_healed_it_keeps_the_contract() {
    let (remote, faults) = faulty(0);
    let span = Duration::from_millis(1)..=Duration::from_millis(2);
    faults.error_rate(1.0).loss_rate(1.0).corrupt_rate(1.0);
    faults.latency(span).hang().hang_answers().refuse("no");
    faults.partition().heal();
    contract_on_tokio(&remote);
    assert_eq!(faults.injected(), Faults::new(Tokio::new()).injected());
}

#[tokio::test]
async fn an_error_is_not_carried_out() {
    let (remote, faults) = faulty(1);
    faults.error_rate(1.0);
    assert!(is_unreachable(&lease(&remote, KEY, T).await));
    assert!(is_unreachable(&remote.lock(KEY, T, MINUTE).await));
    assert_eq!(remote.inner().leases(), 0);
    assert_eq!(faults.injected().errors, 2);
}

#[tokio::test]
async fn every_key_of_an_operation_that_fails_has_an_outcome() {
    let (remote, faults) = faulty(1);
    faults.error_rate(1.0);
    let read = remote.read(&["a", "b", "c"], Wire::Native).await;
    assert_eq!(read.iter().filter(|it| is_unreachable(it)).count(), 3);
    assert_eq!(faults.injected().errors, 1, "it was one operation");
}

#[tokio::test]
async fn a_lost_answer_was_carried_out() {
    let (remote, faults) = faulty(1);
    faults.loss_rate(1.0);
    assert!(is_unreachable(&lease(&remote, KEY, T).await));
    assert_eq!(remote.inner().leases(), 1);
    assert_eq!(faults.injected().losses, 1);
}

#[tokio::test]
async fn rates_are_shares_and_are_clamped() {
    for (rate, expected) in [
        (-1.0, 0..=0),
        (f64::NAN, 0..=0),
        (0.3, 250..=350),
        (7.0, 1_000..=1_000),
    ] {
        let (remote, faults) = faulty(1);
        faults.error_rate(rate);
        let mut failed = 0;
        for _ in 0..1_000 {
            failed += usize::from(read(&remote, KEY).await.is_err());
        }
        assert!(expected.contains(&failed), "{failed} at {rate}");
        assert_eq!(faults.injected().errors, failed as u64);
    }
}

#[tokio::test]
async fn the_same_seed_fails_the_same_operations() {
    let run = async |seed| {
        let (remote, faults) = faulty(seed);
        faults.error_rate(0.5).loss_rate(0.5);
        let mut failed = Vec::new();
        for _ in 0..200 {
            failed.push(read(&remote, KEY).await.is_err());
        }
        (failed, faults.injected())
    };
    assert_eq!(run(7).await, run(7).await);
    assert_ne!(run(7).await, run(8).await);
}

#[tokio::test]
async fn a_refusal_says_what_it_was_told_to() {
    let (remote, faults) = faulty(1);
    faults.refuse("READONLY You can't write");
    match lease(&remote, KEY, T).await {
        Err(Fault::Refused(why)) => assert_eq!(&*why, "READONLY You can't write"),
        other => panic!("{other:?}"),
    }
    assert_eq!(remote.inner().leases(), 0);
    assert_eq!(faults.injected().refusals, 1);
    faults.heal();
    assert!(lease(&remote, KEY, T).await.unwrap().is_granted());
}

#[tokio::test]
async fn what_hangs_goes_on_when_it_is_healed() {
    let (remote, faults) = faulty(1);
    faults.hang();
    let hung = tokio::spawn({
        let remote = remote.clone();
        async move { lease(&remote, KEY, T).await }
    });
    while faults.injected().hangs == 0 {
        tokio::task::yield_now().await;
    }
    // Another setting wakes it, and it hangs on.
    faults.corrupt_rate(0.0);
    for _ in 0..10 {
        tokio::task::yield_now().await;
    }
    assert!(!hung.is_finished());
    assert_eq!(remote.inner().leases(), 0);
    faults.heal();
    assert!(hung.await.unwrap().unwrap().is_granted());
    assert_eq!(faults.injected().hangs, 1);
}

#[tokio::test]
async fn what_is_given_up_while_it_hangs_is_not_carried_out() {
    let (remote, faults) = faulty(1);
    faults.hang();
    assert!(!is_ready(lease(&remote, KEY, T)));
    faults.heal();
    tokio::task::yield_now().await;
    assert_eq!(remote.inner().leases(), 0);
}

#[tokio::test]
async fn what_is_given_up_while_its_answer_hangs_was_carried_out() {
    let (remote, faults) = faulty(1);
    faults.hang_answers();
    assert!(!is_ready(lease(&remote, KEY, T)));
    assert_eq!(remote.inner().leases(), 1);
    assert_eq!(faults.injected().hangs, 1);
    faults.heal();
    assert!(is_ready(lease(&remote, KEY, T)));
}

#[tokio::test]
async fn what_is_resumed_meets_the_other_faults() {
    let (remote, faults) = faulty(1);
    faults.hang().hang_answers().error_rate(1.0);
    assert!(!is_ready(lease(&remote, KEY, T)));
    faults.resume();
    let failed = lease(&remote, KEY, T).now_or_never();
    assert!(is_unreachable(&failed.expect("nothing hangs")));
    faults.error_rate(0.0);
    assert!(is_ready(lease(&remote, KEY, T)));
}

/// A runtime that notes how long it was to sleep, and does not.
#[derive(Clone, Default)]
struct Sleepless(Arc<Mutex<Vec<Duration>>>);

impl Runtime for Sleepless {
    fn now(&self) -> Timestamp {
        Timestamp::from_nanos(0)
    }

    fn roll(&self) -> u128 {
        0
    }

    fn sleep(&self, span: Duration) -> impl Future<Output = ()> + Send + 'static {
        self.0.lock().unwrap().push(span);
        std::future::ready(())
    }

    fn spawn(&self, task: Task) -> Result<(), Task> {
        Err(task)
    }
}

#[tokio::test]
async fn latency_is_slept_on_the_runtime_within_its_bounds() {
    let sleepless = Sleepless::default();
    let faults = Faults::new(sleepless.clone());
    let remote = Faulty::new(Memory::new(), faults.clone());
    let (short, long) = (Duration::from_millis(10), Duration::from_millis(30));
    faults.latency(short..=long);
    for _ in 0..500 {
        read(&remote, KEY).await.unwrap();
    }
    let slept = sleepless.0.lock().unwrap().clone();
    assert_eq!(slept.len(), 500);
    assert!(slept.iter().all(|span| (short..=long).contains(span)));
    let middle = slept
        .iter()
        .filter(|span| **span < (short + long) / 2)
        .count();
    assert!((200..300).contains(&middle), "{middle} below the middle");
    assert_eq!(faults.injected().delays, 500);

    faults.latency(Duration::ZERO..=Duration::ZERO);
    read(&remote, KEY).await.unwrap();
    assert_eq!(sleepless.0.lock().unwrap().len(), 500);
}

#[tokio::test]
async fn what_is_given_up_during_its_latency_is_not_carried_out() {
    let (remote, faults) = faulty(1);
    faults.latency(MINUTE..=MINUTE);
    assert!(!is_ready(lease(&remote, KEY, T)));
    assert_eq!(remote.inner().leases(), 0);
}

#[test]
fn it_needs_no_tokio() {
    let faults = Faults::new(Smol::new());
    let remote = Faulty::new(Memory::new(), faults.clone());
    faults.latency(Duration::from_millis(1)..=Duration::from_millis(2));
    smol::block_on(async {
        assert!(lease(&remote, KEY, T).await.unwrap().is_granted());
    });
    assert_eq!(faults.injected().delays, 1);
}

#[tokio::test]
async fn corrupt_bytes_have_a_bit_changed_or_their_end_cut_off() {
    let (remote, faults) = with_value(1).await;
    faults.corrupt_rate(1.0);
    let (mut shorter, mut changed) = (0, 0);
    for n in 0..100 {
        // Both that bring bytes.
        let found = match n % 2 {
            0 => read(&remote, KEY).await.unwrap(),
            _ => lease(&remote, KEY, T).await.unwrap().found,
        };
        let bytes = found.unwrap().bytes;
        if bytes.len() < VALUE.len() {
            assert!(VALUE.starts_with(&bytes));
            shorter += 1;
        } else {
            let bits = bytes.iter().zip(VALUE).map(|(a, b)| (a ^ b).count_ones());
            assert_eq!(bits.sum::<u32>(), 1);
            changed += 1;
        }
    }
    assert!(shorter > 30 && changed > 30, "{shorter}, {changed}");
    assert_eq!(faults.injected().corruptions, 100);
    faults.heal();
    assert_eq!(read(&remote, KEY).await.unwrap().unwrap().bytes, VALUE);
}

#[tokio::test]
async fn a_partition_cuts_l2_off() {
    let (remote, faults) = with_value(1).await;
    faults.partition();
    assert!(is_unreachable(&read(&remote, KEY).await));
    assert_eq!(faults.injected().cut, 1);
    faults.heal();
    assert!(read(&remote, KEY).await.unwrap().is_some());
    faults.cut_bus();
    assert!(read(&remote, KEY).await.unwrap().is_some(), "the bus alone");
}

/// A store that notes which of its methods was called.
#[derive(Default)]
struct Noting(Mutex<Vec<&'static str>>);

impl Noting {
    fn note(&self, what: &'static str) {
        self.0.lock().unwrap().push(what);
    }

    fn refuse<T>(&self, what: &'static str) -> Vec<Result<T, Fault>> {
        self.note(what);
        vec![Err(Fault::Timeout)]
    }
}

impl Remote for Noting {
    async fn read(&self, _: &[&str], _: Wire) -> Vec<Result<Option<Found>, Fault>> {
        self.refuse("read")
    }

    async fn lease(&self, _: &[LeaseAsk<'_>], _: Wire) -> Vec<Result<Leased, Fault>> {
        self.refuse("lease")
    }

    async fn renew(&self, _: &[LeaseAsk<'_>]) -> Vec<Result<bool, Fault>> {
        self.refuse("renew")
    }

    async fn fill(&self, _: &[Fill<'_>], _: Wire) -> Vec<Result<Filled, Fault>> {
        self.refuse("fill")
    }

    async fn release(&self, _: &[Hold<'_>]) -> Vec<Result<(), Fault>> {
        self.refuse("release")
    }

    async fn claim(&self, _: &[Claim<'_>], _: Wire) -> Vec<Result<Claimed, Fault>> {
        self.refuse("claim")
    }

    async fn put(&self, _: &[Put<'_>], _: Wire) -> Vec<Result<Placed, Fault>> {
        self.refuse("put")
    }

    async fn settle(&self, _: &[Settle<'_>], _: Wire) -> Vec<Result<Filled, Fault>> {
        self.refuse("settle")
    }

    async fn remove(&self, _: &[&str]) -> Vec<Result<(), Fault>> {
        self.refuse("remove")
    }

    async fn unload(&self, _: &[&str]) -> Vec<Result<(), Fault>> {
        self.refuse("unload")
    }

    async fn lock(&self, _: &str, _: Token, _: Duration) -> Result<bool, Fault> {
        self.note("lock");
        Ok(true)
    }

    async fn unlock(&self, _: &str, _: Token) -> Result<(), Fault> {
        self.note("unlock");
        Ok(())
    }

    async fn raise(&self, _: &Raise<'_>) -> Result<Raised, Fault> {
        self.note("raise");
        Err(Fault::Timeout)
    }

    async fn news(&self, _: &str, _: Mark) -> Result<NewsPage, Fault> {
        self.note("news");
        Ok(NewsPage {
            marks: vec![(Scope::All, Mark::new(7))],
            next: None,
        })
    }

    async fn ensure(&self, _: &Ensure<'_>) -> Result<Ensured, Fault> {
        self.note("ensure");
        Ok(Ensured {
            top: Mark::new(8),
            raised: None,
        })
    }

    fn server(&self) -> Option<u64> {
        Some(7)
    }

    fn server_of(&self, key: &str) -> Option<u64> {
        Some(key.len() as u64)
    }

    fn announcing(&self, _: Herald) -> Option<Self> {
        self.note("announcing");
        Some(Self::default())
    }
}

/// The methods that have a default would not be missed by the compiler.
#[tokio::test]
async fn what_has_a_default_reaches_the_wrapped_one() {
    let faults = Faults::new(Tokio::new());
    let remote = Faulty::new(Noting::default(), faults.clone());
    remote.unload(&[KEY]).await;
    assert!(remote.lock(KEY, T, MINUTE).await.unwrap());
    remote.unlock(KEY, T).await.unwrap();
    let (namespace, clock) = ("ns:", Mark::NONE);
    let raise = Raise {
        namespace,
        clock,
        scopes: &[Scope::All],
    };
    assert!(matches!(remote.raise(&raise).await, Err(Fault::Timeout)));
    let news = remote.news(namespace, clock).await.unwrap();
    assert_eq!(news.marks, [(Scope::All, Mark::new(7))]);
    let ensure = Ensure {
        namespace,
        clock,
        marks: &[],
    };
    assert_eq!(remote.ensure(&ensure).await.unwrap().top, Mark::new(8));
    assert_eq!(
        (remote.server(), remote.server_of("abc")),
        (Some(7), Some(3))
    );
    let herald = Herald {
        channel: "channel".into(),
        cache: "users".into(),
        source: "me".into(),
    };
    let announcing = remote.announcing(herald).unwrap();
    let noted = [
        "unload",
        "lock",
        "unlock",
        "raise",
        "news",
        "ensure",
        "announcing",
    ];
    assert_eq!(*remote.inner().0.lock().unwrap(), noted);
    faults.error_rate(1.0);
    assert!(
        is_unreachable(&announcing.unlock(KEY, T).await),
        "it has them too"
    );
    assert!(is_unreachable(&announcing.raise(&raise).await));
    assert!(is_unreachable(&announcing.news(namespace, clock).await));
    assert!(is_unreachable(&announcing.ensure(&ensure).await));
    assert!(announcing.inner().0.lock().unwrap().is_empty());
}
