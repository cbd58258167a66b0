//! What the attributes and the derive do, on tokio and on smol.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod macros {
    mod cached;
    mod changes;
    mod keys;

    use std::fmt;
    use std::sync::Arc;

    use jetcache_core::{Error, ErrorKind};

    pub(crate) type Value = Arc<str>;

    /// The error of a service, as one would write it.
    #[derive(Clone, Debug, PartialEq, Eq)]
    pub(crate) enum Failure {
        Own(u32),
        Cache(ErrorKind),
    }

    impl fmt::Display for Failure {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            write!(f, "{self:?}")
        }
    }

    impl std::error::Error for Failure {}

    impl From<Error> for Failure {
        fn from(error: Error) -> Self {
            Self::Cache(error.kind())
        }
    }

    pub(crate) fn on_tokio<T>(future: impl Future<Output = T>) -> T {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build();
        runtime.unwrap().block_on(future)
    }

    /// Runs a future in a task of tokio's, which must be `Send`.
    pub(crate) fn in_a_task<T: Send + 'static>(
        future: impl Future<Output = T> + Send + 'static,
    ) -> T {
        on_tokio(async { tokio::spawn(future).await.unwrap() })
    }
}
