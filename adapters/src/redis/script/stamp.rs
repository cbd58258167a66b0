//! What the scripts tell an entry by.

/// What tells the entry under a key from any other: a digest of its end and its header, which has a
/// checksum; in the jetcache-go format, whose placeholder `go` is, of its first and last 4096 bytes.
/// Empty where no text stands. Without the right to ask for the end the rest must do.
macro_rules! stamp {
    () => {
        r"
local function stamp(key, go)
  local head = redis.pcall('GETRANGE', key, 0, go == '' and 44 or 4095)
  if type(head) ~= 'string' then return '' end
  local stop = redis.pcall('PEXPIRETIME', key)
  stop = type(stop) == 'number' and string.format('%.0f', stop) or ''
  if stop == '-2' or stop == '' and head == '' then return '' end
  local tail = go == '' and '' or redis.call('GETRANGE', key, -4096, -1)
  return string.sub(redis.sha1hex(stop .. ' ' .. head .. tail), 1, 16)
end
"
    };
}
