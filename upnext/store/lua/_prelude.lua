-- Shared by every verb of the library; built in front of them, never registered itself.
--
-- P is a function's key prefix (contracts/keys.py names every key under it). Times are
-- Unix milliseconds of this server. User payloads (arguments, result, error, source) are
-- opaque bytes here: cjson would turn 2^53+1 into a float and [] into {}.

local GROUP = 'workers'
local EVENTS_LIVE = 7 * 24 * 3600 * 1000
local HUNGRY_LIVE = 15 * 60 * 1000
local MARK_LIVE = 24 * 3600 * 1000

local function register(verb, callback, ...)
  redis.register_function{
    function_name = LIBRARY .. '_' .. verb, callback = callback, flags = {...},
  }
end

local function clock()
  local t = redis.call('TIME')
  return t[1] * 1000 + math.floor(t[2] / 1000)
end

local function emit(P, keep, kind, id, ...)
  redis.call('XADD', P .. 'events', 'MAXLEN', '~', keep, '*', 'type', kind, 'id', id, ...)
end

-- Every verb that may have emitted ends with this: the stream of a function that nobody uses
-- any more goes by itself.
local function keep_events(P)
  redis.call('PEXPIRE', P .. 'events', EVENTS_LIVE)
end

-- Tell one worker that has free slots. A channel nobody listens to belongs to a dead worker:
-- it is forgotten and the next one is told.
local function wake(P)
  while true do
    local channel = redis.call('SPOP', P .. 'hungry')
    if not channel then return end
    if redis.call('PUBLISH', channel, 'work ' .. P) > 0 then return end
  end
end

-- Put a job on its lane. `first`: ahead of the jobs of its priority that wait already.
local function to_lane(P, id, job, priority, first)
  local lane = first and priority .. '^' or tostring(priority)
  local stream = P .. 'lane:' .. lane
  local score = first and priority + 0.5 or priority
  if redis.call('ZADD', P .. 'lanes', 'NX', score, lane) == 1 then
    redis.pcall('XGROUP', 'CREATE', stream, GROUP, '0', 'MKSTREAM')
  end
  local entry = redis.call('XADD', stream, '*', 'id', id)
  return lane, entry
end

-- Put a job on the schedule; stagers hear of it when it is now the first one due.
local function to_schedule(P, id, due)
  redis.call('ZADD', P .. 'scheduled', due, id)
  if redis.call('ZRANGE', P .. 'scheduled', 0, 0)[1] == id then
    redis.call('PUBLISH', P .. 'due', due)
  end
end

local function drop_entry(P, lane, entry)
  if lane and lane ~= '' then
    local stream = P .. 'lane:' .. lane
    redis.call('XACK', stream, GROUP, entry)
    redis.call('XDEL', stream, entry)
  end
end

-- An entry that no sound job stands behind is set aside for a human, never acknowledged away.
local function set_aside(P, lane, entry, fields)
  if fields and #fields > 0 then
    redis.call('XADD', P .. 'strange', 'MAXLEN', '~', 1000, '*', unpack(fields))
  end
  drop_entry(P, lane, entry)
end

-- Have a channel told of the end of a job, once.
local function join(job, waiters, channel)
  if channel ~= '' and not string.find(' ' .. waiters .. ' ', ' ' .. channel .. ' ', 1, true) then
    redis.call('HSET', job, 'waiters', waiters .. ' ' .. channel)
  end
end

local function json_or_null(text)
  return text == '' and 'null' or text
end

-- Names and values without those whose value is '': an absent field costs nothing.
local function filled(...)
  local out = {}
  for i = 1, select('#', ...), 2 do
    local name, value = select(i, ...)
    if value and value ~= '' then out[#out + 1], out[#out + 2] = name, value end
  end
  return unpack(out)
end

local READ = {'status', 'worker', 'delivery', 'attempt', 'lane', 'entry', 'key', 'parent', 'root',
  'waiters', 'priority', 'deadline', 'rescues', 'cancel'}

-- What the scripts decide by, of one job; nil when there is no such job, or no hash under its
-- key: one damaged job must not hold up the others of a call.
local function find(job)
  local v = redis.pcall('HMGET', job, unpack(READ))
  if not v[1] then return nil end
  return {
    status = v[1], worker = v[2] or '', delivery = v[3] or '0', attempt = v[4] or '0',
    lane = v[5] or '', entry = v[6] or '', key = v[7], parent = v[8], root = v[9],
    waiters = v[10], priority = v[11] or '0', deadline = v[12] or '', rescues = v[13] or '0',
    cancel = v[14], -- false unless asked for; an empty reason is a request, too
  }
end

-- The end of a job: the record gets its time to live, its key and family mark go, those who
-- wait are told, history gets its event. `found` is what the caller read of the record.
local function finish(P, keep, ttl, id, job, now, found, status, result, err, reason, started)
  if found.delivery == '0' or (found.delivery == '1' and found.status == 'running') then
    redis.call('HSET', job, 'status', status, 'finished', now,
      filled('started', started, 'result', result, 'error', err, 'reason', reason))
  else -- nothing of an earlier attempt may stay
    redis.call('HSET', job, 'status', status, 'finished', now, 'started', started, 'result',
      result, 'error', err, 'reason', reason)
  end
  redis.call('PEXPIRE', job, ttl)
  if found.key and redis.call('GET', P .. 'key:' .. found.key) == id then
    redis.call('DEL', P .. 'key:' .. found.key)
  end
  if found.parent then redis.call('SREM', P .. 'family:' .. found.root, id) end
  emit(P, keep, status, id, 'attempt', found.attempt, 'delivery', found.delivery,
    filled('worker', found.worker, 'started', started, 'result', result, 'error', err,
      'reason', reason))
  if found.waiters then
    local notice = '{"id":"' .. id .. '","status":"' .. status .. '","attempt":' .. found.attempt
      .. ',"started_at":' .. json_or_null(started)
      .. ',"finished_at":' .. string.format('%d', now)
      .. ',"reason":' .. cjson.encode(reason)
      .. ',"error":' .. json_or_null(err) .. ',"result":' .. json_or_null(result) .. '}'
    for channel in string.gmatch(found.waiters, '[^ ]+') do
      redis.call('PUBLISH', channel, notice)
    end
  end
end

-- The job id in a lane entry's fields.
local function id_in(fields)
  for i = 1, #fields, 2 do
    if fields[i] == 'id' then return fields[i + 1] end
  end
end
