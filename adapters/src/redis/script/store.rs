//! The script that stores what was loaded, or written through, for one key or for many.

use jetcache_core::ports::remote::Stored;

use crate::redis::script::span::{aged, px};

/// What to do, and what to say, beside the token and the bytes.
pub(in crate::redis) struct Rest<'a> {
    pub(in crate::redis) value: &'a Stored<'a>,
    /// Whether both keys are removed if nothing is stored.
    pub(in crate::redis) removes: bool,
    /// In the jetcache-go format what must stand under the key, after a `=`, or `-` for nothing; in the
    /// native format empty.
    pub(in crate::redis) replaces: Vec<u8>,
    /// Where to announce.
    pub(in crate::redis) channel: &'a str,
    /// The event of a value that is stored, or empty.
    pub(in crate::redis) stored: Vec<u8>,
    /// That of a removal, or empty.
    pub(in crate::redis) removed: Vec<u8>,
}

impl Rest<'_> {
    /// As one argument, since each costs the server more than unpacking it: four spans in
    /// milliseconds, a flag, and four texts, each behind its length.
    pub(in crate::redis) fn packed(&self) -> Vec<u8> {
        let spans = [
            px(self.value.life),
            px(self.value.stale),
            px(self.value.lease),
            aged(self.value.age),
        ];
        let texts = [
            &self.replaces[..],
            self.channel.as_bytes(),
            &self.stored,
            &self.removed,
        ];
        let size = texts.iter().map(|text| text.len() + 4).sum::<usize>();
        let mut packed = Vec::with_capacity(size + 33);
        for span in spans {
            packed.extend_from_slice(&span.to_be_bytes());
        }
        packed.push(u8::from(self.removes));
        for text in texts {
            // A value has 512 MB at most, and an event is short.
            let len = u32::try_from(text.len()).unwrap_or(u32::MAX);
            packed.extend_from_slice(&len.to_be_bytes());
            packed.extend_from_slice(text);
        }
        packed
    }
}

/// Stores each value if the lease is the token's. Keys of each call: value, lease, and in the jetcache-go
/// format the mark. Arguments of each: the token, the bytes, and the [`Rest`].
///
/// What the lease has left tells its age. If it is older than its holder knew when this was sent,
/// the value was on its way for the difference, which is taken off its life. Its end is stamped
/// into our own header (45 bytes, beginning with `\193J`).
///
/// In the jetcache-go format there is neither an end to stamp nor a stale window. A writer who
/// knows nothing of leases may have come meanwhile, so the value is stored only in the place of
/// what the holder saw. It is marked, for a minute, for [`UNLOAD`](super::UNLOAD) to know it.
///
/// What one call meets is its own outcome. The leases are looked at together and given back together;
/// one that a call has used, or removed, is nobody's for those behind it.
pub(super) const STORE: &str = concat!(
    stamp!(),
    r"
local calls = #ARGV / 3
local width = #KEYS / calls
local leases = {}
for at = 1, calls do leases[at] = KEYS[(at - 1) * width + 2] end
local holders = redis.call('MGET', unpack(leases))
local used, over, told = {}, {}, {}
local function store(at, key, lease, mark, token, bytes, rest)
  local life, stale, lasts, age, removes, replaces, channel, stored, removed =
    struct.unpack('>I8I8I8I8BI4c0I4c0I4c0I4c0', rest)
  local native = replaces == ''
  local held = holders[at] == token and not used[lease]
  local fits = false
  if held then
    life = life - math.max(0, lasts - redis.call('PTTL', lease) - age)
    fits = life > 0
  end
  if fits and not native then
    local found = redis.pcall('GET', key)
    if type(found) == 'table' then
      if not string.find(found.err or '', 'WRONGTYPE', 1, true) then return found end
      found = false
    end
    fits = (found and '=' .. found or '-') == replaces
  end
  if not fits then
    if removes == 1 then
      used[lease] = true
      redis.call('DEL', key, lease)
      redis.pcall('SET', key, '')
      redis.call('DEL', key)
      if removed ~= '' then told[#told + 1] = {channel, removed} end
    elseif held then
      used[lease] = true
      over[#over + 1] = lease
    end
    return 0
  end
  local kept = string.format('%.0f', native and life + stale or life)
  local header = native and #bytes >= 45 and string.sub(bytes, 1, 2) == '\193J'
  if header then
    local time = redis.call('TIME')
    local stop = struct.pack('>I8', time[1] * 1000 + math.floor(time[2] / 1000) + life)
    if #bytes > 4096 then
      redis.call('SET', key, bytes, 'PX', kept)
      redis.call('SETRANGE', key, 8, stop)
    else
      redis.call('SET', key, string.sub(bytes, 1, 8) .. stop .. string.sub(bytes, 17), 'PX', kept)
    end
  else
    redis.call('SET', key, bytes, 'PX', kept)
  end
  used[lease] = true
  over[#over + 1] = lease
  if not native then
    redis.call('SET', mark, stamp(key, '*'), 'PX', string.format('%.0f', math.min(life, 60000)))
  end
  if stored ~= '' then told[#told + 1] = {channel, stored} end
  return 1
end
local answers = {}
for at = 1, calls do
  local k, a = (at - 1) * width, (at - 1) * 3
  local fine, answer =
    pcall(store, at, KEYS[k + 1], KEYS[k + 2], KEYS[k + 3], ARGV[a + 1], ARGV[a + 2], ARGV[a + 3])
  if not fine and type(answer) ~= 'table' then answer = {err = tostring(answer)} end
  answers[at] = answer
end
if #over > 0 then redis.call('DEL', unpack(over)) end
for _, word in ipairs(told) do redis.pcall('PUBLISH', word[1], word[2]) end
return answers
"
);

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn the_rest_is_packed_as_the_script_unpacks_it() {
        let value = Stored {
            bytes: b"v",
            replaces: None,
            life: Duration::from_millis(1),
            stale: Duration::from_millis(2),
            lease: Duration::from_millis(3),
            age: Duration::from_micros(4999),
        };
        let rest = Rest {
            value: &value,
            removes: true,
            replaces: b"-".to_vec(),
            channel: "c",
            stored: b"ev".to_vec(),
            removed: Vec::new(),
        };
        let spans: Vec<u8> = [1_u64, 2, 3, 4].map(u64::to_be_bytes).concat();
        let texts = b"\x01\0\0\0\x01-\0\0\0\x01c\0\0\0\x02ev\0\0\0\0";
        assert_eq!(rest.packed(), [&spans[..], texts].concat());
    }
}
