//! A bus in the process that breaks nothing by itself.

use std::sync::{Arc, Mutex};

use futures_channel::mpsc::{UnboundedReceiver, UnboundedSender, unbounded};
use futures_util::StreamExt;
use jetcache_core::{Bus, Fault, Message, News, Subscription};

#[derive(Clone, Default)]
pub(crate) struct Waves(Arc<Mutex<Vec<UnboundedSender<Message>>>>);

impl Bus for Waves {
    type Subscription = Ear;

    async fn subscribe(&self, _: &[String]) -> Result<Ear, Fault> {
        let (listener, ear) = unbounded();
        self.0.lock().unwrap().push(listener);
        Ok(Ear(ear))
    }

    async fn publish(&self, messages: &[Message]) -> Result<(), Fault> {
        let mut listeners = self.0.lock().unwrap();
        for message in messages {
            listeners.retain(|listener| listener.unbounded_send(message.clone()).is_ok());
        }
        Ok(())
    }
}

pub(crate) struct Ear(UnboundedReceiver<Message>);

impl Subscription for Ear {
    async fn next(&mut self) -> Result<News, Fault> {
        let over = || Fault::Unreachable("over".into());
        self.0.next().await.map(News::Message).ok_or_else(over)
    }

    async fn extend(&mut self, _: &[String]) -> Result<bool, Fault> {
        Ok(true)
    }
}
