//! A node as its lines see it: many caches, made when they are first asked.

use std::collections::HashMap;
use std::error::Error as StdError;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex};

use jetcache_tokio::{Error, Node, Runtime};
use smol::future::zip;

use crate::args::Options;
use crate::cache;
use crate::reply::Reply;
use crate::request::Task;
use crate::space::{Space, lock};

/// A node and its caches.
pub(crate) struct Session<R> {
    runtime: Arc<R>,
    node: Node,
    options: Options,
    own: Arc<Space<R>>,
    /// All of them by namespace, the node's own too.
    spaces: Mutex<HashMap<String, Arc<Space<R>>>>,
}

impl<R: Runtime> Session<R> {
    /// # Errors
    /// What in the options cannot work.
    pub(crate) fn open(
        runtime: R,
        node: Node,
        options: Options,
    ) -> Result<Self, Box<dyn StdError>> {
        let (runtime, node) = (Arc::new(runtime), cache::connect(node, &options)?);
        let namespace = options.namespace.as_deref().unwrap_or(cache::NAMESPACE);
        let own = Arc::new(Space::open(&runtime, &node, namespace, &options)?);
        let spaces = [(namespace.to_owned(), Arc::clone(&own))];
        Ok(Self {
            runtime,
            node,
            own,
            spaces: Mutex::new(spaces.into()),
            options,
        })
    }

    /// Has begun to listen to the bus, if there is one that answers soon.
    pub(crate) async fn listen(&self) {
        self.own.listen().await;
    }

    pub(crate) fn runtime(&self) -> &R {
        &self.runtime
    }

    pub(crate) async fn answer(&self, task: Task) -> Reply {
        match task {
            Task::Sleep(span) => {
                self.runtime.sleep(span).await;
                Reply::DONE
            }
            Task::Quit => {
                self.close().await;
                Reply::DONE
            }
            Task::Ask(question) => match self.space(question.namespace.clone()) {
                Ok(space) => space.answer(*question).await,
                Err(error) => Reply::failed(error),
            },
        }
    }

    /// Drops the loads that are held: those who wait for them go on by themselves.
    pub(crate) fn release(&self) {
        for space in self.all() {
            space.release();
        }
    }

    /// Closes all caches.
    pub(crate) async fn close(&self) {
        type Closing = Pin<Box<dyn Future<Output = ()> + Send>>;
        let closing =
            self.all()
                .into_iter()
                .fold(Box::pin(async {}) as Closing, |others, space| {
                    Box::pin(async move {
                        zip(others, space.close()).await;
                    })
                });
        closing.await;
    }

    /// The cache of this namespace.
    fn space(&self, namespace: Option<String>) -> Result<Arc<Space<R>>, Error> {
        let Some(namespace) = namespace else {
            return Ok(Arc::clone(&self.own));
        };
        let mut spaces = lock(&self.spaces);
        if let Some(space) = spaces.get(&namespace) {
            return Ok(Arc::clone(space));
        }
        let space = Space::open(&self.runtime, &self.node, &namespace, &self.options)?;
        let space = Arc::new(space);
        spaces.insert(namespace, Arc::clone(&space));
        Ok(space)
    }

    fn all(&self) -> Vec<Arc<Space<R>>> {
        lock(&self.spaces).values().map(Arc::clone).collect()
    }
}
