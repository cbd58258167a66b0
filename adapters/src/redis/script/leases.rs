//! The scripts of who holds a lease and fills nothing with it.

/// Gives the lease, or an insert's claim, back if it is the token's. Whoever else has it keeps it.
pub(super) const RELEASE: &str = r"
local held = redis.call('GET', KEYS[1])
if held and (held == ARGV[1] or string.sub(held, 1, #ARGV[1] + 1) == ARGV[1] .. '@') then
  redis.call('DEL', KEYS[1])
  if ARGV[2] then redis.pcall('SET', KEYS[1], '!' .. ARGV[1], 'PX', ARGV[2]) end
end
return 1
";

/// Without `PEXPIRE`, which would need one more right. The `DEL` lets a server store that is out of
/// memory.
pub(super) const RENEW: &str = r"
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
redis.call('DEL', KEYS[1])
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return 1
";

/// Lets the value be fresh for another while, if the lease is the token's and the value still is what
/// its header (45 bytes) says, which also says for how long at most, and how long it is kept after that.
/// What the lease has aged beyond what its holder knew is taken off, as by a fill.
///
/// The key's own end comes first: a server that is out of memory then lets the header be written. Who
/// lacks the right is told that the value cannot be extended.
pub(super) const EXTEND: &str = r"
if redis.call('GET', KEYS[2]) ~= ARGV[1] then return 0 end
local aged = tonumber(ARGV[4]) - redis.call('PTTL', KEYS[2])
local life = tonumber(ARGV[3]) - math.max(0, aged - tonumber(ARGV[5]))
local head = redis.pcall('GETRANGE', KEYS[1], 0, 44)
if type(head) == 'table' and not string.find(head.err or '', 'WRONGTYPE', 1, true) then return head end
if head ~= ARGV[2] then return 2 end
local longest = struct.unpack('>I8', head, 17)
life = math.min(life, longest)
if life <= 0 then
  redis.call('DEL', KEYS[2])
  return 0
end
local kept = life + struct.unpack('>I8', head, 25)
local lasts = redis.pcall('PEXPIRE', KEYS[1], string.format('%.0f', math.min(kept, 2^52)))
if type(lasts) == 'table' then return 2 end
local time = redis.call('TIME')
local stop = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000) + life
redis.call('SETRANGE', KEYS[1], 8, struct.pack('>I8', stop))
redis.call('DEL', KEYS[2])
if ARGV[7] then redis.pcall('PUBLISH', ARGV[6], ARGV[7]) end
return 1
";
