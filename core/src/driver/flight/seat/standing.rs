//! What the loader that a seat is about to run is shown.

use crate::driver::flight::seat::Seat;
use crate::driver::world::bounds::{CacheKey, CacheValue};
use crate::ports::standing::Standing;

impl<K: CacheKey, V: CacheValue> Seat<K, V> {
    /// What stands there. From now on its flight renews that, if the loader says that it is unchanged.
    pub(crate) fn standing(&self) -> Option<Standing<V>> {
        let ticket = self.ticket.as_ref()?;
        let shard = self.address.shard;
        let stands = (self.shared).ask(shard, |table, context, _| table.standing(ticket, context));
        stands.map(Standing::new)
    }
}
