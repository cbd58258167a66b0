//! The Lua scripts, called by their hash and loaded when the server does not know them.
//!
//! They are part of the wire protocol: during a deploy, old and new versions of a program run
//! theirs on the same keys. What they have in common:
//!
//! - Removing a value is `DEL`, `SET`, `DEL`. The removal of an absent key is not shown to those
//!   who watch (`CLIENT TRACKING`), so the key is written in order to be removed. The first `DEL`
//!   makes that possible: a server that is out of memory lets a script store only if it wrote
//!   before.
//! - `PUBLISH` comes last, and the change stands even if it fails.
//! - Numbers are made texts with `%.0f`, since Lua writes big ones as `1e+15`. As an argument of a command
//!   the server writes a whole number in full.
//! - A key of another type (`WRONGTYPE`) counts as absent; any other error is handed on.

pub(super) mod calls;
mod cargo;
mod leases;
mod log;
mod parts;
pub(super) mod run;
pub(super) mod span;
#[macro_use]
mod stamp;
pub(super) mod store;

use std::sync::LazyLock;

use crate::redis::script::leases::{EXTEND, RELEASE, RENEW};
use crate::redis::script::log::{ENSURE, RAISE};
use crate::redis::script::store::STORE;

/// One of the scripts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Script {
    /// For any number of calls. Keys of each: value, lease; in the jetcache-go format, the mark. Arguments of
    /// each: (1) the token, (2) the bytes, (3) the rest, [packed](store::rest). The answer has one for each
    /// call: 0 or 1, or an error.
    Store,
    /// Keys: lease. Arguments: (1) the token, (2) if its load has failed, how long nobody is to try
    /// again, in milliseconds.
    Release,
    /// Keys: lease. Arguments: (1) the token, (2) the lease's life from now on, in milliseconds.
    Renew,
    /// Keys: value, lease. Arguments: (1) the token, (2) what the value must begin with, (3) its life
    /// from now on, (4) the lease's life, (5) its age when this was sent (3 to 5 in milliseconds). To
    /// announce: (6) the channel, (7) the event. The answer is 0 for refused, 1 for extended, 2 if
    /// something else stands there.
    Extend,
    /// Keys: value, lease. Arguments: (1) the token, (2) the claim's life in milliseconds, (3)
    /// `absent`, `present` or `any`, (4) the placeholder of the jetcache-go format; in the native
    /// format empty, (5) `1` to spare what stands under the key, (6) the sum of an entry that counts as
    /// absent, or empty. The answer is 0, 1, or what tells the spared entry from another; to a condition
    /// in the native format, that and the first bytes of the entry by which it was judged.
    Claim,
    /// Keys: those of one call of `Store`. Arguments: (1) the token, (2) the bytes, (3) their life, (4) their
    /// stale window, (5) the claim's life, (6) its age when this was sent (3 to 6 in milliseconds), (7) and (8) as (3) and (4) of `Claim`, (9) what the claim spared, or
    /// empty, (10) as (6) of `Claim`. To announce: (11) the channel, (12) the event
    /// of a value that is stored, (13) that of a removal.
    Put,
    /// For any number of calls. Keys of each: value, lease. Arguments of each: (1) the channel, (2) the event,
    /// or empty. The answer has a 1 for each call.
    Remove,
    /// Keys: value, lease and mark of each of any number, in one slot.
    Unload,
    /// Keys: the highest number of a namespace, its list. Arguments and answer: see [`RAISE`].
    Raise,
    /// Keys: those of `Raise`. Arguments and answer: see [`ENSURE`].
    Ensure,
}

impl Script {
    const ALL: [Self; 10] = [
        Self::Store,
        Self::Release,
        Self::Renew,
        Self::Extend,
        Self::Claim,
        Self::Put,
        Self::Remove,
        Self::Unload,
        Self::Raise,
        Self::Ensure,
    ];

    const fn text(self) -> &'static str {
        match self {
            Self::Store => STORE,
            Self::Release => RELEASE,
            Self::Renew => RENEW,
            Self::Extend => EXTEND,
            Self::Claim => CLAIM,
            Self::Put => PUT,
            Self::Remove => REMOVE,
            Self::Unload => UNLOAD,
            Self::Raise => RAISE,
            Self::Ensure => ENSURE,
        }
    }

    fn hash(self) -> &'static str {
        static HASHES: LazyLock<[redis::Script; Script::ALL.len()]> =
            LazyLock::new(|| Script::ALL.map(|script| redis::Script::new(script.text())));
        HASHES[self as usize].get_hash()
    }
}

/// What claims and puts share: the server's time in milliseconds, and whether a condition holds. `go`
/// is the placeholder of the jetcache-go format; in the native format it is empty, and then what stands
/// there is answered as well, as far as an entry's header and its tags can go (173 bytes). `dead` is the
/// sum of an entry that counts as absent.
///
/// Present is what `envelope::is_present` says: a header of ours and of this version, a value (with or
/// without a mark), and
/// an end that lies ahead; in the jetcache-go format, whatever is not the placeholder and has time
/// left (a key is there still for the millisecond in which `PTTL` is 0, and a read is a miss).
macro_rules! judge {
    () => {
        r"
local function clock()
  local time = redis.call('TIME')
  return tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
end
local function holds(condition, go, dead)
  if condition == 'any' then return true end
  local found
  if go == '' then
    found = redis.pcall('GETRANGE', KEYS[1], 0, 172)
  else
    found = redis.pcall('GET', KEYS[1])
  end
  local present = false
  if type(found) == 'table' then
    if not string.find(found.err or '', 'WRONGTYPE', 1, true) then error(found) end
    found = ''
  elseif go ~= '' then
    present = found and found ~= go and redis.call('PTTL', KEYS[1]) ~= 0
  elseif #found >= 45 and string.find(found, '^\193J\1[%z\2]') and string.sub(found, 33, 36) ~= dead then
    local left = struct.unpack('>I8', found, 9) - clock()
    present = left > 0 and left <= struct.unpack('>I8', found, 17)
  end
  return present == (condition == 'present'), go == '' and found
end
"
    };
}

/// Grants the claim if the condition holds. A token that has the claim already sent it twice, and
/// its condition did hold.
///
/// One that removes is the bare token. One that spares is `token@time`, followed by those in whose
/// place it came, the latest first, each after a comma: 46 characters each, a thousand at most.
/// A plus behind them says that one of them has been put.
const CLAIM: &str = concat!(
    stamp!(),
    judge!(),
    r"
local before = redis.call('GET', KEYS[2]) or ''
local fits, head = holds(ARGV[3], ARGV[4], ARGV[6])
local function answer(outcome)
  return head and {outcome, head} or outcome
end
if string.sub(before, 1, #ARGV[1]) ~= ARGV[1] and not fits then return answer(0) end
local claim = ARGV[1]
local stands = 1
if ARGV[5] == '1' then
  claim = string.format('%s@%013.0f', claim, clock())
  if string.find(before, '@', 1, true) then claim = string.sub(claim .. ',' .. before, 1, 47000) end
  stands = stamp(KEYS[1], ARGV[4])
  redis.call('DEL', KEYS[2])
else
  redis.call('DEL', KEYS[1])
  redis.pcall('SET', KEYS[1], '')
  redis.call('DEL', KEYS[1])
end
redis.call('SET', KEYS[2], claim, 'PX', ARGV[2])
return answer(stands)
"
);

/// Stores the value of an insert if the claim is its token's, or remembers it. What is refused
/// without a condition removes what its claim spared, and tells of that in any case: other nodes
/// may have what is older.
///
/// The time since the claim that its sender did not know of is taken off the value's life.
///
/// In the jetcache-go format a writer who knows nothing of claims may have come meanwhile, so the
/// value is stored only in the place of what its claim saw, or of another put.
const PUT: &str = concat!(
    stamp!(),
    judge!(),
    r"
local claim = redis.call('GET', KEYS[2]) or ''
local place, aged
if claim == ARGV[1] then
  place = 1
  aged = tonumber(ARGV[5]) - redis.call('PTTL', KEYS[2])
else
  local _, since
  place, _, since = string.find(claim, ARGV[1] .. '@(%d+)')
  if place then aged = clock() - tonumber(since) end
end
local life = 0
if place then
  life = tonumber(ARGV[3]) - math.max(0, aged - tonumber(ARGV[6]))
end
local native = ARGV[8] == ''
local stands = stamp(KEYS[1], ARGV[8])
local same = stands == ARGV[9]
local fits = life > 0 and holds(ARGV[7], ARGV[8], ARGV[10])
if fits and not native and not same and stands ~= '' then fits = string.sub(claim, -1) == '+' end
if fits then
  local kept = native and life + tonumber(ARGV[4]) or life
  redis.call('SET', KEYS[1], ARGV[2], 'PX', string.format('%.0f', kept))
  if not native then
    redis.call('DEL', KEYS[3])
  elseif #ARGV[2] >= 45 and string.sub(ARGV[2], 1, 2) == '\193J' then
    redis.call('SETRANGE', KEYS[1], 8, struct.pack('>I8', clock() + life))
  end
end
if place == 1 then
  redis.call('DEL', KEYS[2])
elseif place and fits then
  redis.call('SET', KEYS[2], string.sub(claim, 1, place - 2) .. '+', 'KEEPTTL')
end
if fits then
  if ARGV[12] then redis.pcall('PUBLISH', ARGV[11], ARGV[12]) end
  return 1
end
if ARGV[7] == 'any' then
  if same then
    redis.call('DEL', KEYS[1])
    redis.pcall('SET', KEYS[1], '')
    redis.call('DEL', KEYS[1])
  end
  if ARGV[13] then redis.pcall('PUBLISH', ARGV[11], ARGV[13]) end
end
return same and 0 or 2
"
);

/// Removes value and lease of each, so that no load that began before can fill: one after the other would
/// do no more, and each step of all at once costs the server less.
const REMOVE: &str = r"
local call, try = redis.call, redis.pcall
call('DEL', unpack(KEYS))
local keys, answers = {}, {}
for at = 1, #KEYS / 2 do
  local key = KEYS[2 * at - 1]
  try('SET', key, '')
  keys[at], answers[at] = key, 1
end
call('DEL', unpack(keys))
for at = 1, #ARGV, 2 do
  if ARGV[at + 1] ~= '' then try('PUBLISH', ARGV[at], ARGV[at + 1]) end
end
return answers
";

/// Removes what a load may have put there: each value that still is what its mark says, and each
/// lease but an insert's. What others have stored since stands.
const UNLOAD: &str = concat!(
    stamp!(),
    r"
for at = 1, #KEYS, 3 do
  local holder = redis.pcall('GET', KEYS[at + 1])
  if type(holder) == 'string' and not string.find(holder, '@', 1, true) then
    redis.call('DEL', KEYS[at + 1])
  end
  local mark = redis.pcall('GET', KEYS[at + 2])
  if type(mark) == 'string' then
    if mark == stamp(KEYS[at], '*') then redis.call('DEL', KEYS[at]) end
    redis.call('DEL', KEYS[at + 2])
  end
end
return 1
"
);
