//! A seat in a flight: leads it, or waits for its answer. Dropping it always leaves the flight.

mod renewal;
mod standing;
mod turn;

use std::sync::Arc;

use crate::driver::flight::chain::LoadKey;
use crate::driver::flight::lease::release;
use crate::driver::link::format::Junk;
use crate::driver::shared::Shared;
use crate::driver::shared::address::Address;
use crate::driver::shared::tables::{Aftermath, Table};
use crate::driver::world::bounds::{CacheKey, CacheValue};
use crate::driver::world::caught::caught;
use crate::machine::error::{Error, Fault};
use crate::machine::event::Event;
use crate::machine::lookup::step::{Answer, Need, Release, Reply, Seen, Step};
use crate::machine::policy::call::Call;
use crate::machine::policy::outage::Outage;
use crate::machine::policy::pace::{Aim, RefreshOutcome};
use crate::machine::shard::{Context, Ticket};
use crate::machine::tier::entry::Cached;
use crate::machine::tier::envelope::Header;
use crate::machine::tier::load::Load;
use crate::machine::tier::unreadable::Unreadable;
use crate::machine::tier::wire::Wire;
use crate::machine::time::Timestamp;
use crate::machine::token::Token;
use crate::ports::remote::{Found, Leased};

pub(crate) struct Seat<K: CacheKey, V: CacheValue> {
    shared: Arc<Shared<K, V>>,
    address: Address<K>,
    /// Boxed, and there only once something is to be remembered: most seats have nothing.
    notes: Option<Box<Notes<V>>>,
    /// There until the seat is left.
    ticket: Option<Ticket>,
    rejoined: u32,
    /// Its flight is led by a task of the same caller: that is no wait for another.
    follows_itself: bool,
    /// Since when it waits for another, if it had to.
    waits: Option<Timestamp>,
}

/// What a leader remembers from one step to the next.
struct Notes<V> {
    /// What its own loader brought, should it be deposed afterwards.
    own: Option<Answer<Arc<V>>>,
    /// The lease that it asked for last.
    asked: Option<Token>,
    /// L2 has granted it.
    is_granted: bool,
    /// That lease, if it was granted just now.
    granted: Option<Token>,
    /// What a fill may replace: junk that L2 showed last; to a refresh, a value as well.
    junk: Option<Vec<u8>>,
    /// It leads a refresh.
    refreshes: bool,
    /// What became of that.
    outcome: Option<RefreshOutcome>,
}

/// The answer of a flight, shared by all who waited for it.
pub(crate) type SharedAnswer<V> = Arc<Answer<Arc<V>>>;

/// How a leader goes on.
pub(crate) enum Next<V> {
    /// This has happened: the reply to the flight's last step.
    Reply(Reply<Arc<V>>),
    /// It needs the world.
    Ask(Need<Arc<V>>),
    /// It leads no more.
    Over(Led<V>),
}

/// How leading ended.
pub(crate) enum Led<V> {
    /// The flight has its answer.
    Answered(SharedAnswer<V>),
    /// Deposed while it loaded: an answer for this caller alone.
    Alone(Answer<Arc<V>>),
    /// Deposed: it waits with the others now.
    Follow,
    /// A refresh had nothing to do: the seat is to be left.
    GaveUp,
}

impl<V> Next<V> {
    /// Whether L2 was asked in vain.
    pub(crate) fn is_unanswered(&self) -> bool {
        match self {
            Self::Reply(Reply::Remote(Err(_))) => true,
            Self::Reply(
                Reply::Leased(Err(fault)) | Reply::Stored(Err(fault)) | Reply::Extended(Err(fault)),
            ) => Outage::is_silence(fault),
            _ => false,
        }
    }
}

impl<V> Led<V> {
    /// The caller's answer, if there is one.
    pub(crate) fn into_answer(self) -> Option<SharedAnswer<V>> {
        match self {
            Self::Answered(answer) => Some(answer),
            Self::Alone(answer) => Some(Arc::new(answer)),
            Self::Follow | Self::GaveUp => None,
        }
    }
}

impl<K: CacheKey, V: CacheValue> Seat<K, V> {
    /// A seat in the key's flight.
    pub(crate) fn join(shared: &Arc<Shared<K, V>>, address: Address<K>, call: Call) -> Self {
        let (ticket, _) = shared.ask(address.shard, |table, context, effects| {
            let key = Arc::clone(&address.key);
            table.join(key, address.bucket, call, context, effects)
        });
        Self::of(shared, address, Some(ticket))
    }

    /// The seat of a flight that refreshes the key; `None` if one is under way already.
    pub(crate) fn refresh(
        shared: &Arc<Shared<K, V>>,
        address: Address<K>,
        call: Call,
        aim: Aim,
    ) -> Option<Self> {
        let ticket = shared.ask(address.shard, |table, context, effects| {
            let key = Arc::clone(&address.key);
            table.open_refresh(key, address.bucket, call, aim, context, effects)
        })?;
        let mut seat = Self::of(shared, address, Some(ticket));
        seat.notes().refreshes = true;
        Some(seat)
    }

    /// The seat of this ticket.
    pub(crate) fn of(
        shared: &Arc<Shared<K, V>>,
        address: Address<K>,
        ticket: Option<Ticket>,
    ) -> Self {
        Self {
            shared: Arc::clone(shared),
            address,
            notes: None,
            ticket,
            rejoined: 0,
            follows_itself: false,
            waits: None,
        }
    }

    /// One more seat in the same flight.
    pub(crate) fn second(&self) -> Self {
        let ticket = self.ticket.as_ref().map(|ticket| {
            self.shared
                .ask(self.address.shard, |table, _, _| table.second_seat(ticket))
        });
        let mut second = Self::of(&self.shared, self.address.clone(), ticket);
        second.rejoined = self.rejoined;
        second.follows_itself = true;
        second
    }

    pub(crate) fn shared(&self) -> &Arc<Shared<K, V>> {
        &self.shared
    }

    pub(crate) fn address(&self) -> &Address<K> {
        &self.address
    }

    /// By which others know its load.
    pub(crate) fn load_key(&self) -> LoadKey {
        LoadKey::of(&self.shared, self.address.hash)
    }

    /// What became of the refresh that this seat led, if its flight came to its end.
    pub(crate) fn outcome(&self) -> Option<RefreshOutcome> {
        self.notes.as_ref()?.outcome
    }

    /// Hands the flight a reply and does what is done at once, until it needs the world.
    pub(crate) fn advance(&mut self, mut reply: Reply<Arc<V>>) -> Next<V> {
        let shared = Arc::clone(&self.shared);
        loop {
            let step = shared.ask(self.address.shard, |table, context, effects| {
                self.step(reply, table, context, effects)
            });
            match self.settle(step) {
                Next::Reply(next) => reply = next,
                next => return next,
            }
        }
    }

    /// One step, under the machine's lock. With the last one the seat is left.
    pub(crate) fn step(
        &mut self,
        reply: Reply<Arc<V>>,
        table: &mut Table<K, V>,
        context: &Context<'_>,
        effects: &mut Aftermath<K, V>,
    ) -> Step<Arc<V>> {
        match (&reply, &mut self.notes) {
            (Reply::Loaded(loaded), _) => self.notes().own = Some(answer_of(loaded)),
            // Whether its answer was believed or not: somebody has to give it back.
            (Reply::Leased(_), Some(notes)) => {
                let granted = core::mem::take(&mut notes.is_granted);
                notes.granted = notes.asked.take().filter(|_| granted);
            }
            (_, Some(notes)) => notes.granted = None,
            (_, None) => {}
        }
        let Some(ticket) = &self.ticket else {
            return Step::Alone(Answer::endless(Err(Error::Closed)));
        };
        let step = table.step(ticket, context, reply, effects);
        if let Some(notes) = &mut self.notes {
            notes.outcome = table.outcome(ticket);
        }
        match step {
            Step::Finish { answer, release } => {
                let ticket = self.ticket.take();
                let left = ticket.and_then(|ticket| table.leave(ticket, context, effects));
                Step::Finish {
                    answer,
                    release: release.or(left),
                }
            }
            step => step,
        }
    }

    /// Does what is done at once, outside the lock. If user code panics, the engine or a `Clone`,
    /// the flight fails with [`Error::Panicked`].
    pub(crate) fn settle(&mut self, step: Step<Arc<V>>) -> Next<V> {
        match caught(|| self.carry_out(step)) {
            Ok(next) => next,
            Err(panic) => Next::Over(self.fail(panic.into())),
        }
    }

    fn carry_out(&mut self, step: Step<Arc<V>>) -> Next<V> {
        match step {
            Step::ReadLocal => {
                let clock = &*self.shared.runtime;
                Next::Reply(Reply::Local(
                    self.shared.level1.read(&self.address.key, clock),
                ))
            }
            Step::WriteLocal { write, entry } => {
                self.shared.level1.write(&self.address.key, entry);
                Next::Reply(Reply::Kept(write))
            }
            Step::Ask(need) => {
                if let Need::Lease { token, .. } = need {
                    self.notes().asked = Some(token);
                }
                Next::Ask(need)
            }
            Step::Finish { answer, release } => {
                self.release(release);
                Next::Over(Led::Answered(answer))
            }
            Step::GiveUp => Next::Over(Led::GaveUp),
            Step::Alone(answer) => Next::Over(Led::Alone(answer)),
            Step::Follow => {
                if let Some(token) = self.notes().granted.take() {
                    self.late_lease(token);
                }
                Next::Over(self.notes().own.take().map_or(Led::Follow, Led::Alone))
            }
        }
    }

    /// The flight cannot go on: everyone who waits gets this error.
    pub(crate) fn fail(&self, error: Error) -> Led<V> {
        let Some(ticket) = &self.ticket else {
            return Led::Alone(Answer::endless(Err(error)));
        };
        let failed = self.shared.ask(self.address.shard, |table, _, effects| {
            table.fail(ticket, error, effects)
        });
        match failed {
            Ok((answer, release)) => {
                self.release(release);
                Led::Answered(answer)
            }
            Err(error) => Led::Alone(Answer::endless(Err(error))),
        }
    }

    fn release(&self, lease: Option<Release>) {
        if let (Some(lease), Some(text)) = (lease, &self.address.text) {
            release(&self.shared, Arc::clone(text), lease);
        }
    }

    /// The lease came when this seat did not lead any more.
    fn late_lease(&self, token: Token) {
        let unwanted = self.shared.ask(self.address.shard, |table, context, _| {
            table.late_lease(token, context)
        });
        self.release(unwanted.then_some(Release::of(token)));
    }

    /// L2 has granted the lease that it asked for.
    pub(crate) fn is_granted(&mut self) {
        self.notes().is_granted = true;
    }

    /// The reply to [`Need::Read`].
    pub(crate) fn read(&mut self, read: Result<Option<Found>, Fault>) -> Reply<Arc<V>> {
        Reply::Remote(read.map(|found| self.seen(found)))
    }

    /// The reply to [`Need::Lease`].
    pub(crate) fn leased(&mut self, leased: Result<Leased, Fault>) -> Reply<Arc<V>> {
        Reply::Leased(leased.map(|Leased { granted, found }| (granted, self.seen(found))))
    }

    fn seen(&mut self, found: Option<Found>) -> Option<Seen<Arc<V>>> {
        let link = self.shared.link.as_ref()?;
        // In the jetcache-go format a fill must say what it replaces.
        let stood = (self.refreshes() && link.format.wire == Wire::JetcacheGo)
            .then(|| found.as_ref().map(|found| found.bytes.clone()))
            .flatten();
        let header = (self.refreshes() && link.format.wire == Wire::Native)
            .then(|| Header::of(&found.as_ref()?.bytes))
            .flatten();
        let (seen, junk) = match link.format.decode(found) {
            Ok(seen) => (
                seen.map(|seen| Seen {
                    header: header.or(seen.header),
                    ..seen
                }),
                None,
            ),
            Err(Junk { bytes, why }) => {
                self.note_unreadable(why);
                (None, Some(bytes))
            }
        };
        if junk.is_some() || self.notes.is_some() {
            self.notes().junk = junk.or(stood);
        }
        seen
    }

    fn note_unreadable(&self, why: Unreadable) {
        if let Some(key) = self.address.text.clone() {
            self.shared.journal.note(&Event::Undecodable { key, why });
        }
    }

    fn notes(&mut self) -> &mut Notes<V> {
        self.notes.get_or_insert_default()
    }

    /// Whether it leads a refresh.
    pub(crate) fn refreshes(&self) -> bool {
        self.notes.as_ref().is_some_and(|notes| notes.refreshes)
    }

    /// Junk that the last look at L2 showed, or what a refresh saw there, which a fill may replace.
    pub(crate) fn junk(&self) -> Option<&[u8]> {
        self.notes.as_ref()?.junk.as_deref()
    }
}

impl<V> Default for Notes<V> {
    fn default() -> Self {
        Self {
            own: None,
            asked: None,
            is_granted: false,
            granted: None,
            junk: None,
            refreshes: false,
            outcome: None,
        }
    }
}

impl<K: CacheKey, V: CacheValue> Drop for Seat<K, V> {
    fn drop(&mut self) {
        let Some(ticket) = self.ticket.take() else {
            return;
        };
        let token = self
            .shared
            .ask(self.address.shard, |table, context, effects| {
                table.leave(ticket, context, effects)
            });
        self.release(token);
        // A lease of which the flight was not told.
        let granted = self.notes.as_mut().filter(|notes| notes.is_granted);
        if let Some(token) = granted.and_then(|notes| notes.asked.take()) {
            self.late_lease(token);
        }
    }
}

fn answer_of<V>(loaded: &Result<Load<Arc<V>>, Error>) -> Answer<Arc<V>> {
    Answer::endless(match loaded {
        Ok(load) => Ok(Cached::known(load.value.clone())),
        Err(error) => Err(error.clone()),
    })
}
