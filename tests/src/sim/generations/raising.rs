//! Raises: of tags and of the whole namespace, and those that are repeated (PROTOCOL.md, T8, T10,
//! T11). What a node does when it hears of one.

use jetcache_core::machine::generations::heard::Aftermath;
use jetcache_core::machine::generations::scope::RaiseEvent;
use jetcache_core::machine::generations::ticket::RaiseTicket;
use jetcache_core::machine::generations::ticket::Raised;
use jetcache_core::machine::time::Timestamp;

use crate::sim::actors::actor::Actor;
use crate::sim::actors::hearing::Sweep;
use crate::sim::fate::judge::ActorId;
use crate::sim::fate::plan::{Ask, KEYS, What};
use crate::sim::fate::script::Point;
use crate::sim::generations::judging::Floors;
use crate::sim::generations::log::Word;
use crate::sim::generations::scopes::Scopes;
use crate::sim::world::bus::{Bus, Message, Moment};
use crate::sim::world::net::{CommandId, Sender};
use crate::sim::world::server::bucket;
use crate::sim::world::time::{Happening, World};
use crate::sim::world::verb::{Receipt, Verb};

/// A raise under way.
#[derive(Debug)]
pub(crate) struct Raise {
    pub(crate) node: usize,
    scopes: Scopes,
    /// Nothing older than this is read once it is over.
    floors: Floors,
    ticket: Option<RaiseTicket>,
    /// It is repeated, and nobody waits for it.
    again: bool,
    state: State,
}

#[derive(Debug)]
enum State {
    Open,
    Command(CommandId),
    Sweep(ActorId, bool),
}

impl Raise {
    pub(crate) fn is_at_await(&self) -> bool {
        matches!(self.state, State::Command(_))
    }
}

impl World {
    pub(crate) fn raise(&self, ask: &Ask) -> Raise {
        let scopes = match ask.what {
            What::Raise(scopes) => scopes,
            _ => Scopes::NONE,
        };
        Raise {
            node: ask.node,
            scopes,
            floors: Floors::default(),
            ticket: None,
            again: false,
            state: State::Open,
        }
    }

    pub(crate) fn raise_turn(&mut self, id: ActorId, mut raise: Raise) -> Option<Raise> {
        let node = raise.node;
        match core::mem::replace(&mut raise.state, State::Open) {
            State::Open => {
                raise.floors = Floors::of(raise.scopes, self.index);
                let policy = &self.plan.policy;
                if !policy.kind.has_remote() || !policy.log {
                    let own = &mut self.nodes[node].generations;
                    let news = own.raised_here(&raise.scopes.list());
                    return self.raised_on(id, raise, &news, true);
                }
                let ticket = self.nodes[node].generations.raise(raise.scopes.list());
                raise.state = State::Command(self.send_raise(id, node, &ticket, raise.floors));
                raise.ticket = Some(ticket);
                Some(raise)
            }
            State::Command(command) => match self.awaited(command) {
                None => {
                    raise.state = State::Command(command);
                    Some(raise)
                }
                Some(Ok(Receipt::Raised(raised))) => self.raise_over(id, raise, Some(raised)),
                Some(_) => self.raise_over(id, raise, None),
            },
            State::Sweep(sweep, acknowledged) if self.actors[sweep].is_some() => {
                raise.state = State::Sweep(sweep, acknowledged);
                Some(raise)
            }
            State::Sweep(_, acknowledged) => {
                self.raise_returns(&raise, acknowledged);
                None
            }
        }
    }

    fn send_raise(
        &mut self,
        id: ActorId,
        node: usize,
        ticket: &RaiseTicket,
        floors: Floors,
    ) -> CommandId {
        let verb = Verb::Raise {
            clock: ticket.clock(),
            scopes: Scopes::of(ticket.scopes()),
        };
        let command = self.send(node, 0, verb, Sender::Actor(id));
        self.commands[command].floors = floors;
        command
    }

    /// L2 has answered, or it is given up.
    fn raise_over(
        &mut self,
        id: ActorId,
        mut raise: Raise,
        answer: Option<Raised>,
    ) -> Option<Raise> {
        let node = raise.node;
        let ticket = raise.ticket.take()?;
        self.take_up_primary(node);
        let (now, scopes) = (self.timestamp(node), Scopes::of(ticket.scopes()));
        let own = &mut self.nodes[node].generations;
        let (acknowledged, news) = own.raised(ticket, answer.as_ref(), now);
        self.note(|| format!("raise {id} of {scopes:?}: {answer:?}, acknowledged: {acknowledged}"));
        if let Some(answer) = &answer {
            let all = if answer.anew {
                Scopes::ALL
            } else {
                Scopes::NONE
            };
            let word = Word {
                before: answer.before,
                number: answer.number,
                scopes: scopes.and(all),
            };
            self.tell_of_raise(id, node, word);
        }
        if acknowledged && self.plan.fleet.failovers.is_empty() {
            self.judge.raise_acknowledged(raise.floors.only(scopes));
        }
        if !acknowledged && raise.again {
            self.nodes[node].log.raise_after = self.now + RETRY;
        }
        self.raised_on(id, raise, &news, acknowledged)
    }

    fn raised_on(
        &mut self,
        id: ActorId,
        mut raise: Raise,
        news: &Aftermath,
        acknowledged: bool,
    ) -> Option<Raise> {
        match self.learnt(raise.node, news, raise.floors, Some(id)) {
            Some(sweep) => {
                raise.state = State::Sweep(sweep, acknowledged);
                Some(raise)
            }
            None => {
                self.raise_returns(&raise, acknowledged);
                None
            }
        }
    }

    fn raise_returns(&mut self, raise: &Raise, acknowledged: bool) {
        let Raise { node, scopes, .. } = *raise;
        if raise.again {
            self.nodes[node].log.raises = false;
            return;
        }
        self.note(|| format!("the raise of {scopes:?} returns, acknowledged: {acknowledged}"));
        self.judge.is_raised(node, raise.floors);
        let life = self.nodes[node].life;
        self.judge.raise_is_due(raise.floors, (node, life));
        for key in 0..KEYS {
            self.read_back(node, u8::try_from(key).unwrap_or(0));
        }
    }

    /// The task is gone.
    pub(crate) fn raise_dropped(&mut self, id: ActorId, mut raise: Raise) -> Option<Raise> {
        match core::mem::replace(&mut raise.state, State::Open) {
            State::Command(command) => {
                self.forsaken(command);
                self.raise_over(id, raise, None)
            }
            State::Open => None,
            state @ State::Sweep(..) => {
                raise.state = state;
                self.turn_at(id, self.now);
                Some(raise)
            }
        }
    }

    /// It is time to repeat what L2 has not acknowledged.
    pub(crate) fn raise_again(&mut self, node: usize) {
        self.nodes[node].log.raise_at = None;
        if !self.nodes[node].alive || self.nodes[node].log.raises {
            return;
        }
        self.take_up_primary(node);
        let now = self.timestamp(node);
        let Some(ticket) = self.nodes[node].generations.raise_again(now) else {
            if self.nodes[node].generations.lacks() {
                self.look_for_log(node, false);
            }
            return;
        };
        self.nodes[node].log.raises = true;
        let scopes = Scopes::of(ticket.scopes());
        let floors = self.judge.floors_of(node).only(scopes);
        let raise = Raise {
            node,
            scopes,
            floors,
            ticket: None,
            again: true,
            state: State::Open,
        };
        let id = self.enter(Actor::Raise(raise), usize::MAX, None);
        let command = self.send_raise(id, node, &ticket, floors);
        self.note(|| format!("node {node} raises {scopes:?} again, as actor {id}"));
        if let Some(Actor::Raise(raise)) = &mut self.actors[id] {
            (raise.ticket, raise.state) = (Some(ticket), State::Command(command));
        }
    }

    /// When that is, if it is not known yet.
    pub(crate) fn await_raises(&mut self, node: usize) {
        let own = &self.nodes[node];
        if own.log.raises || !own.alive {
            return;
        }
        let due = match own.generations.next_raise() {
            // Then it stays pending, and the judge finds it at rest.
            Some(due) if due == Timestamp::MAX => return,
            Some(due) => self.when(node, due),
            None if own.generations.lacks() => self.now,
            None => return,
        };
        let due = due.max(self.now).max(self.nodes[node].log.raise_after);
        if self.nodes[node].log.raise_at.is_none_or(|at| due < at) {
            self.nodes[node].log.raise_at = Some(due);
            let pause = self.plan.chance.pause(usize::MAX, Point::Repair);
            self.queue(due + pause, Happening::RaiseAgain(node));
        }
    }

    /// Tells of a raise that L2 has answered, if this bus works so.
    pub(crate) fn tell_of_raise(&mut self, id: ActorId, node: usize, word: Word) {
        if self.plan.fleet.bus != Bus::Publish {
            return;
        }
        let (life, ask) = (self.nodes[node].life, self.asks[id]);
        let message = self.message(Message {
            raise: Some(word),
            source: Some((node, life)),
            said: self.now,
            ask,
            ..Message::of(0)
        });
        let pause = self.pause(ask, Point::Publish);
        self.queue(
            self.now + pause,
            Happening::Bus(Moment::Publish(message, node, life)),
        );
    }

    /// A node hears of a raise, be it its own.
    pub(crate) fn hear_raise(&mut self, node: usize, word: Word, (own, said): (bool, u64)) {
        let event = RaiseEvent {
            numbers: Some((word.before, word.number)),
            scopes: word.scopes.list(),
        };
        self.take_up_primary(node);
        let now = self.timestamp(node);
        let news = self.nodes[node].generations.hear(&event, own, now);
        let floors = self.judge.told_of(word.number).only(word.scopes);
        if !self.is_too_late(said) {
            // Now it has to see to it that L2 does not lose that.
            let life = self.nodes[node].life;
            self.judge.raise_is_due(floors, (node, life));
        }
        self.learnt(node, &news, floors, None);
    }

    /// Keys of some buckets, or all, are nobody's any more, and L1 is emptied.
    pub(crate) fn sweep_raised(
        &mut self,
        node: usize,
        news: &Aftermath,
        floors: Floors,
        then: Option<ActorId>,
    ) -> ActorId {
        let (rest, leases) = self.machine(node, |shard, _, effects| {
            shard.supersede_raised(news, effects)
        });
        for (key, lease) in leases {
            self.release(node, key, lease, usize::MAX);
        }
        for key in 0..KEYS {
            let key = u8::try_from(key).unwrap_or(0);
            if news.concerns(bucket(key)) {
                self.judge.superseded(node, key, self.index);
            }
        }
        let sweep = Sweep {
            node,
            key: None,
            rest: Some(rest),
            written: false,
            superseded: self.index,
            floors: [0; KEYS],
            foreign: None,
            filled: None,
            lasting: 0,
            begun: None,
            raised: Some(floors),
            raises: true,
            then,
        };
        self.enter(Actor::Sweep(sweep), usize::MAX, None)
    }

    /// The node keeps to these floors, once L1 is emptied of what is emptied already.
    pub(crate) fn is_raised_soon(&mut self, node: usize, floors: Floors) {
        let sweeps = self.actors.iter_mut().flatten().rev();
        let mut sweeps = sweeps.filter_map(|actor| match actor {
            Actor::Sweep(sweep) if sweep.node == node && sweep.raises => Some(sweep),
            _ => None,
        });
        match sweeps.next() {
            Some(sweep) => sweep.raised = Some(sweep.raised.unwrap_or_default().or(floors)),
            None => self.judge.is_raised(node, floors),
        }
    }
}

/// How long a node waits after a repeated raise that failed, in milliseconds.
pub(crate) const RETRY: u64 = 10;
