//! Many keys as one operation.

pub(crate) mod answers;
pub(crate) mod flights;
pub(crate) mod loaders;

use std::collections::HashMap;
use std::future::Future;
use std::sync::Mutex;
use std::task::Poll;

use jetcache_core::LoadError;

use crate::behaviour::stage::{Value, value};

type Row = (String, Value);

/// The rows of a table: one for each id, but none for ids that begin with an x.
fn rows(ids: Vec<String>) -> Result<Vec<Row>, LoadError> {
    let row = |id: String| (!id.starts_with('x')).then(|| (id.clone(), value(&id)));
    Ok(ids.into_iter().filter_map(row).collect())
}

/// Checks that so many ids were loaded, each once.
fn each_once(loads: &Mutex<HashMap<String, usize>>, ids: usize) {
    let loads = loads.lock().unwrap();
    assert!(loads.values().all(|&count| count == 1), "{loads:?}");
    assert_eq!(loads.len(), ids);
}

/// Polls a future once.
async fn now_or_later<F: Future + Unpin>(future: &mut F) -> Option<F::Output> {
    std::future::poll_fn(|cx| {
        Poll::Ready(match std::pin::Pin::new(&mut *future).poll(cx) {
            Poll::Ready(output) => Some(output),
            Poll::Pending => None,
        })
    })
    .await
}
