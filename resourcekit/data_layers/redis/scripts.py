"""What runs on the server: a handful of scripts, each atomic there. They know names and bytes, and no resource.

Scripts that read or write records begin with the canary: where it is missing or another one, nothing else is done.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

__all__ = ["COMMIT", "GIVE_BACK", "HOLD", "KEEP", "READ", "SWEEP", "TIDY", "Script"]

Words = Sequence[bytes | int]


class Script:
    """A script, called by its digest; the server is taught it when it does not know it."""

    def __init__(self, text: str) -> None:
        self.text = text.encode()
        self.digest = hashlib.sha1(self.text, usedforsecurity=False).hexdigest().encode()

    def call(self, key: bytes, words: Words, *, known: bool = True) -> list[bytes | int]:
        """Return the command. key: of the slot where everything lies."""
        return [b"EVALSHA" if known else b"EVAL", self.digest if known else self.text, 1, key, *words]


_TAKE = """
local at = 0
local function take() at = at + 1; return ARGV[at] end
local function count() return tonumber(take()) end
"""

READ = Script(
    _TAKE
    + """
local found = {redis.call('GET', KEYS[1])}
found[2] = redis.call('GET', take())
for _ = 1, count() do found[#found + 1] = redis.call('HGETALL', take()) end
for _ = 1, count() do
  local set, low, high, most, skip, start = take(), take(), take(), count(), count(), take()
  local group = {}
  for _, member in ipairs(redis.call('ZRANGEBYLEX', set, low, high, 'LIMIT', 0, most)) do
    group[#group + 1] = member
    group[#group + 1] = redis.call('HGETALL', start .. string.sub(member, skip + 1))
  end
  found[#found + 1] = group
end
return found
"""
)
"""Words: counter; n, then n hashes; n, then n times set, low, high, most, length of what precedes the key, row start.
Returns epoch, counter, a list of fields and values for each hash, and for each range a list of member and fields in turn."""

COMMIT = Script(
    _TAKE
    + """
for _ = 1, count() do
  local canary, epoch = take(), take()
  if redis.call('GET', canary) ~= epoch then return 'emptied' end
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
"""Words: canaries with their epochs; hashes with the version each was read with; ranges with the members they had;
counters with what they said; then commands, each with the number of its words first. All of it or nothing."""

SWEEP = Script(
    _TAKE
    + """
local epoch = redis.call('GET', KEYS[1])
if epoch ~= take() then return {'emptied', '', 0} end
local keys, start, low, most, commits = take(), take(), take(), count(), take()
local sets = {}
for _ = 1, count() do
  local field, set = take(), take()
  sets[field] = set
end
local tests = {}
for n = 1, count() do tests[n] = {take(), take(), take()} end
local members = redis.call('ZRANGEBYLEX', keys, low, '+', 'LIMIT', 0, most)
local removed = 0
for _, member in ipairs(members) do
  local row = start .. member
  local matches = true
  for _, test in ipairs(tests) do
    local value = redis.call('HGET', row, test[1])
    if not value then matches = false
    elseif test[2] == '<' then matches = matches and value < test[3]
    elseif test[2] == '<=' then matches = matches and value <= test[3]
    elseif test[2] == '>' then matches = matches and value > test[3]
    elseif test[2] == '>=' then matches = matches and value >= test[3]
    else matches = matches and value == test[3] end
  end
  if redis.call('EXISTS', row) == 0 then
    redis.call('ZREM', keys, member)
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
if removed > 0 then redis.call('INCR', commits) end
return {'done', members[#members] or '', removed}
"""
)
"""Words: epoch; set of keys, row start, where to go on, how many keys, counter; index fields with their sets; tests of a
field against a value. Returns how it went, the last key it looked at (empty at the end), and how many records went."""

TIDY = Script(
    _TAKE
    + """
local set, start, low, most, parts = take(), take(), take(), count(), count()
local members = redis.call('ZRANGEBYLEX', set, low, '+', 'LIMIT', 0, most)
for _, member in ipairs(members) do
  local from = 1
  for _ = 1, parts do from = string.find(member, '\\0\\0', from, true) + 2 end
  if redis.call('EXISTS', start .. string.sub(member, from)) == 0 then redis.call('ZREM', set, member) end
end
return members[#members] or ''
"""
)
"""Words: an index, row start, where to go on, how many members, how many values a member begins with. Drops members of
records that are gone; returns the last member it looked at, empty at the end."""

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
"""Words: holder, milliseconds, and the moment by a clock moved by hand, or nothing. Returns 1 where the name is held now,
and for how many milliseconds it is held by whomever."""

KEEP = Script(_LEASE + "if not is_free and redis.call('HGET', KEYS[1], 'holder') == holder then return hold() end return {0, 0}")
"""The same words. Holds the name longer, if it is still this holder's."""

GIVE_BACK = Script("if redis.call('HGET', KEYS[1], 'holder') == ARGV[1] then redis.call('DEL', KEYS[1]) end return 1")
"""Words: holder. Drops the lease if it is still this holder's."""
