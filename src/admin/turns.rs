//! Turns: those who want the same thing wait for each other.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::OwnedMutexGuard;

/// One turn for each key at a time. Keys that nobody wants take no memory.
pub(super) struct Turns<K>(Mutex<HashMap<K, Arc<tokio::sync::Mutex<()>>>>);

/// A turn; dropping it ends it.
pub(super) struct Turn<'a, K: Hash + Eq> {
    turns: &'a Turns<K>,
    key: K,
    /// `None` only while it is dropped.
    held: Option<OwnedMutexGuard<()>>,
}

impl<K: Hash + Eq + Copy> Turns<K> {
    /// Waits for the turn. Cancellation safe.
    pub(super) async fn take(&self, key: K) -> Turn<'_, K> {
        // Made first: it tidies up also when the waiting is given up.
        let mut turn = Turn {
            turns: self,
            key,
            held: None,
        };
        let lock = Arc::clone(self.0.lock().entry(key).or_default());
        turn.held = Some(lock.lock_owned().await);
        turn
    }
}

impl<K: Hash + Eq> Drop for Turn<'_, K> {
    fn drop(&mut self) {
        let mut turns = self.turns.0.lock();
        drop(self.held.take());
        // Clones are taken under the lock only: one is the map's own.
        let idle = |lock: &Arc<_>| Arc::strong_count(lock) == 1;
        if turns.get(&self.key).is_some_and(idle) {
            turns.remove(&self.key);
        }
    }
}

impl<K> Default for Turns<K> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt as _;

    use super::*;

    #[tokio::test]
    async fn one_key_is_held_by_one_at_a_time_and_others_are_free() {
        let turns = Turns::default();
        let first = turns.take(1).await;
        let mut second = Box::pin(turns.take(1));
        assert!(second.as_mut().now_or_never().is_none());
        drop(turns.take(2).await);
        drop(first);
        drop(second.await);
        assert!(turns.0.lock().is_empty());
    }

    #[tokio::test]
    async fn a_wait_that_is_given_up_leaves_nothing() {
        let turns = Turns::default();
        let first = turns.take(1).await;
        let mut second = Box::pin(turns.take(1));
        assert!(second.as_mut().now_or_never().is_none());
        drop(first);
        drop(second);
        assert!(turns.0.lock().is_empty());
    }
}
