//! What must hold of raises once all is said and heard: nothing is pending, who begins now believes
//! nothing that is dead, and what one node loads the others accept.

use crate::sim::fate::judge::{ActorId, Id};
use crate::sim::fate::plan::{Ask, Brings, KEYS, Key, Loader, What, Wish};
use crate::sim::fate::promise::Promise;
use crate::sim::generations::scopes::Scopes;
use crate::sim::world::air::Air;
use crate::sim::world::time::World;

impl World {
    pub(crate) fn rest_of_raises(&mut self) {
        if !self.plan.policy.log || self.plan.chance.is_bad(self.now) {
            return;
        }
        self.plan.chance.rests();
        self.plan.read_back = 0;
        (self.plan.fleet.air, self.plan.fleet.slow) = (Air::default(), vec![0; self.nodes.len()]);
        let nodes: Vec<usize> = (0..self.nodes.len())
            .filter(|node| self.nodes[*node].alive)
            .collect();
        // Each knows by then what the others have raised, and the log what each of them knows.
        for _ in 0..2 {
            for &node in &nodes {
                self.rests(node, 0, What::Get(beside_l1()));
            }
        }
        for &node in &nodes {
            let own = &self.nodes[node].generations;
            let (pending, lost) = (own.pending(), own.has_lost_its_log());
            let step = own.next_log_step();
            self.judge
                .rule(pending == 0 && !lost && step.is_none(), Promise::P5, || {
                    format!(
                        "at rest, node {node} has {pending} pending scopes, and is to do {step:?}"
                    )
                });
        }
        if let Some(&first) = nodes.first() {
            self.begins_anew(first);
        }
        for &node in &nodes {
            self.is_accepted(node, &nodes);
        }
    }

    /// A node that has just begun believes nothing that is dead.
    fn begins_anew(&mut self, node: usize) {
        let raised = self.judge.all_raised();
        self.die_now(node);
        self.come_back(node);
        self.drain();
        self.judge.is_raised(node, raised);
        for key in 0..KEYS {
            self.rests(node, key_of(key), What::Get(Wish::default()));
        }
    }

    /// What the node loads now, all the others take from L2: nobody loads it again and again.
    fn is_accepted(&mut self, node: usize, nodes: &[usize]) {
        let loader = Loader {
            takes: 1,
            brings: Brings::Value,
            tags: Scopes::tag(0).and(Scopes::tag(1)),
            ttl: Some(120_000),
        };
        self.rests(node, 0, What::Invalidate);
        self.rests(node, 0, What::Load(beside_l1(), loader));
        for &other in nodes {
            self.finds = Some(Vec::new());
            self.rests(other, 0, What::Get(beside_l1()));
            let found = self.finds.take().unwrap_or_default();
            self.judge.rule(!found.is_empty(), Promise::P1, || {
                format!("at rest, node {other} does not accept what node {node} has loaded")
            });
        }
    }

    /// A reader was answered.
    pub(crate) fn note_found(&mut self, _: ActorId, found: Id) {
        if let Some(finds) = &mut self.finds {
            finds.push(found);
        }
    }

    /// Asks for something, long after everything else, and waits for it.
    fn rests(&mut self, node: usize, key: Key, what: What) {
        let ask = Ask {
            at: self.now + PAUSE,
            node,
            key,
            what,
            dropped: None,
            held: None,
            batch: None,
        };
        self.ask_at_rest(ask);
        self.drain();
    }
}

fn beside_l1() -> Wish {
    Wish {
        skip_local: true,
        ..Wish::default()
    }
}

fn key_of(key: usize) -> Key {
    u8::try_from(key).unwrap_or(0)
}

/// Longer than a second, after which a node without a bus looks at the log.
const PAUSE: u64 = 1_100;
