//! The lives of a node: whatever a life spawned dies with it.

use std::future::Future;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use jetcache_core::{Runtime, Task, Timestamp};

use crate::world::time::{Id, World};

/// The runtime of one life: the world, and which of its tasks are this life's.
#[derive(Clone)]
pub(crate) struct Home {
    world: World,
    tasks: Arc<Mutex<Vec<Id>>>,
}

impl Home {
    pub(crate) fn new(world: &World) -> Self {
        Self {
            world: world.clone(),
            tasks: Arc::default(),
        }
    }

    pub(crate) fn begin(&self, task: impl Future<Output = ()> + Send + 'static) -> Id {
        let id = self.world.begin(task);
        self.tasks.lock().unwrap().push(id);
        id
    }

    /// Ends as a process does when the power fails: no `Drop` runs.
    pub(crate) fn dies(&self) {
        for id in self.tasks.lock().unwrap().drain(..) {
            self.world.forget(id);
        }
    }
}

impl Runtime for Home {
    fn now(&self) -> Timestamp {
        self.world.now()
    }

    fn roll(&self) -> u128 {
        self.world.roll()
    }

    fn sleep(&self, span: Duration) -> impl Future<Output = ()> + Send + 'static {
        self.world.sleep(span)
    }

    fn spawn(&self, task: Task) -> Result<(), Task> {
        self.begin(task);
        Ok(())
    }
}
