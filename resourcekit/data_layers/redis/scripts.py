"""Lua scripts that run on the server. Each of them is atomic there.

Every script that reads or writes records begins with a write that changes nothing (``PERSIST`` of a key without an expiry). A
server that is not the primary refuses it. So does a primary with too few replicas, if ``min-replicas-to-write`` demands them. So
no read is stale. Then the script checks the marker: a set without it was lost.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

__all__ = [
    "COMMIT",
    "CREATE",
    "GIVE_BACK",
    "HOLD",
    "KEEP",
    "POINT",
    "READ",
    "RECORD_SETTING",
    "SWEEP",
    "Script",
]

Words = Sequence[bytes | int]


class Script:
    """A script that is called by its digest. Its text is sent if the server does not have it."""

    def __init__(self, text: str) -> None:
        self.text = text.encode()
        self.digest = hashlib.sha1(self.text, usedforsecurity=False).hexdigest().encode()

    def call(self, keys: bytes | tuple[bytes, ...], words: Words, *, known: bool = True) -> list[bytes | int]:
        """Return the command. keys: one or several keys of the slot that contains everything."""
        names = (keys,) if isinstance(keys, bytes) else keys
        return [b"EVALSHA" if known else b"EVAL", self.digest if known else self.text, len(names), *names, *words]


_TAKE = """
local at = 0
local function take() at = at + 1; return ARGV[at] end
local function count() return tonumber(take()) end
"""

_MARKER = """
redis.call('PERSIST', KEYS[1])
local marker = redis.call('ZREVRANGEBYLEX', KEYS[1], '+', '[~', 'LIMIT', 0, 1)[1]
"""

POINT = Script(
    """
redis.call('PERSIST', KEYS[1])
if not redis.call('ZSCORE', KEYS[1], ARGV[1]) then return 1 end
if not redis.call('ZSCORE', KEYS[1], ARGV[2]) then return 0 end
local values = redis.call('HMGET', KEYS[2], unpack(ARGV, 3))
return values[#values] and values or 2
"""
)
"""Keys: the set of keys, the row. Words: the marker, the row's member, fields, and last a field that every row has. Returns the
values; 0: there is no such record; 1: the marker is missing; 2: the record was lost."""

READ = Script(
    _TAKE
    + _MARKER
    + """
local start = take()
local found = {marker or '', redis.call('GET', take()) or ''}
local function row(key)
  local fields = redis.call('HGETALL', start .. key)
  if #fields == 0 and redis.call('ZSCORE', KEYS[1], '+' .. key) then return 'lost' end
  return fields
end
for _ = 1, count() do found[#found + 1] = row(take()) end
for _ = 1, count() do
  local set, mark, low, high, most, skip = take(), take(), take(), take(), count(), count()
  local group = {}
  if mark ~= '' and not redis.call('ZSCORE', set, mark) then group = 'lost' else
    for _, member in ipairs(redis.call('ZRANGEBYLEX', set, low, high, 'LIMIT', 0, most)) do
      group[#group + 1] = member
      group[#group + 1] = row(string.sub(member, skip + 1))
    end
  end
  found[#found + 1] = group
end
return found
"""
)
"""Words: row start; counter; n, then n keys; n, then n times set, its marker or nothing, low, high, most, length of the text
before the key. Returns marker, counter, fields and values of each row, and for each range a list with member and fields
alternating. In place of a row or a range ``lost``: it existed, and is missing, though nothing removed it."""

CREATE = Script(
    _TAKE
    + _MARKER
    + """
if marker then return marker end
local fresh, is_forced = take(), take()
local others = {}
for n = 1, count() do others[n] = take() end
if is_forced ~= '1' and redis.call('EXISTS', KEYS[1], unpack(others)) > 0 then return '' end
redis.call('ZADD', KEYS[1], 0, fresh)
for n = 2, #others do redis.call('ZADD', others[n], 0, fresh) end
return fresh
"""
)
"""Words: a new marker, 1 to set it in any case, n, then counter and sets of indexes. Returns the marker that is set now, or
nothing if a part of an earlier storage exists without its marker."""

COMMIT = Script(
    _TAKE
    + """
for _ = 1, count() do
  local set, marker = take(), take()
  if not redis.call('ZSCORE', set, marker) then return 'emptied' end
end
for _ = 1, count() do
  local row, version = take(), take()
  if (redis.call('HGET', row, '~') or '') ~= version then return 'changed' end
end
for _ = 1, count() do
  local set, low, high, expected = take(), take(), take(), count()
  local members = redis.call('ZRANGEBYLEX', set, low, high)
  local same = #members == expected
  for n = 1, expected do same = take() == members[n] and same end
  if not same then return 'changed' end
end
for _ = 1, count() do
  local counter, seen = take(), take()
  if (redis.call('GET', counter) or '') ~= seen then return 'changed' end
end
for _ = 1, count() do
  local words = {}
  for n = 1, count() do words[n] = take() end
  redis.call(unpack(words))
end
return 'done'
"""
)
"""Words: sets with their markers; hashes with the version that was read; ranges with the members that were read; counters with
the value that was read; then commands, each preceded by the number of its words. All of it happens, or nothing."""

SWEEP = Script(
    _TAKE
    + """
redis.call('PERSIST', KEYS[1])
if not redis.call('ZSCORE', KEYS[1], take()) then return {'emptied', '', 0} end
local keys, start, low, most, commits, fresh, forgets = KEYS[1], take(), take(), count(), take(), take(), take()
local sets = {}
for _ = 1, count() do
  local field, set = take(), take()
  sets[field] = set
end
local tests = {}
for n = 1, count() do tests[n] = {take(), take(), take(), take()} end
local members = redis.call('ZRANGEBYLEX', keys, low, '(~', 'LIMIT', 0, most)
local removed = 0
for _, member in ipairs(members) do
  local row = start .. string.sub(member, 2)
  local matches = true
  for _, test in ipairs(tests) do
    local value = redis.call('HGET', row, test[1]) or test[4]
    if value == '' then matches = false
    elseif test[2] == '<' then matches = matches and value < test[3]
    elseif test[2] == '<=' then matches = matches and value <= test[3]
    elseif test[2] == '>' then matches = matches and value > test[3]
    elseif test[2] == '>=' then matches = matches and value >= test[3]
    else matches = matches and value == test[3] end
  end
  if redis.call('EXISTS', row) == 0 then
    if forgets == '1' then redis.call('ZREM', keys, member) end
  elseif matches then
    for field, set in pairs(sets) do
      local entry = redis.call('HGET', row, field)
      if entry then redis.call('ZREM', set, entry) end
    end
    redis.call('DEL', row)
    redis.call('ZREM', keys, member)
    removed = removed + 1
  end
end
if removed > 0 then redis.call('SET', commits, fresh) end
return {'done', members[#members] or '', removed}
"""
)
"""Words: marker; row start, start of the range, number of keys, counter and its next value, 1 to forget lost records; index
fields with their sets; tests of a field against a value, each with the value for records that lack the field. Returns the
status, the last key of the range (empty at the end), and the number of removed records."""

_LEASE = """
local holder, ttl, moment = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
local ends = tonumber(redis.call('HGET', KEYS[1], 'ends') or '0')
local is_free = redis.call('EXISTS', KEYS[1]) == 0 or (moment and ends <= moment)
local function left() return moment and ends - moment or redis.call('PTTL', KEYS[1]) end
local function hold()
  redis.call('HSET', KEYS[1], 'holder', holder, 'ends', moment and string.format('%.0f', moment + ttl) or '0')
  if moment then redis.call('PERSIST', KEYS[1]) else redis.call('PEXPIRE', KEYS[1], ttl) end
  return {1, ttl}
end
"""

HOLD = Script(_LEASE + "if is_free then return hold() end return {0, left()}")
"""Words: holder, milliseconds, and the time by a manual clock, or nothing. Returns 1 if the name is held now, and for how many
milliseconds it is held by any holder."""

KEEP = Script(_LEASE + "if not is_free and redis.call('HGET', KEYS[1], 'holder') == holder then return hold() end return {0, 0}")
"""The same words. Extends the lease if this holder still has it."""

GIVE_BACK = Script("if redis.call('HGET', KEYS[1], 'holder') == ARGV[1] then redis.call('DEL', KEYS[1]) end return 1")
"""Words: holder. Releases the lease if this holder still has it."""

RECORD_SETTING = Script(
    """
local value, moment, before = ARGV[1], ARGV[2], tonumber(ARGV[3])
local there = redis.call('HMGET', KEYS[1], 'value', 'moment')
if there[1] and tonumber(there[1]) > tonumber(value) and tonumber(there[2]) >= before then return there[1] end
redis.call('HSET', KEYS[1], 'value', value, 'moment', moment)
redis.call('PERSIST', KEYS[1])
return value
"""
)
"""Words: a whole number, the moment in milliseconds, and the moment before which a larger number no longer counts.
Returns the number that is in force."""
