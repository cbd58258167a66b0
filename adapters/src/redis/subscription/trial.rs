//! Finds out whether a user may publish on a channel, without publishing anything there.
//!
//! Programs that know nothing of jetcache for Rust listen to that channel, so a trial event would
//! be heard by them. `MULTI` and `ACL DRYRUN` need rights that a listener does not need otherwise.
//! But on a connection that speaks RESP2 and listens to a channel, a server refuses whatever is not
//! about listening, and it looks at the rights before: it says `NOPERM` to whoever may not publish,
//! and `ERR Can't execute 'publish'` to whoever may.

use jetcache_core::Fault;
use redis::{ServerErrorKind, Value};

use crate::redis::answer::outcome;
use crate::redis::connection::dial::Dial;
use crate::redis::connection::fault::fault;

/// Whether this login may publish on the channel.
///
/// # Errors
/// [`Fault::Refused`] if it may not, or may not even listen; what befell the connection.
pub(super) async fn may_publish(dial: &Dial, channel: &str) -> Result<(), Fault> {
    let mut connection = dial.open_resp2().await?;
    connection.set_response_timeout(dial.timeout);
    let mut listen = redis::cmd("SUBSCRIBE");
    listen.arg(channel);
    let listening = connection.send_packed_command(&listen).await;
    let listening = outcome(listening.map_err(|error| fault(&error))?)?;
    if !is_listening(&listening) {
        // Whoever this is, it would publish the trial.
        return Ok(());
    }
    let mut publish = redis::cmd("PUBLISH");
    publish.arg(channel).arg("");
    for _ in 0..TRIES {
        let answer = connection.send_packed_command(&publish).await;
        match answer.map_err(|error| fault(&error))? {
            Value::ServerError(error) if error.kind() == Some(ServerErrorKind::NoPerm) => {
                let words = format!(
                    "nobody would hear of this node's changes, grant it +publish and &{channel}: \
                     {error}"
                );
                return Err(Fault::Refused(words.into()));
            }
            // A message on the channel, which came before the answer.
            Value::Array(_) => {}
            _ => return Ok(()),
        }
    }
    Ok(())
}

fn is_listening(answer: &Value) -> bool {
    match answer {
        Value::Array(words) => {
            matches!(words.first(), Some(Value::BulkString(word)) if word == b"subscribe")
        }
        _ => false,
    }
}

/// How many messages may come before the answer is given up: a right that is missing is then not
/// noticed before the next subscription.
const TRIES: usize = 1000;
