//! What a node answered at a stop.

use redis::Value;

use crate::redis_cluster::address::Address;
use crate::redis_cluster::course::stop::Stop;
use crate::redis_cluster::redirect::Redirect;

/// What a node answered to a command, or to those that belong together; and whether that was a
/// redirection.
pub(super) struct Said {
    pub(super) values: Vec<Value>,
    pub(super) redirect: Option<Redirect>,
}

impl Said {
    pub(super) fn read(
        values: &mut impl Iterator<Item = Value>,
        count: usize,
        stop: &Stop,
        asked: &Address,
    ) -> Self {
        let permit = if stop.is_asking() {
            values.next()
        } else {
            None
        };
        let mut own: Vec<Value> = values.take(count).collect();
        let redirect = own.iter().find_map(|value| Redirect::of(value, asked));
        match permit {
            // The user may not send `ASKING`: following the redirection would go round in a circle.
            Some(refusal @ Value::ServerError(_)) => {
                own.fill(refusal);
                Self {
                    values: own,
                    redirect: None,
                }
            }
            _ => Self {
                values: own,
                redirect,
            },
        }
    }
}
