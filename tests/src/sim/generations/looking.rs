//! Whoever looks at the log for nobody's sake: since a bus that watches shows that it has changed, or
//! since another primary lacks something (PROTOCOL.md, T12).

use crate::sim::actors::actor::Actor;
use crate::sim::fate::judge::ActorId;
use crate::sim::generations::believing::Asked;
use crate::sim::generations::raising::RETRY;
use crate::sim::world::time::World;
use crate::sim::world::verb::Verb;

#[derive(Debug)]
pub(crate) struct Look {
    pub(crate) node: usize,
    asked: Option<Asked>,
    /// If nothing comes of it, anything may have changed.
    shown: bool,
}

impl World {
    /// `shown`: by a bus that watches.
    pub(crate) fn look_for_log(&mut self, node: usize, shown: bool) {
        if !shown {
            self.nodes[node].log.raises = true;
        }
        let look = Look {
            node,
            asked: None,
            shown,
        };
        let id = self.enter(Actor::Look(look), usize::MAX, None);
        self.turn_at(id, self.now);
    }

    pub(crate) fn look_turn(&mut self, id: ActorId, mut look: Look) -> Option<Look> {
        let node = look.node;
        let mut asked = match look.asked.take() {
            Some(asked) => asked,
            None if look.shown => self.ask(node, 0, Verb::Top, id),
            None => self.ask_nothing(node),
        };
        let Some(answer) = self.believed(id, &mut asked) else {
            look.asked = Some(asked);
            return Some(look);
        };
        match (look.shown, answer) {
            (true, Err(_)) => self.hear_of_everything(node),
            (true, Ok(_)) => {}
            (false, answer) => {
                self.nodes[node].log.raises = false;
                if answer.is_err() {
                    self.nodes[node].log.raise_after = self.now + RETRY;
                }
            }
        }
        None
    }
}
