"""What the store does in one step: Lua that Valkey runs, so that a question costs one round trip before its answer.

Time is the server's, as that of the replicas may differ. Commands go through `try`, which notes the first
refusal and goes on: a store that is full, or a key of the wrong type, takes away no more than it must.
The scripts name keys that are not declared to them, so they are for a single server with replicas, not a cluster.
"""

from __future__ import annotations

import hashlib
from typing import Final

__all__ = ["ALL", "BEGIN", "FINISH", "OPEN", "REMAINING", "SUMMARISE", "TITLE", "Script", "write"]


class Script:
    """A script, known to the server by its hash once it ran.

    Attributes:
        text: In Lua.
    """

    __slots__ = ("_by_hash", "text")

    def __init__(self, *parts: str) -> None:
        self.text = "".join(parts)
        # Not for security: it is the name the protocol gives a script.
        sha = hashlib.sha1(self.text.encode(), usedforsecurity=False).hexdigest()
        self._by_hash = f"$7\r\nEVALSHA\r\n$40\r\n{sha}\r\n"

    def command(self, *arguments: str | bytes, written: str = "", count: int = 0) -> bytes:
        """Return the command that runs it, as it goes on the wire.

        Args:
            arguments: The last ones.
            written: Those before, as `write` writes them.
            count: How many these are.

        Raises:
            UnicodeEncodeError: An argument is no text.
        """
        pieces = [f"*{3 + count + len(arguments)}\r\n{self._by_hash}$1\r\n0\r\n{written}".encode()]
        for argument in arguments:
            encoded = argument.encode() if isinstance(argument, str) else argument
            pieces += f"${len(encoded)}\r\n".encode(), encoded, b"\r\n"
        return b"".join(pieces)

    def in_full(self, command: bytes) -> bytes:
        """Return a command of `command` with the script itself, for a server that has not run it yet."""
        text = self.text.encode()
        return command.replace(self._by_hash.encode(), b"$4\r\nEVAL\r\n$%d\r\n%b\r\n" % (len(text), text), 1)


def write(*arguments: str) -> str:
    """Return arguments in ASCII as they go on the wire; what every question says again is written once."""
    return "".join([f"${len(argument)}\r\n{argument}\r\n" for argument in arguments])


_COMMON: Final = """
local trouble = ''
local function try(...)
  local reply = redis.pcall(...)
  if type(reply) == 'table' and reply.err then
    if trouble == '' then trouble = reply.err end
    return false
  end
  return reply
end
local clock = redis.call('TIME')
local now = tonumber(clock[1]) + tonumber(clock[2]) / 1000000
local user, session, ttl = ARGV[1], ARGV[2], tonumber(ARGV[3])
local login = 'fleet:login:' .. user
local index = 'fleet:sessions:' .. user
local key, conversation
local function choose(id)
  session = id
  key = 'fleet:session:' .. user .. ':' .. id
  conversation = 'fleet:conversation:' .. user .. ':' .. id
end
choose(session)
"""

_TURNS: Final = """
local function last_turns(most)
  local turns = most > 0 and try('LRANGE', conversation, -most, -1) or {}
  -- One MessagePack array: a single value is read in half the time of many.
  return string.char(220, math.floor(#turns / 256), #turns % 256) .. table.concat(turns)
end
"""

_SESSION: Final = """
local function renew()
  try('HSET', key, 'last_activity', clock[1])
  try('ZADD', index, clock[1], session)
  for _, name in ipairs({key, conversation, index}) do try('EXPIRE', name, ttl) end
  if try('GET', login) == session then try('EXPIRE', login, ttl) end
end
local function create(kind, username, premium, metadata)
  -- A conversation older than its session: kept by a version without sessions.
  local turns = try('LLEN', conversation) or 0
  local made = try('HSET', key, 'kind', kind, 'started', clock[1], 'username', username,
    'premium', premium, 'metadata', metadata, 'turns', turns)
  if not made then return 0, 0 end
  try('ZREMRANGEBYSCORE', index, '-inf', '(' .. (clock[1] - ttl))
  return 1, turns
end
"""

_QUOTA: Final = """
local quota = 'fleet:quota:' .. user
local function level_of(name, most, seconds)
  local text = try('HGET', quota, name)
  local level, at = string.match(text or '', '^(%S+) (%S+)$')
  level, at = tonumber(level), tonumber(at)
  if not (level and at) then return most end
  return math.min(most, level + math.max(0, now - at) * most / seconds)
end
local function keep_level(name, level)
  try('HSET', quota, name, string.format('%.6f %.6f', level, now))
  try('EXPIRE', quota, 172800)
end
"""

BEGIN: Final = Script(
    _COMMON,
    _TURNS,
    _SESSION,
    _QUOTA,
    """
local most, premium, per_minute, per_day = tonumber(ARGV[4]), ARGV[5], tonumber(ARGV[6]), tonumber(ARGV[7])
if session == '' then choose(try('GET', login) or '') end
local wait = 0
local requests
if per_minute > 0 then
  requests = level_of('requests:' .. premium, per_minute, 60)
  if requests < 1 then wait = (1 - requests) * 60 / per_minute end
end
if per_day > 0 then
  local tokens = level_of('tokens:' .. premium, per_day, 86400)
  if tokens < 1 then wait = math.max(wait, (1 - tokens) * 86400 / per_day) end
  if redis.call('EXISTS', quota) == 0 then keep_level('tokens:' .. premium, tokens) end
end
if wait > 0 then return {session, math.ceil(wait * 1000), trouble} end
if requests then keep_level('requests:' .. premium, requests - 1) end
local preferences = try('GET', 'fleet:preferences:' .. user) or ''
local created, turns, summary = 0, '', ''
if session ~= '' then
  local noted = try('HMGET', key, 'started', 'turns', 'covers', 'summary')
  if noted then
    local total, covers = tonumber(noted[2] or 0), tonumber(noted[3] or 0)
    if not noted[1] then
      created, total = create(ARGV[8], ARGV[9], premium, ARGV[10])
    end
    if noted[1] or created == 1 then renew() end
    summary = noted[4] or ''
    most = math.min(most, total - covers)
  end
  turns = last_turns(most)
end
return {session, 0, trouble, preferences, created, summary, turns}
""",
)
"""ARGV: user, session, ttl, most turns, premium, requests a minute, tokens a day, kind, username, metadata."""

FINISH: Final = Script(
    _COMMON,
    _SESSION,
    _QUOTA,
    """
local kept, premium, per_day = tonumber(ARGV[4]), ARGV[5], tonumber(ARGV[6])
local request, tokens, turn = ARGV[7], tonumber(ARGV[8]), ARGV[9]
-- Only what the beginning of the question opened: whoever was forgotten meanwhile stays forgotten.
if tokens > 0 and per_day > 0 and try('EXISTS', quota) == 1 then
  keep_level('tokens:' .. premium, level_of('tokens:' .. premium, per_day, 86400) - tokens)
end
local noted = session ~= '' and try('HMGET', key, 'started', 'recent')
if noted and noted[1] then
  local recent = noted[2] or ' '
  local known = request ~= '' and string.find(recent, ' ' .. request .. ' ', 1, true)
  if turn ~= '' and not known and try('RPUSH', conversation, turn) then
    try('LTRIM', conversation, -kept, -1)
    try('HINCRBY', key, 'turns', 1)
    if request ~= '' then
      recent = recent .. request .. ' '
      local _, spaces = string.gsub(recent, ' ', '')
      if spaces > kept + 1 then recent = string.match(recent, '^ [^ ]*( .*)$') end
      try('HSET', key, 'recent', recent)
    end
  end
  renew()
end
return trouble
""",
)
"""ARGV: user, session, ttl, turns kept, premium, tokens a day, request, tokens, the turn."""

OPEN: Final = Script(
    _COMMON,
    _SESSION,
    """
local created = 0
if try('EXISTS', key) == 0 then
  created = create(ARGV[4], ARGV[5], ARGV[6], '')
else
  try('HSET', key, 'premium', ARGV[6])
  if ARGV[5] ~= '' then try('HSET', key, 'username', ARGV[5]) end
end
if ARGV[7] == '1' then try('SET', login, session, 'EX', ttl) end
if try('EXISTS', key) == 1 then renew() end
return {created, trouble}
""",
)
"""ARGV: user, session, ttl, kind, username, premium, whether it is a login."""

REMAINING: Final = Script(
    _COMMON,
    _TURNS,
    """
local noted = redis.call('HMGET', key, 'turns', 'covers', 'summary')
local total = tonumber(noted[1] or 0)
local turns = last_turns(total - tonumber(noted[2] or 0))
return {noted[3] or '', total, turns, trouble}
""",
)
"""ARGV: user, session, ttl. Turns that were trimmed before a summary told of them count as covered."""

SUMMARISE: Final = Script(
    _COMMON,
    """
local noted = redis.call('HMGET', key, 'turns', 'covers')
local covers = tonumber(ARGV[5])
if not noted[1] or covers <= tonumber(noted[2] or 0) or covers > tonumber(noted[1]) then return 0 end
redis.call('HSET', key, 'summary', ARGV[4], 'covers', covers)
return 1
""",
)
"""ARGV: user, session, ttl, summary, how many turns it covers."""

TITLE: Final = Script(
    _COMMON,
    """
if redis.call('EXISTS', key) == 0 then return 0 end
redis.call('HSET', key, 'title', ARGV[4])
return 1
""",
)
"""ARGV: user, session, ttl, title."""

ALL: Final = (BEGIN, FINISH, OPEN, REMAINING, SUMMARISE, TITLE)
