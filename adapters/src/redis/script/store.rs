//! The script that stores what was loaded, or written through, for one key or for many.

use jetcache_core::machine::tier::envelope::{HEADER, PREFIX};
use jetcache_core::ports::remote::{Stored, Wire};

use crate::redis::script::span::{aged, px};

/// What to do, and what to say, beside the token and the bytes.
pub(in crate::redis) struct Rest<'a> {
    pub(in crate::redis) value: &'a Stored<'a>,
    /// In the native format nothing need stand under the key.
    pub(in crate::redis) wire: Wire,
    /// Whether both keys are removed if nothing is stored.
    pub(in crate::redis) removes: bool,
    /// Where to announce.
    pub(in crate::redis) channel: &'a str,
    /// The event of a value that is stored, or empty.
    pub(in crate::redis) stored: &'a [u8],
    /// That of a removal, or empty.
    pub(in crate::redis) removed: &'a [u8],
}

impl Rest<'_> {
    /// As one argument, since each costs the server more than unpacking it: four spans in
    /// milliseconds and whether to stamp the end. What most fills have nothing of comes behind that: a flag,
    /// and four texts, each behind its length, of which the first is what must stand under the key, after a
    /// `=`, or `-` for nothing; in the native format it is empty.
    pub(in crate::redis) fn write(&self, packed: &mut Vec<u8>) {
        let is_native = self.wire != Wire::JetcacheGo;
        let spans = [
            px(self.value.life),
            // Nobody serves a stale value in the other format.
            if is_native { px(self.value.stale) } else { 0 },
            px(self.value.lease),
            aged(self.value.age),
        ];
        for span in spans {
            packed.extend_from_slice(&span.to_be_bytes());
        }
        let bytes = self.value.bytes;
        let is_ours = bytes.len() >= HEADER && bytes.starts_with(&PREFIX[..MAGIC]);
        packed.push(u8::from(is_native && is_ours));
        let tells = !self.stored.is_empty() || !self.removed.is_empty();
        if is_native && !self.removes && !tells {
            return;
        }
        packed.push(u8::from(self.removes));
        let replaces = match self.value.replaces {
            _ if is_native => [&b""[..], &b""[..]],
            None => [b"-", &b""[..]],
            Some(bytes) => [b"=", bytes],
        };
        add(packed, replaces);
        for text in [self.channel.as_bytes(), self.stored, self.removed] {
            add(packed, [text, b""]);
        }
    }
}

/// Adds a text behind its length. A value has 512 MB at most, and an event is short.
fn add(packed: &mut Vec<u8>, parts: [&[u8]; 2]) {
    let length = parts.iter().map(|part| part.len()).sum::<usize>();
    let length = u32::try_from(length).unwrap_or(u32::MAX);
    packed.extend_from_slice(&length.to_be_bytes());
    parts.iter().for_each(|part| packed.extend_from_slice(part));
}

/// How many bytes tell an entry of ours, of whatever version.
const MAGIC: usize = 2;

/// Stores each value if the lease is the token's. Keys of each call: value, lease, and in the jetcache-go
/// format the mark. Arguments of each: the token, the bytes, and the [`Rest`].
///
/// What the lease has left tells its age. If it is older than its holder knew when this was sent,
/// the value was on its way for the difference, which is taken off its life. Its end is stamped
/// into our own header (45 bytes, beginning with `\193J`), behind the value's `SET`: a text is hashed byte by
/// byte when Lua makes it, so a copy with its end costs more than a command, however short it is. The clock
/// is read once; whoever comes later in the script lives the shorter for it.
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
local call, unpacked, packed = redis.call, struct.unpack, struct.pack
local calls = #ARGV / 3
local width = #KEYS / calls
local leases = {}
for at = 1, calls do leases[at] = KEYS[(at - 1) * width + 2] end
local holders = call('MGET', unpack(leases))
local used, over, told = {}, {}, {}
local now
local function store(at, key, lease, mark, token, bytes, rest)
  local life, stale, lasts, age, stamped = unpacked('>I8I8I8I8B', rest)
  local removes, replaces, channel, stored, removed = 0, '', '', '', ''
  if #rest > 33 then
    removes, replaces, channel, stored, removed = unpacked('>BI4c0I4c0I4c0I4c0', rest, 34)
  end
  local native = replaces == ''
  local held = holders[at] == token and not used[lease]
  local fits = false
  if held then
    life = life - math.max(0, lasts - call('PTTL', lease) - age)
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
      call('DEL', key, lease)
      redis.pcall('SET', key, '')
      call('DEL', key)
      if removed ~= '' then told[#told + 1] = {channel, removed} end
    elseif held then
      used[lease] = true
      over[#over + 1] = lease
    end
    return 0
  end
  if stamped == 1 and not now then
    local time = call('TIME')
    now = time[1] * 1000 + math.floor(time[2] / 1000)
  end
  call('SET', key, bytes, 'PX', life + stale)
  if stamped == 1 then call('SETRANGE', key, 8, packed('>I8', now + life)) end
  used[lease] = true
  over[#over + 1] = lease
  if not native then call('SET', mark, stamp(key, '*'), 'PX', math.min(life, 60000)) end
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
if #over > 0 then call('DEL', unpack(over)) end
for _, word in ipairs(told) do redis.pcall('PUBLISH', word[1], word[2]) end
return answers
"
);

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn stored(bytes: &[u8]) -> Stored<'_> {
        Stored {
            bytes,
            replaces: None,
            life: Duration::from_millis(1),
            stale: Duration::from_millis(2),
            lease: Duration::from_millis(3),
            age: Duration::from_micros(4999),
        }
    }

    fn rest<'a>(value: &'a Stored<'a>, wire: Wire) -> Rest<'a> {
        Rest {
            value,
            wire,
            removes: false,
            channel: "c",
            stored: b"",
            removed: b"",
        }
    }

    fn packed(rest: &Rest<'_>) -> Vec<u8> {
        let mut packed = Vec::new();
        rest.write(&mut packed);
        packed
    }

    fn spans(spans: [u64; 4]) -> Vec<u8> {
        spans.map(u64::to_be_bytes).concat()
    }

    #[test]
    fn the_rest_is_packed_as_the_script_unpacks_it() {
        let value = stored(b"v");
        let told = Rest {
            removes: true,
            stored: b"ev",
            ..rest(&value, Wire::Native)
        };
        let texts = b"\0\x01\0\0\0\0\0\0\0\x01c\0\0\0\x02ev\0\0\0\0";
        assert_eq!(packed(&told), [&spans([1, 2, 3, 4])[..], texts].concat());
    }

    #[test]
    fn what_has_nothing_to_tell_is_short() {
        let entry = [&PREFIX[..], &[0; HEADER]].concat();
        for (bytes, is_stamped) in [(&entry[..], 1), (&entry[1..], 0), (&entry[..44], 0)] {
            let value = stored(bytes);
            let packed = packed(&rest(&value, Wire::Native));
            assert_eq!(packed, [&spans([1, 2, 3, 4])[..], &[is_stamped]].concat());
        }
    }

    #[test]
    fn in_the_other_format_it_says_what_is_replaced_and_nothing_is_stamped() {
        let entry = [&PREFIX[..], &[0; HEADER]].concat();
        let replaced = [
            (None, &b"\0\0\0\x01-"[..]),
            (Some(&b"w"[..]), b"\0\0\0\x02=w"),
        ];
        for (replaces, text) in replaced {
            let value = Stored {
                replaces,
                ..stored(&entry)
            };
            let packed = packed(&rest(&value, Wire::JetcacheGo));
            let texts = [b"\0\0", text, b"\0\0\0\x01c\0\0\0\0\0\0\0\0"].concat();
            assert_eq!(packed, [spans([1, 0, 3, 4]), texts].concat());
        }
    }
}
