//! The log of generations, and what a conditional insert shows of a dead entry.

pub(super) mod heads;

use core::time::Duration;
use std::collections::BTreeMap;

use jetcache_core::machine::generations::scope::top_key;
use jetcache_core::ports::remote::{Ensure, Ensured, Life, Mark, Raise, Raised, Scope};
use jetcache_core::{Fault, Remote};

use crate::contract::remote::suite::Suite;

/// The rules of the log alone.
pub(super) async fn run_log<R: Remote, S: AsyncFn(Duration)>(suite: &Suite<'_, R, S>) {
    let none = news(suite, &namespace(suite), Mark::NONE).await;
    assert_eq!(none, [], "where nothing was raised");
    numbers_rise(suite).await;
    a_raise_tells_what_was_before(suite).await;
    a_new_list_begins_with_all(suite).await;
    news_are_all_marks_from_one_on(suite).await;
    many_raises_are_all_told(suite).await;
    what_is_raised_between_two_pages_is_on_the_next(suite).await;
    an_ensure_without_a_list_raises_all(suite).await;
    an_ensure_that_lacks_nothing_changes_nothing(suite).await;
    an_ensure_raises_what_the_log_lacks(suite).await;
    an_ensure_raises_all_if_the_log_is_behind(suite).await;
    big_numbers_are_exact(suite).await;
    what_is_no_number_is_no_clock(suite).await;
    the_last_number_is_followed_by_none(suite).await;
    another_namespace_stays_as_it_is(suite).await;
}

async fn numbers_rise<R: Remote, S: AsyncFn(Duration)>(suite: &Suite<'_, R, S>) {
    let space = namespace(suite);
    let mut last = Mark::NONE;
    for ahead in [0, 0, 1_000_000_000, 0, 0] {
        let clock = Mark::new(last.number() + ahead);
        let raised = raise(suite, &space, clock, &[Scope::All]).await;
        assert!(raised.number > last, "a number is above the last one");
        assert!(raised.number > clock, "and above its sender's clock");
        assert_eq!(top(suite, &space).await, Some(raised.number));
        last = raised.number;
    }
    let behind = raise(suite, &space, Mark::new(1), &[Scope::All]).await;
    assert!(behind.number > last, "a clock that is behind moves nothing");
}

async fn a_raise_tells_what_was_before<R: Remote, S: AsyncFn(Duration)>(suite: &Suite<'_, R, S>) {
    let space = namespace(suite);
    let (one, two, key) = (Scope::Tag(1), Scope::Tag(2), Scope::Key(1));
    let first = raise(suite, &space, Mark::NONE, &[one]).await;
    assert_eq!(first.before, Mark::NONE);
    assert_eq!(first.marks, [Mark::NONE]);
    let second = raise(suite, &space, Mark::NONE, &[two, one, key]).await;
    assert_eq!(second.before, first.number);
    assert_eq!(second.marks, [Mark::NONE, first.number, Mark::NONE]);
    // As when its answer was lost.
    let again = raise(suite, &space, Mark::NONE, &[two, one, key]).await;
    assert_eq!(again.before, second.number);
    assert_eq!(again.marks, [second.number; 3]);
    let all = raise(suite, &space, Mark::NONE, &[Scope::All, two]).await;
    assert_eq!(all.marks, [first.number, again.number]);
}

async fn a_new_list_begins_with_all<R: Remote, S: AsyncFn(Duration)>(suite: &Suite<'_, R, S>) {
    for scopes in [&[Scope::Tag(7)][..], &[Scope::All], &[]] {
        let space = namespace(suite);
        assert_eq!(top(suite, &space).await, None);
        let first = raise(suite, &space, Mark::NONE, scopes).await;
        assert!(first.anew, "there was no list");
        let marks = news(suite, &space, Mark::NONE).await;
        assert!(marks.contains(&(Scope::All, first.number)), "{marks:?}");
        let second = raise(suite, &space, Mark::NONE, &[Scope::Tag(8)]).await;
        assert!(!second.anew, "there is one");
        let marks = news(suite, &space, second.number).await;
        assert_eq!(marks, [(Scope::Tag(8), second.number)]);
    }
}

async fn news_are_all_marks_from_one_on<R: Remote, S: AsyncFn(Duration)>(suite: &Suite<'_, R, S>) {
    let space = namespace(suite);
    let (one, two, key) = (Scope::Tag(0xFFFF), Scope::Tag(0), Scope::Key(0xFFFF));
    let first = raise(suite, &space, Mark::NONE, &[one, key]).await.number;
    let second = raise(suite, &space, Mark::NONE, &[two, one]).await.number;
    let all = [
        (Scope::All, first),
        (one, second),
        (two, second),
        (key, first),
    ];
    assert_eq!(news(suite, &space, Mark::NONE).await, sorted(&all));
    assert_eq!(news(suite, &space, first).await, sorted(&all));
    let after = Mark::new(first.number() + 1);
    for since in [after, second] {
        let marks = news(suite, &space, since).await;
        assert_eq!(marks, sorted(&[(one, second), (two, second)]));
    }
    let none = news(suite, &space, Mark::new(second.number() + 1)).await;
    assert_eq!(none, [], "nothing is as high");
}

/// A long list is read in pages, while scopes that stand at its beginning, in its middle and nowhere are
/// raised.
async fn what_is_raised_between_two_pages_is_on_the_next<R: Remote, S: AsyncFn(Duration)>(
    suite: &Suite<'_, R, S>,
) {
    let space = namespace(suite);
    for from in (0..5_000).step_by(500) {
        let scopes: Vec<Scope> = (from..from + 500).map(Scope::Tag).collect();
        let _ = raise(suite, &space, Mark::NONE, &scopes).await;
    }
    let wanted = news(suite, &space, Mark::NONE).await;
    let (mut marks, mut since, mut between) = (BTreeMap::new(), Mark::NONE, 0);
    while let Some(next) = page(suite, &space, since, &mut marks).await {
        let scopes = [Scope::Tag(0), Scope::Tag(4_000), Scope::Key(between)];
        if between < 3 {
            let _ = raise(suite, &space, Mark::NONE, &scopes).await;
        }
        (since, between) = (next, between + 1);
    }
    assert!(between > 0, "so many are not one page");
    let marks: Vec<(Scope, Mark)> = marks.into_iter().collect();
    assert_ne!(marks, wanted);
    assert_eq!(marks, news(suite, &space, Mark::NONE).await);
}

/// More than fit into a page of Redis, several of one number.
async fn many_raises_are_all_told<R: Remote, S: AsyncFn(Duration)>(suite: &Suite<'_, R, S>) {
    let space = namespace(suite);
    let (mut all, mut numbers) = (Vec::new(), Vec::new());
    for from in [0, 500, 1000] {
        let scopes: Vec<Scope> = (from..from + 500).map(Scope::Tag).collect();
        let raised = raise(suite, &space, Mark::NONE, &scopes).await;
        if raised.anew {
            all.push((Scope::All, raised.number));
        }
        all.extend(scopes.iter().map(|scope| (*scope, raised.number)));
        numbers.push(raised.number);
    }
    assert_eq!(news(suite, &space, Mark::NONE).await, sorted(&all));
    for since in numbers {
        let rest: Vec<_> = all.iter().copied().filter(|it| it.1 >= since).collect();
        assert_eq!(news(suite, &space, since).await, sorted(&rest));
    }
}

async fn an_ensure_without_a_list_raises_all<R: Remote, S: AsyncFn(Duration)>(
    suite: &Suite<'_, R, S>,
) {
    let space = namespace(suite);
    let clock = Mark::new(1 << 51);
    let tag = (Scope::Tag(3), Mark::new(5));
    let number = ensure(suite, &space, clock, &[tag]).await;
    assert!(number > clock, "it is lifted above its sender's clock");
    let marks = news(suite, &space, Mark::NONE).await;
    assert_eq!(marks, [(Scope::All, number), (Scope::Tag(3), number)]);
    assert_eq!(top(suite, &space).await, Some(number));
}

async fn an_ensure_that_lacks_nothing_changes_nothing<R: Remote, S: AsyncFn(Duration)>(
    suite: &Suite<'_, R, S>,
) {
    let space = namespace(suite);
    let first = raise(suite, &space, Mark::NONE, &[Scope::Tag(1)]).await;
    let number = raise(suite, &space, Mark::NONE, &[Scope::Tag(2)])
        .await
        .number;
    let before = news(suite, &space, Mark::NONE).await;
    for marks in [&before[..], &[], &[(Scope::Tag(2), first.number)]] {
        for clock in [Mark::NONE, number] {
            assert_eq!(ensure(suite, &space, clock, marks).await, number);
        }
    }
    assert_eq!(top(suite, &space).await, Some(number));
    assert_eq!(news(suite, &space, Mark::NONE).await, before);
}

async fn an_ensure_raises_what_the_log_lacks<R: Remote, S: AsyncFn(Duration)>(
    suite: &Suite<'_, R, S>,
) {
    let space = namespace(suite);
    let (one, two, key) = (Scope::Tag(1), Scope::Tag(2), Scope::Key(2));
    let first = raise(suite, &space, Mark::NONE, &[one, two]).await.number;
    let lost = Mark::new(first.number() - 1);
    // One is there, one is there with less, one is missing.
    let given = [
        (one, first),
        (two, Mark::new(first.number() + 1)),
        (key, lost),
    ];
    let number = ensure(suite, &space, first, &given).await;
    assert!(number > first, "they are raised anew, not restored");
    let marks = news(suite, &space, Mark::NONE).await;
    let wanted = [
        (Scope::All, first),
        (one, first),
        (two, number),
        (key, number),
    ];
    assert_eq!(marks, sorted(&wanted));
    assert_eq!(top(suite, &space).await, Some(number));
    let again = ensure(suite, &space, first, &given).await;
    assert_eq!(again, number, "repeated, it finds all that it asks for");
}

async fn an_ensure_raises_all_if_the_log_is_behind<R: Remote, S: AsyncFn(Duration)>(
    suite: &Suite<'_, R, S>,
) {
    let space = namespace(suite);
    let first = raise(suite, &space, Mark::NONE, &[Scope::Tag(1)])
        .await
        .number;
    let clock = Mark::new(first.number() + 1_000_000_000);
    let number = ensure(suite, &space, clock, &[(Scope::All, first)]).await;
    assert!(number > clock);
    let wanted = [(Scope::All, number), (Scope::Tag(1), first)];
    assert_eq!(news(suite, &space, Mark::NONE).await, wanted);
    assert_eq!(ensure(suite, &space, clock, &[]).await, number);
}

async fn big_numbers_are_exact<R: Remote, S: AsyncFn(Duration)>(suite: &Suite<'_, R, S>) {
    let space = namespace(suite);
    for ahead in 5..10 {
        let (scope, clock) = (
            Scope::Tag(ahead),
            Mark::END.number() - 20 + u64::from(ahead),
        );
        let raised = raise(suite, &space, Mark::new(clock), &[scope]).await;
        assert_eq!(raised.number, Mark::new(clock + 1));
        assert_eq!(top(suite, &space).await, Some(raised.number));
        let marks = news(suite, &space, raised.number).await;
        assert!(marks.contains(&(scope, raised.number)), "{marks:?}");
    }
}

async fn what_is_no_number_is_no_clock<R: Remote, S: AsyncFn(Duration)>(suite: &Suite<'_, R, S>) {
    let space = namespace(suite);
    let mut last = Mark::NONE;
    for clock in [Mark::END.number(), 1 << 53, u64::MAX] {
        let raised = raise(suite, &space, Mark::new(clock), &[Scope::Tag(1)]).await;
        assert!(raised.number > last && raised.number < Mark::END);
        last = raised.number;
        let ensured = ensure(suite, &space, Mark::new(clock), &[]).await;
        assert_eq!(ensured, last, "the log is behind no such clock");
    }
}

async fn the_last_number_is_followed_by_none<R: Remote, S: AsyncFn(Duration)>(
    suite: &Suite<'_, R, S>,
) {
    let space = namespace(suite);
    let _ = raise(suite, &space, Mark::NONE, &[Scope::Tag(1)]).await;
    let last = Mark::new(Mark::END.number() - 1);
    let before = Mark::new(last.number() - 1);
    assert_eq!(
        raise(suite, &space, before, &[Scope::Tag(2)]).await.number,
        last
    );
    let marks = news(suite, &space, Mark::NONE).await;
    for clock in [Mark::NONE, last] {
        let (namespace, scopes) = (&*space, &[Scope::Tag(1)][..]);
        let raise = Raise {
            namespace,
            clock,
            scopes,
        };
        let raised = suite.remote.raise(&raise).await;
        assert!(matches!(raised, Err(Fault::Refused(_))), "{raised:?}");
        assert_eq!(
            ensure(suite, &space, clock, &[(Scope::Tag(2), last)]).await,
            last
        );
    }
    assert_eq!(top(suite, &space).await, Some(last));
    assert_eq!(
        news(suite, &space, Mark::NONE).await,
        marks,
        "nothing is raised"
    );
}

async fn another_namespace_stays_as_it_is<R: Remote, S: AsyncFn(Duration)>(
    suite: &Suite<'_, R, S>,
) {
    let odd = ["%1\"ключ\\", "{tag}", "}", "{", "{}"];
    let spaces: Vec<String> = odd
        .iter()
        .map(|odd| format!("{}{odd}:", namespace(suite)))
        .collect();
    let mut raised = Vec::new();
    for space in &spaces {
        assert_eq!(top(suite, space).await, None, "{space}");
        let scopes = [Scope::Tag(1)];
        raised.push(raise(suite, space, Mark::NONE, &scopes).await.number);
    }
    for (space, number) in spaces.iter().zip(raised) {
        assert_eq!(top(suite, space).await, Some(number), "{space}");
        let marks = news(suite, space, Mark::NONE).await;
        assert_eq!(marks, [(Scope::All, number), (Scope::Tag(1), number)]);
    }
}

/// A namespace that nobody has used.
fn namespace<R: Remote, S: AsyncFn(Duration)>(suite: &Suite<'_, R, S>) -> String {
    format!("{}:", suite.key())
}

async fn raise<R: Remote, S: AsyncFn(Duration)>(
    suite: &Suite<'_, R, S>,
    namespace: &str,
    clock: Mark,
    scopes: &[Scope],
) -> Raised {
    let raise = Raise {
        namespace,
        clock,
        scopes,
    };
    told("raise", suite.remote.raise(&raise).await)
}

/// The highest number. What is said to have been raised is what is new in the list.
async fn ensure<R: Remote, S: AsyncFn(Duration)>(
    suite: &Suite<'_, R, S>,
    namespace: &str,
    clock: Mark,
    marks: &[(Scope, Mark)],
) -> Mark {
    let before = news(suite, namespace, Mark::NONE).await;
    let last = before.iter().map(|(_, mark)| *mark).max();
    let last = last.max(top(suite, namespace).await).unwrap_or_default();
    let ensure = Ensure {
        namespace,
        clock,
        marks,
    };
    let Ensured { top, raised } = told("ensure", suite.remote.ensure(&ensure).await);
    let mut after = news(suite, namespace, Mark::NONE).await;
    after.retain(|mark| !before.contains(mark));
    let raised = raised.map(|event| {
        assert_eq!(event.numbers, Some((last, top)));
        let marks = event.scopes.iter().map(|scope| (*scope, top));
        sorted(&marks.collect::<Vec<_>>())
    });
    assert_eq!(raised, (!after.is_empty()).then_some(after));
    top
}

/// All pages, in the order of the scopes.
async fn news<R: Remote, S: AsyncFn(Duration)>(
    suite: &Suite<'_, R, S>,
    namespace: &str,
    mut since: Mark,
) -> Vec<(Scope, Mark)> {
    let mut marks = BTreeMap::new();
    while let Some(next) = page(suite, namespace, since, &mut marks).await {
        since = next;
    }
    marks.into_iter().collect()
}

/// One page; where the next one begins.
async fn page<R: Remote, S: AsyncFn(Duration)>(
    suite: &Suite<'_, R, S>,
    namespace: &str,
    since: Mark,
    marks: &mut BTreeMap<Scope, Mark>,
) -> Option<Mark> {
    let page = told("news", suite.remote.news(namespace, since).await);
    assert!(
        page.marks.iter().all(|(_, mark)| *mark >= since),
        "{page:?}"
    );
    if let Some(next) = page.next {
        assert!(next > since, "a page is a step forward: {page:?}");
        assert!(page.marks.iter().all(|(_, mark)| *mark <= next), "{page:?}");
    }
    marks.extend(page.marks);
    page.next
}

/// The highest number, as a read shows it.
async fn top<R: Remote, S: AsyncFn(Duration)>(
    suite: &Suite<'_, R, S>,
    namespace: &str,
) -> Option<Mark> {
    let found = suite.read(&top_key(namespace)).await?;
    assert!(matches!(found.life, Life::Clock(_)), "as of any other key");
    match str::from_utf8(&found.bytes).ok().and_then(Mark::parse) {
        Some(mark) => Some(mark),
        None => panic!("{:?} is no number", found.bytes),
    }
}

fn told<T>(verb: &str, answer: Result<T, Fault>) -> T {
    match answer {
        Ok(told) => told,
        Err(fault) => panic!("{verb}: {fault}"),
    }
}

fn sorted(marks: &[(Scope, Mark)]) -> Vec<(Scope, Mark)> {
    let mut marks = marks.to_vec();
    marks.sort_unstable();
    marks
}
