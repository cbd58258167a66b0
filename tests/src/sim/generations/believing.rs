//! Before an answer of L2 is believed, its node knows all raises up to the highest number that came
//! with it (PROTOCOL.md, T2, T7, T12). This does what a driver does, one event at a time.

use jetcache_core::Condition;
use jetcache_core::machine::change::ChangeOutcome;
use jetcache_core::machine::error::Fault;
use jetcache_core::machine::generations::heard::Aftermath;
use jetcache_core::machine::generations::known::LogStep;

use crate::sim::actors::change::{Change, Kind};
use crate::sim::fate::judge::{ActorId, Id};
use crate::sim::fate::plan::Key;
use crate::sim::fate::script::Point;
use crate::sim::generations::judging::Floors;
use crate::sim::generations::log::Word;
use crate::sim::generations::scopes::{Scopes, marks_of};
use crate::sim::world::net::{CommandId, Sender};
use crate::sim::world::time::{World, whole_millis};
use crate::sim::world::verb::{Receipt, Verb};

type Answer = Result<Receipt, Fault>;

/// A question to L2.
#[derive(Debug)]
pub(crate) struct Asked {
    pub(crate) node: usize,
    /// `None` if nothing but the log is asked about.
    pub(crate) command: Option<CommandId>,
    /// The look at the highest number that is on its way beside it.
    look: Option<CommandId>,
    believes: Believes,
    phase: Phase,
}

/// What becomes of an answer if nobody knows what was raised.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Believes {
    /// It says nothing of values.
    Always,
    /// It is none.
    Known,
    /// It counts.
    Anyhow,
}

#[derive(Debug)]
enum Phase {
    Answer,
    Look(Answer),
    /// Waits for its turn to catch up, or has it; until when.
    Turn(Answer, u64),
    Step(Answer, u64, CommandId, LogStep),
    Sweep(Answer, u64, ActorId),
    Over,
}

impl World {
    /// Asks L2, and for the highest number of its log if that is looked at.
    pub(crate) fn ask(&mut self, node: usize, key: Key, verb: Verb, id: ActorId) -> Asked {
        let believes = match verb {
            _ if !self.plan.policy.log => Believes::Always,
            Verb::Read | Verb::Lease { .. } | Verb::Top => Believes::Known,
            Verb::Claim { .. } => Believes::Anyhow,
            _ => Believes::Always,
        };
        let command = self.send(node, key, verb, Sender::Actor(id));
        let beside = match verb {
            Verb::Read => self.plan.fleet.cluster,
            Verb::Lease { .. } | Verb::Claim { .. } => true,
            _ => false,
        };
        let looks = believes != Believes::Always && beside && self.looks_at_log(node);
        Asked {
            node,
            command: Some(command),
            look: looks.then(|| self.send(node, key, Verb::Top, Sender::Actor(id))),
            believes,
            phase: Phase::Answer,
        }
    }

    /// Catches up with what is known to be missing.
    pub(crate) fn ask_nothing(&self, node: usize) -> Asked {
        Asked {
            node,
            command: None,
            look: None,
            believes: Believes::Known,
            phase: Phase::Look(Ok(Receipt::Done)),
        }
    }

    /// Whether the highest number goes with the next answer: always where it costs no other command.
    fn looks_at_log(&self, node: usize) -> bool {
        let own = &self.nodes[node];
        // Of a raise that nobody acknowledged only L2 itself tells.
        let told = self.is_bus_on_l2() && own.ear.knows;
        let due = !told && self.now + own.clock >= own.log.looked + EVERY;
        !self.plan.fleet.cluster || own.generations.is_to_look() || due
    }

    /// What the sender finds when it looks: an answer that is believed, a fault, or nothing yet.
    pub(crate) fn believed(&mut self, id: ActorId, asked: &mut Asked) -> Option<Answer> {
        loop {
            asked.phase = match core::mem::replace(&mut asked.phase, Phase::Over) {
                Phase::Answer => {
                    let answer = asked.command.and_then(|command| self.awaited(command));
                    let Some(answer) = answer else {
                        asked.phase = Phase::Answer;
                        return None;
                    };
                    // A second look that finds nothing shows nothing dead, and teaches nothing.
                    let nothing = matches!(answer, Ok(Receipt::Leased(_, None)));
                    if asked.believes == Believes::Always || answer.is_err() || nothing {
                        if let Some(look) = asked.look {
                            self.forsaken(look);
                        }
                        return Some(answer);
                    }
                    Phase::Look(answer)
                }
                Phase::Look(answer) => {
                    let shown = match asked.look {
                        None => asked.command,
                        Some(look) => match self.awaited(look) {
                            None => {
                                asked.phase = Phase::Look(answer);
                                return None;
                            }
                            Some(Ok(_)) => Some(look),
                            Some(Err(_)) => return Some(self.unknown(asked, answer)),
                        },
                    };
                    self.take_up_primary(asked.node);
                    self.see_top(asked.node, shown);
                    if self.next_log_step(asked.node).is_none() {
                        return Some(answer);
                    }
                    let timeout = whole_millis(self.plan.policy.remote_timeout);
                    Phase::Turn(answer, self.now + timeout)
                }
                Phase::Turn(answer, until) => {
                    let turn = self.nodes[asked.node].log.turn;
                    // Who stands still holds up nobody.
                    let others = turn.filter(|(its, until)| *its != id && self.now < *until);
                    if let Some((_, ends)) = others {
                        if self.now >= until {
                            return Some(self.unknown(asked, answer));
                        }
                        self.nodes[asked.node].log.waiting.push(id);
                        self.turn_at(id, until.min(ends));
                        asked.phase = Phase::Turn(answer, until);
                        return None;
                    }
                    self.nodes[asked.node].log.turn = Some((id, until));
                    let Some(step) = self.next_log_step(asked.node) else {
                        self.end_turn(asked.node, id);
                        return Some(answer);
                    };
                    if self.now >= until {
                        self.end_turn(asked.node, id);
                        return Some(self.unknown(asked, answer));
                    }
                    let command = self.ask_log(asked.node, id, &step);
                    self.turn_at(id, until);
                    asked.phase = Phase::Step(answer, until, command, step);
                    return None;
                }
                Phase::Step(answer, until, command, step) => match self.awaited(command) {
                    // Somebody else may have its turn by then.
                    _ if self.now >= until => {
                        self.forsaken(command);
                        self.end_turn(asked.node, id);
                        return Some(self.unknown(asked, answer));
                    }
                    None => {
                        self.turn_at(id, until);
                        asked.phase = Phase::Step(answer, until, command, step);
                        return None;
                    }
                    Some(Err(_)) => {
                        self.forsaken(command);
                        self.end_turn(asked.node, id);
                        return Some(self.unknown(asked, answer));
                    }
                    Some(Ok(receipt)) => {
                        match self.log_answers(asked.node, (id, command), step, receipt) {
                            None => Phase::Turn(answer, until),
                            Some(sweep) => Phase::Sweep(answer, until, sweep),
                        }
                    }
                },
                Phase::Sweep(answer, until, sweep) => {
                    if self.actors[sweep].is_some() {
                        asked.phase = Phase::Sweep(answer, until, sweep);
                        return None;
                    }
                    Phase::Turn(answer, until)
                }
                Phase::Over => unreachable!("it has been answered"),
            };
        }
    }

    /// Of L2, where the highest number comes with every answer, nothing is taken that is older than what
    /// had been acknowledged anywhere when it was asked.
    pub(crate) fn judge_l2(&mut self, node: usize, raised: Floors, id: Id) {
        if !self.plan.fleet.cluster {
            self.judge.is_alive(node, raised, id, "L2");
        }
    }

    /// What is dead is not present (T2).
    pub(crate) fn judge_condition(&mut self, change: &Change, outcome: ChangeOutcome) {
        let Kind::Insert(Some(condition)) = change.kind else {
            return;
        };
        let present = condition == Condition::Present;
        if let (ChangeOutcome::Applied(applied), Some(stood)) = (outcome, change.stood)
            && applied == present
        {
            let (node, floors) = (change.node, change.floors);
            self.judge.is_alive(node, floors, stood, "a condition");
        }
    }

    fn see_top(&mut self, node: usize, command: Option<CommandId>) {
        let Some(command) = command else {
            return;
        };
        let (asked, top) = (self.commands[command].asked, self.commands[command].top);
        let Some(top) = top else {
            return;
        };
        let sent = self.commands[command].sent_at;
        let own = &mut self.nodes[node];
        own.log.looked = own.log.looked.max(sent + own.clock);
        own.generations.on_top(asked, top);
        self.note(|| format!("    node {node} sees the number {top:?}, it knew {asked:?}"));
    }

    fn next_log_step(&self, node: usize) -> Option<LogStep> {
        self.nodes[node].generations.next_log_step()
    }

    fn ask_log(&mut self, node: usize, id: ActorId, step: &LogStep) -> CommandId {
        let verb = match step {
            LogStep::News { since, .. } => Verb::News { since: *since },
            LogStep::Ensure { clock, marks, .. } => Verb::Ensure {
                clock: *clock,
                marks: marks_of(marks),
            },
        };
        self.send(node, 0, verb, Sender::Actor(id))
    }

    /// Returns what sweeps L1, if that is needed.
    fn log_answers(
        &mut self,
        node: usize,
        (id, command): (ActorId, CommandId),
        step: LogStep,
        receipt: Receipt,
    ) -> Option<ActorId> {
        self.take_up_primary(node);
        let generations = &mut self.nodes[node].generations;
        match (step, receipt) {
            (
                LogStep::News {
                    since, top, reign, ..
                },
                Receipt::News(page),
            ) => {
                let news = generations.on_news((since, top), reign, &page);
                self.note(|| format!("    node {node} has news: {page:?}"));
                // Another primary has taken over since, or more is to come: the node makes nothing of it.
                let same = self.commands[command].known == self.nodes[node].known;
                let list = if same && page.next.is_none() {
                    page.marks
                } else {
                    Vec::new()
                };
                let learnt = self.judge.learnt_of(&list);
                self.learnt(node, &news, learnt, Some(id))
            }
            (LogStep::Ensure { marks, reign, .. }, Receipt::Ensured(ensured)) => {
                generations.on_ensured(&marks, reign, ensured.top);
                if let Some(event) = ensured.raised
                    && let Some((before, number)) = event.numbers
                {
                    let scopes = Scopes::of(&event.scopes);
                    let word = Word {
                        before,
                        number,
                        scopes,
                    };
                    self.tell_of_raise(id, node, word);
                }
                None
            }
            (step, receipt) => unreachable!("{receipt:?} answers {step:?}"),
        }
    }

    /// The node has had news of raises: nothing older than these floors is read once L1 is swept, by
    /// an actor if that is needed.
    pub(crate) fn learnt(
        &mut self,
        node: usize,
        news: &Aftermath,
        floors: Floors,
        then: Option<ActorId>,
    ) -> Option<ActorId> {
        if !news.clears() {
            self.is_raised_soon(node, floors);
            return None;
        }
        Some(self.sweep_raised(node, news, floors, then))
    }

    fn end_turn(&mut self, node: usize, id: ActorId) {
        let own = &mut self.nodes[node];
        if own.log.turn.is_some_and(|(its, _)| its == id) {
            own.log.turn = None;
            for waiting in core::mem::take(&mut own.log.waiting) {
                if waiting != id && self.actors[waiting].is_some() {
                    self.turn_after(waiting, Point::Step);
                }
            }
        }
    }

    fn unknown(&mut self, asked: &Asked, answer: Answer) -> Answer {
        match asked.believes {
            Believes::Always => answer,
            Believes::Anyhow => {
                // A condition may have been judged by what is dead: the driver goes on all the same.
                if let Some(command) = asked.command {
                    self.commands[command].stood = None;
                }
                answer
            }
            Believes::Known => {
                self.note(|| "    what was raised is not known".into());
                Err(Fault::Unreachable("what was raised is not known".into()))
            }
        }
    }

    /// The sender is gone.
    pub(crate) fn unasked(&mut self, id: ActorId, asked: Asked) {
        let commands = asked.command.into_iter().chain(asked.look);
        for command in commands {
            self.forsaken(command);
        }
        if let Phase::Step(_, _, command, _) = asked.phase {
            self.forsaken(command);
        }
        self.end_turn(asked.node, id);
    }
}

/// How often the highest number is looked at where no bus tells of raises, in milliseconds.
const EVERY: u64 = 1_000;
