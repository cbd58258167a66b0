//! The Lua scripts, called by their hash and loaded when the server does not know them.
//!
//! They are part of the wire protocol: old and new versions of a program run theirs on the same
//! keys during a deploy.

use std::sync::LazyLock;

use jetcache_core::Fault;
use redis::{Cmd, Pipeline, ServerErrorKind, Value};

use crate::redis::answer::outcome;
use crate::redis::connection::line::{Batch, Line, Repeat};

/// One of the scripts.
#[derive(Clone, Copy, Debug)]
pub(super) enum Script {
    /// Keys: value, lease. Arguments: token, bytes, life, stale window, the lease's life, its age
    /// when this was sent (all in milliseconds), 1 to remove both keys if nothing is stored, and,
    /// empty unless the format is jetcache-go's, what must stand under the key, after a `=`; a bare
    /// `-` for nothing. To announce: the channel, the event of a value that is stored, and, if there
    /// is one, that of a removal.
    Store,
    /// Keys: lease. Arguments: token.
    Release,
    /// Keys: value, lease. Arguments: token, the lease's life in milliseconds, `absent`, `present`
    /// or `any`, and, empty unless the format is jetcache-go's, its placeholder. To announce: the
    /// channel and the event.
    Claim,
    /// Keys: value, lease. To announce: the channel and the event.
    Remove,
}

impl Script {
    const ALL: [Self; 4] = [Self::Store, Self::Release, Self::Claim, Self::Remove];

    const fn text(self) -> &'static str {
        match self {
            Self::Store => STORE,
            Self::Release => RELEASE,
            Self::Claim => CLAIM,
            Self::Remove => REMOVE,
        }
    }

    fn hash(self) -> &'static str {
        static HASHES: LazyLock<[redis::Script; 4]> =
            LazyLock::new(|| Script::ALL.map(|script| redis::Script::new(script.text())));
        HASHES[self as usize].get_hash()
    }

    /// A call of the script; its arguments are yet to be added.
    pub(super) fn call(self, keys: &[&str]) -> Cmd {
        let mut command = redis::cmd("EVALSHA");
        command.arg(self.hash()).arg(keys.len()).arg(keys);
        command
    }
}

/// Sends the commands in one pipeline; one outcome a command. What the server refused for not
/// knowing the script was not carried out: it is sent again, once, behind the scripts.
pub(super) async fn run(
    line: &dyn Line,
    commands: Vec<Cmd>,
    repeat: Repeat,
) -> Vec<Result<Value, Fault>> {
    let count = commands.len();
    let mut pipeline = Pipeline::with_capacity(count);
    for command in commands {
        pipeline.add_command(command);
    }
    let batch = Batch {
        commands: &pipeline,
        ahead: 0,
        alone: count,
        repeat,
    };
    let mut answers = line.send(batch).await;
    let unknown: Vec<usize> = (0..answers.len())
        .filter(|&at| is_unknown(&answers[at]))
        .collect();
    let mut fault = None;
    if !unknown.is_empty() {
        match again(line, &pipeline, &unknown, repeat).await {
            Ok(second) => {
                for (&at, answer) in unknown.iter().zip(second) {
                    answers[at] = answer;
                }
            }
            Err(why) => fault = Some(why),
        }
    }
    answers
        .into_iter()
        .map(|answer| match &fault {
            Some(fault) if is_unknown(&answer) => Err(fault.clone()),
            _ => outcome(answer?),
        })
        .collect()
}

async fn again(
    line: &dyn Line,
    commands: &Pipeline,
    unknown: &[usize],
    repeat: Repeat,
) -> Result<Vec<Result<Value, Fault>>, Fault> {
    let mut pipeline = Pipeline::with_capacity(Script::ALL.len() + unknown.len());
    for script in Script::ALL {
        pipeline.cmd("SCRIPT").arg("LOAD").arg(script.text());
    }
    for (_, command) in commands
        .cmd_iter()
        .enumerate()
        .filter(|(at, _)| unknown.contains(at))
    {
        pipeline.add_command(command.clone());
    }
    let batch = Batch {
        commands: &pipeline,
        ahead: Script::ALL.len(),
        alone: unknown.len(),
        repeat,
    };
    let mut answers = line.send(batch).await;
    let calls = answers.split_off(Script::ALL.len().min(answers.len()));
    // If the load was refused, its reason is the one worth reading.
    answers
        .into_iter()
        .try_for_each(|load| outcome(load?).map(drop))?;
    Ok(calls)
}

fn is_unknown(answer: &Result<Value, Fault>) -> bool {
    matches!(answer, Ok(Value::ServerError(error)) if error.kind() == Some(ServerErrorKind::NoScript))
}

/// The time for which the lease aged beyond what its holder knew is the time that the value was on
/// its way; it is taken off the life. The end is stamped into our own header by `SETRANGE`, which
/// spares copying a big value. Numbers go through `%.0f`, since Lua writes big ones as `1e+15`.
///
/// In the jetcache-go format there is neither an end to stamp nor a stale window, and a writer may
/// have come who knows nothing of leases. A key of another type counts as nothing; any other error
/// is handed on.
///
/// In every script, what may remove the value writes it even if it is absent, since the removal of
/// an absent key shows itself to nobody who watches. A removal comes first: only a script that has
/// written already may store something when the server is out of memory. `PUBLISH` comes last, and
/// without it the change stands.
const STORE: &str = r"
local function tell(event)
  if event then redis.pcall('PUBLISH', ARGV[9], event) end
end
local native = ARGV[8] == ''
local held = redis.call('GET', KEYS[2]) == ARGV[1]
local life = 0
if held then
  local aged = tonumber(ARGV[5]) - redis.call('PTTL', KEYS[2])
  life = tonumber(ARGV[3]) - math.max(0, aged - tonumber(ARGV[6]))
end
local fits = life > 0
if fits and not native then
  local found = redis.pcall('GET', KEYS[1])
  if type(found) == 'table' then
    if not string.find(found.err or '', 'WRONGTYPE', 1, true) then return found end
    found = false
  end
  fits = (found and '=' .. found or '-') == ARGV[8]
end
if not fits then
  if ARGV[7] == '1' then
    redis.call('DEL', KEYS[1], KEYS[2])
    redis.pcall('SET', KEYS[1], '')
    redis.call('DEL', KEYS[1])
    tell(ARGV[11])
  elseif held then
    redis.call('DEL', KEYS[2])
  end
  return 0
end
local kept = native and life + tonumber(ARGV[4]) or life
redis.call('SET', KEYS[1], ARGV[2], 'PX', string.format('%.0f', kept))
if native and #ARGV[2] >= 36 and string.sub(ARGV[2], 1, 2) == '\193J' then
  local time = redis.call('TIME')
  local stop = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000) + life
  redis.call('SETRANGE', KEYS[1], 8, struct.pack('>I8', stop))
end
redis.call('DEL', KEYS[2])
tell(ARGV[10])
return 1
";

const RELEASE: &str = r"
if redis.call('GET', KEYS[1]) == ARGV[1] then redis.call('DEL', KEYS[1]) end
return 1
";

/// Present is what `envelope::is_present` says: a header of ours and of this version, a value, and
/// an end that lies ahead; in the jetcache-go format, whatever is not the placeholder. A key of
/// another type is absent; any other error is handed on.
const CLAIM: &str = r"
local native = ARGV[4] == ''
if ARGV[3] ~= 'any' and redis.call('GET', KEYS[2]) ~= ARGV[1] then
  local found = false
  if native then
    found = redis.pcall('GETRANGE', KEYS[1], 0, 35)
  else
    found = redis.pcall('GET', KEYS[1])
  end
  local present = false
  if type(found) == 'table' then
    if not string.find(found.err or '', 'WRONGTYPE', 1, true) then return found end
  elseif not native then
    present = found and found ~= ARGV[4]
  elseif #found == 36 and string.sub(found, 1, 4) == '\193J\1\0' then
    local time = redis.call('TIME')
    local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
    present = struct.unpack('>I8', found, 9) > now
  end
  if present ~= (ARGV[3] == 'present') then return 0 end
end
redis.call('DEL', KEYS[1])
redis.pcall('SET', KEYS[1], '')
redis.call('DEL', KEYS[1])
redis.call('SET', KEYS[2], ARGV[1], 'PX', ARGV[2])
if ARGV[6] then redis.pcall('PUBLISH', ARGV[5], ARGV[6]) end
return 1
";

const REMOVE: &str = r"
redis.call('DEL', KEYS[1], KEYS[2])
redis.pcall('SET', KEYS[1], '')
redis.call('DEL', KEYS[1])
if ARGV[2] then redis.pcall('PUBLISH', ARGV[1], ARGV[2]) end
return 1
";
