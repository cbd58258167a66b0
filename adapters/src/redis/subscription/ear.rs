//! What the server says unasked, queued until somebody asks for it.
//!
//! The queue takes in news whether or not anybody asks. When it is full, it is emptied, and one
//! [`News::Everything`] stands for what was lost: that may have been about any key.

use std::collections::VecDeque;
use std::mem;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use jetcache_core::Fault;
use jetcache_core::ports::bus::{Message, News};
use redis::{PushInfo, PushKind};

/// What was heard and not asked for yet.
#[derive(Default)]
pub(super) struct Ear(Mutex<Heard>);

#[derive(Default)]
struct Heard {
    news: VecDeque<News>,
    /// How many bytes they hold, about.
    size: usize,
    /// Stands for all news until it is handed out.
    everything: bool,
    /// Why nothing more will come.
    over: Option<Fault>,
    waker: Option<Waker>,
}

impl Ear {
    fn hear(&self, news: News) {
        let mut heard = self.heard();
        if heard.everything {
            return;
        }
        let size = heard.size + size(&news);
        if news == News::Everything || heard.news.len() >= QUEUE || size > MOST_BYTES {
            (heard.news, heard.size) = (VecDeque::new(), 0);
            heard.everything = true;
        } else {
            heard.news.push_back(news);
            heard.size = size;
        }
        wake(heard);
    }

    pub(super) fn end(&self, why: Fault) {
        let mut heard = self.heard();
        heard.over.get_or_insert(why);
        wake(heard);
    }

    pub(super) fn poll(&self, context: &Context<'_>) -> Poll<Result<News, Fault>> {
        let mut heard = self.heard();
        if mem::take(&mut heard.everything) {
            Poll::Ready(Ok(News::Everything))
        } else if let Some(news) = heard.news.pop_front() {
            heard.size -= size(&news);
            Poll::Ready(Ok(news))
        } else if let Some(fault) = &heard.over {
            Poll::Ready(Err(fault.clone()))
        } else {
            heard.waker = Some(context.waker().clone());
            Poll::Pending
        }
    }

    fn heard(&self) -> MutexGuard<'_, Heard> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How many bytes the news holds, about.
fn size(news: &News) -> usize {
    let all = |keys: &[String]| keys.iter().map(|key| key.len() + size_of::<String>()).sum();
    match news {
        News::Message(Message {
            cache,
            source,
            keys,
            ..
        }) => cache.len() + source.len() + all(keys),
        News::Changed(keys) | News::Unclear(keys) => all(keys),
        _ => 0,
    }
}

fn wake(mut heard: MutexGuard<'_, Heard>) {
    let waker = heard.waker.take();
    drop(heard);
    if let Some(waker) = waker {
        waker.wake();
    }
}

/// Sits in a connection's driver, speaks into the ear, and tells it when the driver ends.
pub(super) struct Mouth(pub(super) Arc<Ear>);

impl Mouth {
    pub(super) fn say(&self, push: PushInfo, meaning: &Meaning) {
        if push.kind == PushKind::Disconnection {
            self.hang_up();
        } else if let Some(news) = meaning(push) {
            self.0.hear(news);
        }
    }

    fn hang_up(&self) {
        let why = "the connection that listens has ended";
        self.0.end(Fault::Unreachable(why.into()));
    }
}

impl Drop for Mouth {
    fn drop(&mut self) {
        self.hang_up();
    }
}

/// What a push of the server means, if it is news.
pub(crate) type Meaning = Arc<dyn Fn(PushInfo) -> Option<News> + Send + Sync>;

/// How many pieces of news wait to be asked for, and how many bytes their keys may hold.
const QUEUE: usize = 4096;
const MOST_BYTES: usize = 8 << 20;

#[cfg(test)]
mod tests {
    use jetcache_core::ports::bus::Kind;

    use super::*;

    fn ask(ear: &Ear) -> Option<Result<News, String>> {
        match ear.poll(&Context::from_waker(Waker::noop())) {
            Poll::Ready(heard) => Some(heard.map_err(|fault| fault.to_string())),
            Poll::Pending => None,
        }
    }

    fn change(n: usize) -> News {
        News::Changed(vec![n.to_string()])
    }

    #[test]
    fn a_full_queue_is_kept_and_one_more_stands_for_all() {
        let ear = Ear::default();
        for n in 0..QUEUE {
            ear.hear(change(n));
        }
        for n in 0..QUEUE {
            assert_eq!(ask(&ear), Some(Ok(change(n))));
        }
        assert_eq!(ask(&ear), None);
        for n in 0..=QUEUE {
            ear.hear(change(n));
        }
        ear.hear(change(0));
        assert_eq!(ask(&ear), Some(Ok(News::Everything)));
        assert_eq!(ask(&ear), None);
        ear.hear(change(1));
        assert_eq!(ask(&ear), Some(Ok(change(1))));
    }

    #[test]
    fn too_many_bytes_stand_for_all_as_well() {
        let ear = Ear::default();
        let big = || {
            News::Message(Message {
                cache: "x".repeat(MOST_BYTES / 8),
                source: String::new(),
                kind: Kind::Set,
                keys: vec!["x".repeat(MOST_BYTES / 8)],
                fenced: false,
            })
        };
        for _ in 0..2 {
            for _ in 0..3 {
                ear.hear(big());
            }
            for _ in 0..3 {
                assert_eq!(ask(&ear), Some(Ok(big())));
            }
        }
        for _ in 0..4 {
            ear.hear(big());
        }
        assert_eq!(ask(&ear), Some(Ok(News::Everything)));
        assert_eq!(ask(&ear), None);
    }

    #[test]
    fn everything_stands_for_what_was_not_asked_for() {
        let ear = Ear::default();
        ear.hear(change(0));
        ear.hear(News::Everything);
        ear.hear(News::Everything);
        ear.hear(change(1));
        assert_eq!(ask(&ear), Some(Ok(News::Everything)));
        assert_eq!(ask(&ear), None);
    }

    #[test]
    fn an_end_comes_after_what_was_heard_and_stays() {
        let ear = Arc::new(Ear::default());
        let mouth = Mouth(Arc::clone(&ear));
        ear.hear(change(0));
        drop(mouth);
        assert_eq!(ask(&ear), Some(Ok(change(0))));
        assert!(matches!(ask(&ear), Some(Err(_))));
        assert!(matches!(ask(&ear), Some(Err(_))));
    }
}
