//! A bus of a user's own, in the process, that breaks as a case wants it to.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use futures_channel::mpsc::{UnboundedReceiver, UnboundedSender, unbounded};
use futures_util::StreamExt;
use jetcache_core::Fault;
use jetcache_core::ports::bus::{Bus, Kind, Message, News, Subscription};

type Heard = Result<News, Fault>;

#[derive(Clone, Default)]
pub(crate) struct Airwaves(Arc<Inner>);

#[derive(Default)]
struct Inner {
    listeners: Mutex<Vec<UnboundedSender<Heard>>>,
    said: Mutex<Vec<Message>>,
    /// Nobody can subscribe.
    away: AtomicBool,
    /// Nothing can be published.
    mute: AtomicBool,
    /// How often somebody subscribed or tried to.
    tries: AtomicUsize,
}

impl Airwaves {
    fn listeners(&self) -> MutexGuard<'_, Vec<UnboundedSender<Heard>>> {
        self.0.listeners.lock().unwrap()
    }

    /// Breaks every subscription, and refuses new ones.
    pub(crate) fn cut(&self) {
        self.0.away.store(true, Ordering::SeqCst);
        for listener in self.listeners().drain(..) {
            let _ = listener.unbounded_send(Err(Fault::Unreachable("cut".into())));
        }
    }

    pub(crate) fn mend(&self) {
        self.0.away.store(false, Ordering::SeqCst);
    }

    pub(crate) fn mute(&self, mute: bool) {
        self.0.mute.store(mute, Ordering::SeqCst);
    }

    /// Sends a word to all who listen.
    pub(crate) fn say(&self, news: &News) {
        let heard = |listener: &UnboundedSender<Heard>| listener.unbounded_send(Ok(news.clone()));
        self.listeners().retain(|listener| heard(listener).is_ok());
    }

    /// A stranger changed these keys.
    pub(crate) fn say_changed(&self, kind: Kind, keys: &[String]) {
        self.say(&News::Message(Message {
            cache: "users".into(),
            source: "0123456789abcdef".into(),
            kind,
            keys: keys.to_vec(),
            fenced: false,
        }));
    }

    /// What the nodes have said since the last call of this, but for raises: the first node that looks
    /// at the log of a namespace begins it.
    pub(crate) fn said(&self) -> Vec<Message> {
        let mut said = self.all_said();
        said.retain(|message| message.kind != Kind::Raise);
        said
    }

    /// And the raises.
    pub(crate) fn all_said(&self) -> Vec<Message> {
        core::mem::take(&mut self.0.said.lock().unwrap())
    }

    pub(crate) fn tries(&self) -> usize {
        self.0.tries.load(Ordering::SeqCst)
    }
}

impl Bus for Airwaves {
    type Subscription = Ear;

    async fn subscribe(&self, _: &[String]) -> Result<Ear, Fault> {
        self.0.tries.fetch_add(1, Ordering::SeqCst);
        if self.0.away.load(Ordering::SeqCst) {
            return Err(Fault::Unreachable("away".into()));
        }
        let (listener, ear) = unbounded();
        self.listeners().push(listener);
        Ok(Ear(ear))
    }

    async fn publish(&self, messages: &[Message]) -> Result<(), Fault> {
        if self.0.mute.load(Ordering::SeqCst) {
            return Err(Fault::Unreachable("mute".into()));
        }
        for message in messages {
            self.0.said.lock().unwrap().push(message.clone());
            self.say(&News::Message(message.clone()));
        }
        Ok(())
    }
}

pub(crate) struct Ear(UnboundedReceiver<Heard>);

impl Subscription for Ear {
    async fn next(&mut self) -> Heard {
        let over = Err(Fault::Unreachable("over".into()));
        self.0.next().await.unwrap_or(over)
    }
}
