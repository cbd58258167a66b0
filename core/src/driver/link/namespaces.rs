//! The parts of one L2 that caches have taken for themselves.

use core::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use crate::machine::error::Error;

/// What L2's keys begin with, for each living cache of a node. No prefix begins another: of two
/// caches with `user:` and `user:7:` the first would have the keys of the second.
#[derive(Default)]
pub(crate) struct Namespaces {
    /// Prefixes, and the names of the caches that have them.
    taken: Mutex<Vec<(String, String)>>,
}

/// Those of stores that caches use without a node, by the stores' numbers.
static WITHOUT_NODE: Mutex<Vec<(u64, Weak<Namespaces>)>> = Mutex::new(Vec::new());

impl Namespaces {
    /// What caches without a node have taken of this store.
    pub(crate) fn of(server: u64) -> Arc<Self> {
        let mut stores = WITHOUT_NODE.lock().unwrap_or_else(PoisonError::into_inner);
        stores.retain(|(_, namespaces)| namespaces.strong_count() > 0);
        let mut known = stores.iter().filter(|(of, _)| *of == server);
        if let Some(namespaces) = known.find_map(|(_, namespaces)| namespaces.upgrade()) {
            return namespaces;
        }
        let namespaces = Arc::default();
        stores.push((server, Arc::downgrade(&namespaces)));
        namespaces
    }

    /// Takes a prefix for the cache of this name, until the registration is dropped.
    ///
    /// # Errors
    /// [`Error::Config`] if a living cache has a prefix that begins this one, or begins with it.
    pub(crate) fn take(self: &Arc<Self>, prefix: &str, cache: &str) -> Result<Registration, Error> {
        let mut taken = self.lock();
        let clash = taken
            .iter()
            .find(|(other, _)| other.starts_with(prefix) || prefix.starts_with(other.as_str()));
        if let Some((other_prefix, other)) = clash {
            return Err(Error::config(format!(
                "the caches `{}` and `{cache}` of one node, or of one handle of L2, would share keys there, \
                 which begin with `{}` and `{prefix}`: give one of them another namespace or separator, or \
                 clone the cache that there is",
                other, other_prefix
            )));
        }
        taken.push((prefix.to_owned(), cache.to_owned()));
        Ok(Registration {
            namespaces: Arc::clone(self),
            prefix: prefix.to_owned(),
        })
    }

    fn lock(&self) -> MutexGuard<'_, Vec<(String, String)>> {
        // No user code runs under it.
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Namespaces {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let taken = self.lock();
        let caches = taken.iter().map(|(prefix, cache)| (cache, prefix));
        f.debug_map().entries(caches).finish()
    }
}

/// A prefix that is taken for as long as this exists.
pub(crate) struct Registration {
    namespaces: Arc<Namespaces>,
    prefix: String,
}

impl Drop for Registration {
    fn drop(&mut self) {
        self.namespaces
            .lock()
            .retain(|(prefix, _)| *prefix != self.prefix);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_is_taken_until_its_registration_is_dropped() {
        let namespaces = Arc::new(Namespaces::default());
        let users = namespaces.take("user:", "users").unwrap();
        let _orders = namespaces.take("order:", "orders").unwrap();
        for prefix in ["user:", "user:7:", "use", ""] {
            let text = match namespaces.take(prefix, "new") {
                Err(Error::Config(text)) => text,
                _ => panic!("{prefix} was free"),
            };
            let names = ["`users`", "`user:`", "`new`", &format!("`{prefix}`")];
            assert!(names.iter().all(|name| text.contains(name)), "{text}");
        }
        drop(namespaces.take("users:", "others").unwrap());
        drop(users);
        drop(namespaces.take("user:7:", "new").unwrap());
        assert!(namespaces.take("order:", "new").is_err());
    }

    #[test]
    fn caches_without_a_node_share_the_namespaces_of_their_store() {
        let users = Namespaces::of(u64::MAX).take("user:", "users").unwrap();
        assert!(Namespaces::of(u64::MAX).take("user:", "users").is_err());
        assert!(Namespaces::of(u64::MAX - 1).take("user:", "users").is_ok());
        drop(users);
        assert!(Namespaces::of(u64::MAX).take("user:", "users").is_ok());
    }

    #[test]
    fn an_empty_prefix_is_every_prefix() {
        let namespaces = Arc::new(Namespaces::default());
        let all = namespaces.take("", "all").unwrap();
        assert!(namespaces.take("user:", "users").is_err());
        assert!(namespaces.take("", "all").is_err());
        drop(all);
        assert!(namespaces.take("user:", "users").is_ok());
    }
}
