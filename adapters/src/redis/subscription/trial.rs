//! Finds out whether a user may publish on a channel, without publishing anything there.
//!
//! Programs that know nothing of jetcache for Rust listen to that channel, so a trial event would
//! be heard by them. `MULTI` and `ACL DRYRUN` need rights that a listener does not need otherwise.
//! But on a connection that speaks RESP2 and listens to a channel, a server refuses whatever is not
//! about listening, and it looks at the rights before: it says `NOPERM` to whoever may not publish,
//! and `ERR Can't execute 'publish'` to whoever may.

use jetcache_core::Fault;
use redis::{Client, Pipeline, ServerErrorKind, Value};

use crate::redis::connection::dial::Dial;
use crate::redis::connection::fault::fault;

/// Whether this login may publish on a channel that it listens to already, on another connection:
/// one that may not listen would publish the trial.
///
/// # Errors
/// [`Fault::Refused`] if it may not; what befell the connection.
pub(super) async fn may_publish(dial: &Dial, server: &Client, channel: &str) -> Result<(), Fault> {
    for _ in 0..TRIES {
        match trial(dial, server, channel).await? {
            Value::ServerError(error) if error.kind() == Some(ServerErrorKind::NoPerm) => {
                let words = format!(
                    "nobody would hear of this node's changes, grant it +publish and &{channel}: \
                     {error}"
                );
                return Err(Fault::Refused(words.into()));
            }
            // A message that found its way between the two commands.
            Value::Array(_) => {}
            _ => return Ok(()),
        }
    }
    Ok(())
}

/// What the server says to a listener who wants to publish.
async fn trial(dial: &Dial, server: &Client, channel: &str) -> Result<Value, Fault> {
    let mut connection = dial.open_resp2(server).await?;
    connection.set_response_timeout(dial.timeout);
    // Together: in between, messages on the channel would pass for the answer.
    let mut commands = Pipeline::with_capacity(2);
    commands.cmd("SUBSCRIBE").arg(channel);
    commands.cmd("PUBLISH").arg(channel).arg("");
    let answers = connection.send_packed_commands(&commands, 0, 2).await;
    let mut answers = answers.map_err(|error| fault(&error))?;
    Ok(answers.pop().unwrap_or_default())
}

/// The commands are read in one go, unless the network tears them apart.
const TRIES: usize = 5;
