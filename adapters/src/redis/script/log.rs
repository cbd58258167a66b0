//! The scripts of a namespace's log of generations.

/// What they share. Keys: the highest number, the list. Arguments: (1) the sender's clock, (2) the
/// channel, (3) an event up to its first key, or nothing to tell nobody, (4) what each of its keys
/// begins with, quoted.
///
/// A write comes first, and changes nothing: a server that is out of memory then stores what follows.
/// Numbers are below [`Mark::END`](jetcache_core::ports::remote::Mark::END); what is not, is no number,
/// or stands under a key of another type, counts as missing. So each that counts can be followed by another,
/// but for the last one: then nothing is raised.
///
/// `top` is the highest number, `last` the highest mark of the list, `before` the higher of both.
macro_rules! log {
    () => {
        r"
local function number(text)
  local found = tonumber(text)
  return found and found >= 0 and found < 9e15 and found
end
local function text(number)
  return string.format('%.0f', number)
end
local function look(command, key, ...)
  local found = redis.pcall(command, key, ...)
  if type(found) ~= 'table' or not found.err then return found end
  if not string.find(found.err, 'WRONGTYPE', 1, true) then error(found) end
  redis.call('DEL', key)
  return false
end
look('ZREM', KEYS[2], '')
local clock = number(ARGV[1]) or 0
local top = look('GET', KEYS[1])
top = top and string.find(top, '^%d+$') and number(top)
local last = look('ZRANGE', KEYS[2], -1, -1, 'WITHSCORES')
last = last and last[2] and number(last[2])
if not last then redis.call('DEL', KEYS[2]) end
local before = math.max(top or 0, last or 0)
local function rise(scopes)
  local time = redis.call('TIME')
  local num = math.max(time[1] * 1000000 + time[2], clock + 1, before + 1)
  if not number(num) then error({err = 'ERR this log of raises has no numbers left: who else has written to it?'}) end
  num = text(num)
  local marks, told = {}, {text(before) .. '>' .. num}
  for at, scope in ipairs(scopes) do
    marks[2 * at - 1], marks[2 * at] = num, scope
    told[at + 1] = scope
  end
  if #marks > 0 then redis.call('ZADD', KEYS[2], unpack(marks)) end
  redis.call('SET', KEYS[1], num)
  if ARGV[3] ~= '' then
    redis.pcall('PUBLISH', ARGV[2], ARGV[3] .. ARGV[4] .. table.concat(told, '\34,' .. ARGV[4]) .. '\34]}')
  end
  return num
end
"
    };
}

/// Raises the scopes that are the arguments from (5) on. The answer: the number, the one before it,
/// whether the list is new, and the mark that each scope had.
pub(super) const RAISE: &str = concat!(
    log!(),
    r"
local scopes, marks, all = {}, {}, false
for at = 5, #ARGV do
  local mark = number(redis.call('ZSCORE', KEYS[2], ARGV[at])) or 0
  scopes[at - 4], marks[at - 4] = ARGV[at], text(mark)
  all = all or ARGV[at] == '*'
end
if not last and not all then scopes[#scopes + 1] = '*' end
return {rise(scopes), text(before), last and 0 or 1, marks}
"
);

/// Raises what the log lacks of what its sender knows: the arguments from (5) on are scopes, each with
/// the mark that it is to have. The answer: the highest number, the one before it, and what was raised.
pub(super) const ENSURE: &str = concat!(
    log!(),
    r"
local scopes, all = {}, false
for at = 5, #ARGV, 2 do
  local mark = number(redis.call('ZSCORE', KEYS[2], ARGV[at]))
  if not mark or mark < tonumber(ARGV[at + 1]) then
    scopes[#scopes + 1] = ARGV[at]
    all = all or ARGV[at] == '*'
  end
end
local lost = not last or #scopes == 0 and top and top < clock
if lost and not all then scopes[#scopes + 1] = '*' end
if #scopes > 0 then return {rise(scopes), text(before), scopes} end
if top ~= before then redis.call('SET', KEYS[1], text(before)) end
return {text(before), text(before), {}}
"
);
