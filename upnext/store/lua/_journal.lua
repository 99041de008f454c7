-- The time of a call, and its journal: the events of what it did.

local EVENTS_LIVE = '604800000' -- ms: 7 days
local MINUTE = 60 * 1000
local MOST_WORDS = 4000 -- Lua cannot unpack many more than 8,000 values
local MOST_BYTES = 256 * 1024

-- What happened to jobs in this call: values for the event stream, each event from its `type` on.
local journal, events, size, kept = {}, 0, 0, 0
-- What the short events of this entry have in common, as far as it is written: a worker, a name.
local common = {}
-- When the life of each function's events was last prolonged, as far as this server remembers.
local refreshed = {}
-- The time of this call, as a number and in words.
local present, stamp = 0, ''
-- The latest time of any call, and how often this server's clock was set back since it began. Steps
-- of less than a second do not count: nothing waits for longer than that because of them.
local latest, steps_back = 0, 0
local STEP = 1000

-- A whole number as a word. Left to the server it becomes one by way of a floating-point format,
-- which takes longer than many a command.
local function word(number)
  return string.format('%d', number)
end

-- The time of this call; every verb asks for it first.
local function clock()
  local t = redis.call('TIME')
  present = t[1] * 1000 + math.floor(t[2] / 1000)
  if present > latest then
    latest = present
  elseif present < latest - STEP then
    latest, steps_back = present, steps_back + 1
  end
  stamp = word(present)
  return present
end

-- One entry holds all events of a call (contracts/events.py reads them), for an XADD costs as
-- much as all else that happens to a job. Its id counts events, so that trimming by MINID keeps
-- as many events as asked for, however they are packed.
local function write_journal(P)
  if events == 0 then return end
  local words, count, last = journal, events, 0
  journal, events, size, common = {}, 0, 0, {}
  local function append()
    last = redis.call('INCRBY', P .. 'journal', word(count))
    return redis.pcall('XADD', P .. 'events', 'MINID', '~', word(math.max(0, last - kept)),
      word(last) .. '-0', unpack(words))
  end
  local written = append()
  if type(written) == 'table' and written.err then
    -- The counter was lost, or another release counted otherwise: go on behind what is there.
    local info = redis.pcall('XINFO', 'STREAM', P .. 'events')
    for i = 1, info.err and 0 or #info, 2 do
      if info[i] == 'last-generated-id' then
        redis.call('SET', P .. 'journal', string.match(info[i + 1], '%d+'))
      end
    end
    append() -- and no verb fails because history cannot be written
    refreshed[P] = nil
  end
  -- Once a minute, and where the counter begins anew, for then the stream does, too.
  if last == count or math.abs(present - (refreshed[P] or 0)) >= MINUTE then
    redis.call('PEXPIRE', P .. 'events', EVENTS_LIVE)
    refreshed[P] = present
  end
end

-- Where the next event goes in the journal: behind that many words.
local function make_room(P)
  local n = #journal
  if n > MOST_WORDS or size > MOST_BYTES then
    write_journal(P)
    n = 0
  end
  if n == 0 then
    journal[1], journal[2] = 'at', stamp
    return 2
  end
  return n
end

-- Note one of the transitions that every job goes through, in two words of the entry: its kind, and
-- `text`, the rest. What those of one call have in common is noted once: `value`, by its name.
local function emit_short(P, keep, kind, text, name, value)
  local n = make_room(P)
  if common[name] ~= value then
    common[name] = value
    journal[n + 1], journal[n + 2] = name, value
    n = n + 2
  end
  journal[n + 1], journal[n + 2] = kind, text
  size, events, kept = size + #text, events + 1, keep
end

-- Note a transition, its fields given as a table; `keep` is about how many events the stream
-- holds.
local function emit(P, keep, kind, id, fields)
  local n = make_room(P)
  journal[n + 1], journal[n + 2], journal[n + 3], journal[n + 4] = 'type', kind, 'id', id
  for i = 1, #fields do
    journal[n + 4 + i] = fields[i]
    if type(fields[i]) == 'string' then size = size + #fields[i] end
  end
  events, kept = events + 1, keep
end
