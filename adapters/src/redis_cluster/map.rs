//! Which master has which slot, as far as this client knows.

use jetcache_core::Fault;
use redis::Value;

use crate::redis::answer::outcome;
use crate::redis::lease_key::SLOTS;
use crate::redis_cluster::address::Address;

/// The masters, and for each slot the number of its master.
#[derive(Default)]
pub(super) struct Map {
    masters: Vec<Address>,
    owners: Vec<Option<u16>>,
}

impl Map {
    /// What the node at `asked` answered to `CLUSTER SLOTS`: ranges, each with its first and last
    /// slot, its master, and its replicas.
    pub(super) fn parse(answer: Value, asked: &Address) -> Result<Self, Fault> {
        let answer = outcome(answer)?;
        let Value::Array(ranges) = &answer else {
            return Err(strange(&answer));
        };
        let mut map = Self::default();
        for range in ranges {
            let (first, last, master) = parts(range).ok_or_else(|| strange(range))?;
            if let Some(master) = host(master, asked).ok_or_else(|| strange(range))? {
                map.assign(first..=last, master);
            }
        }
        if map.masters.is_empty() {
            return Err(Fault::Refused(
                format!("the node at {asked} knows of no master with slots").into(),
            ));
        }
        Ok(map)
    }

    /// The master of a slot.
    pub(super) fn owner(&self, slot: usize) -> Option<&Address> {
        let owner = (*self.owners.get(slot)?)?;
        self.masters.get(usize::from(owner))
    }

    /// The masters, without those that lost all of their slots to [`assign`](Self::assign).
    pub(super) fn masters(&self) -> &[Address] {
        &self.masters
    }

    /// From here on these slots are this master's.
    pub(super) fn assign(&mut self, slots: impl IntoIterator<Item = usize>, master: Address) {
        let known = self.masters.iter().position(|known| *known == master);
        let number = known.unwrap_or_else(|| {
            self.masters.push(master);
            self.masters.len() - 1
        });
        self.owners.resize(SLOTS, None);
        for slot in slots {
            if let Some(owner) = self.owners.get_mut(slot) {
                *owner = u16::try_from(number).ok();
            }
        }
    }
}

fn parts(range: &Value) -> Option<(usize, usize, &[Value])> {
    let Value::Array(parts) = range else {
        return None;
    };
    let [
        Value::Int(first),
        Value::Int(last),
        Value::Array(master),
        ..,
    ] = &parts[..]
    else {
        return None;
    };
    Some((
        usize::try_from(*first).ok()?,
        usize::try_from(*last).ok().filter(|last| *last < SLOTS)?,
        master,
    ))
}

/// A node's address; the inner option is none if the node that was asked does not know it.
fn host(node: &[Value], asked: &Address) -> Option<Option<Address>> {
    let [name, Value::Int(port), ..] = node else {
        return None;
    };
    let name = match name {
        Value::BulkString(name) => str::from_utf8(name).ok()?,
        Value::SimpleString(name) => name,
        Value::Nil => "",
        _ => return None,
    };
    let port = u16::try_from(*port).ok()?;
    Some(Address::parse(&format!("{name}:{port}"), asked))
}

fn strange(value: &Value) -> Fault {
    let text: String = format!("CLUSTER SLOTS: {value:?}")
        .chars()
        .take(200)
        .collect();
    Fault::Refused(text.into())
}

#[cfg(test)]
mod tests {
    use redis::parse_redis_value;

    use super::*;

    fn asked() -> Address {
        Address::new("asked", 1)
    }

    fn parse(answer: &str) -> Result<Map, Fault> {
        let answer = answer.replace(' ', "\r\n") + "\r\n";
        Map::parse(parse_redis_value(answer.as_bytes()).unwrap(), &asked())
    }

    fn owner(map: &Map, slot: usize) -> Option<String> {
        map.owner(slot).map(Address::to_string)
    }

    #[test]
    fn ranges_have_masters_and_the_rest_has_none() {
        let map =
            parse("*2 *4 :0 :99 *2 $1 a :7 *2 $7 replica :7 *3 :200 :16383 *4 $1 b :8 $2 id *0")
                .unwrap();
        assert_eq!(owner(&map, 0).unwrap(), "a:7");
        assert_eq!(owner(&map, 99).unwrap(), "a:7");
        assert_eq!(owner(&map, 100), None);
        assert_eq!(owner(&map, 16_383).unwrap(), "b:8");
        assert_eq!(owner(&map, 16_384), None);
        assert_eq!(map.masters().len(), 2);
    }

    #[test]
    fn a_node_without_a_name_is_the_one_asked() {
        for name in ["$-1", "_"] {
            let map = parse(&format!("*1 *3 :0 :1 *2 {name} :7")).unwrap();
            assert_eq!(owner(&map, 1).unwrap(), "asked:7");
        }
        let map = Map::parse(
            parse_redis_value(b"*1\r\n*3\r\n:0\r\n:1\r\n*2\r\n$0\r\n\r\n:7\r\n").unwrap(),
            &asked(),
        );
        assert_eq!(owner(&map.unwrap(), 1).unwrap(), "asked:7");
    }

    #[test]
    fn a_node_that_the_one_asked_does_not_know_has_no_slots() {
        let map = parse("*2 *3 :0 :1 *2 $1 ? :7 *3 :2 :3 *2 $1 a :7").unwrap();
        assert_eq!(owner(&map, 1), None);
        assert_eq!(owner(&map, 2).unwrap(), "a:7");
    }

    #[test]
    fn an_answer_that_helps_nobody_is_a_fault() {
        for answer in [
            "*0",
            ":1",
            "-ERR no",
            "*1 :1",
            "*1 *3 :0 :16384 *2 $1 a :7",
            "*1 *3 :-1 :1 *2 $1 a :7",
            "*1 *3 :0 :1 *2 $1 a :70000",
            "*1 *3 :0 :1 *1 $1 a",
            "*1 *3 :0 :1 *2 $1 ? :7",
        ] {
            assert!(matches!(parse(answer), Err(Fault::Refused(_))), "{answer}");
        }
    }

    #[test]
    fn a_slot_can_be_given_to_another() {
        let mut map = parse("*1 *3 :0 :16383 *2 $1 a :7").unwrap();
        map.assign([7], Address::new("b", 8));
        map.assign([8], Address::new("b", 8));
        assert_eq!(owner(&map, 6).unwrap(), "a:7");
        assert_eq!(owner(&map, 7).unwrap(), "b:8");
        assert_eq!(owner(&map, 8).unwrap(), "b:8");
        assert_eq!(map.masters().len(), 2);
        map.assign([99_999], Address::new("b", 8));
    }
}
