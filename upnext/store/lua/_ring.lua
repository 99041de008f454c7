-- Limits: what of a function may run now, and the fair order of jobs that have keys.
--
-- `gate` holds what binds the function: max (jobs at once), keymax (jobs of one key at once),
-- rate and window (starts in so many ms), keyrate and keywindow (the same for each key), group
-- (1: workers hold permits), paused (Unix ms when it ends; 0: until it is resumed).
--
-- A job's `keys` is `<length of its concurrency key>:<concurrency key><rate key>`. Such jobs wait
-- not in lanes but in `wait:<keys>`. The ring has the keys whose turn comes, the next one first;
-- keys that may not run are not in it, so nobody ever looks through them: they are in
-- `stuck:<concurrency key>` until one of that key ends, or in `timed` until the rate lets the next
-- one start. A claimed job is put on the lane KEYED, which carries its lease, and in
-- `busy:<concurrency key>`.

local CLASS = 2 ^ 46 -- more jobs than will ever wait
local DUE_AT_ONCE = 100
local LIMITS = {'max', 'keymax', 'rate', 'window', 'keyrate', 'keywindow', 'group'}

local function read_gate(P)
  local flat, gate = redis.call('HGETALL', P .. 'gate'), {}
  for i = 1, #flat, 2 do gate[flat[i]] = tonumber(flat[i + 1]) end
  return gate
end

-- Mark the function as limited or paused, or take the mark away.
local function mark_gate(P)
  if redis.call('EXISTS', P .. 'gate') == 1 then
    redis.call('ZADD', P .. 'lanes', 1000, GATE)
  elseif not redis.call('ZSCORE', P .. 'lanes', KEYED) then
    redis.call('ZREM', P .. 'lanes', GATE)
  end
end

-- Tell a worker that found a limit reached that something may run again; a hungry one where no
-- such worker is.
rouse = function(P)
  local told, own = tell_one(P, 'barred')
  if told then return end
  local hungry
  told, hungry = tell_one(P, 'hungry')
  if not told then tell_last(P, own or hungry) end
end

-- Tell all of them.
local function rouse_all(P)
  local channels = redis.call('ZRANGE', P .. 'barred', 0, -1)
  redis.call('DEL', P .. 'barred')
  for _, channel in ipairs(channels) do redis.call('PUBLISH', channel, 'work ' .. P) end
  wake(P)
end

-- The concurrency key and the rate key.
local function split_keys(keys)
  local length, both = string.match(keys, '^(%d+):(.*)$')
  length = tonumber(length or 0)
  return string.sub(both or '', 1, length), string.sub(both or '', length + 1)
end

-- Let a key have its turn after all that wait for theirs.
local function enter_ring(P, keys)
  local last = redis.call('ZRANGE', P .. 'ring', -1, -1, 'WITHSCORES')[2]
  redis.call('ZADD', P .. 'ring', 'NX', (last or 0) + 1, keys)
end

-- Where a key had no room and has room again, let the next of those that share it have a turn.
local function free_key(P, key, most)
  if key == '' then return end
  local stuck = P .. 'stuck:' .. key
  local keys = redis.call('ZRANGE', stuck, 0, 0)[1]
  if not keys then return end
  most = most or redis.call('HGET', P .. 'gate', 'keymax')
  if most and redis.call('SCARD', P .. 'busy:' .. key) >= tonumber(most) then return end
  redis.call('ZREM', stuck, keys)
  if redis.call('EXISTS', stuck) == 0 then redis.call('SREM', P .. 'full', key) end
  enter_ring(P, keys)
end

local function hold_back(P, key, keys)
  redis.call('ZADD', P .. 'stuck:' .. key, redis.call('INCR', P .. 'order'), keys)
  redis.call('SADD', P .. 'full', key)
end

-- Let a job wait for the turn of its keys; whether they have a turn that nobody knew of.
local function to_ring(P, id, keys, priority, first)
  if redis.call('ZADD', P .. 'lanes', 'NX', 1000, GATE, -1000, KEYED) > 0 then
    redis.pcall('XGROUP', 'CREATE', P .. 'lane:' .. KEYED, GROUP, '0', 'MKSTREAM')
  end
  local class = 2 * (9 - priority) + (first and 0 or 1)
  local score = string.format('%.0f', class * CLASS + redis.call('INCR', P .. 'order'))
  local wait = P .. 'wait:' .. keys
  if redis.call('ZADD', wait, 'NX', score, id) == 1 then redis.call('INCR', P .. 'parked') end
  if redis.call('ZCARD', wait) > 1 then return false end
  enter_ring(P, keys)
  return true
end

-- A job does not wait among its keys' any more.
local function unpark(P, id, keys)
  if redis.call('ZREM', P .. 'wait:' .. keys, id) == 1
      and redis.call('DECR', P .. 'parked') <= 0 then
    redis.call('DEL', P .. 'parked')
  end
end

-- A waiting job with keys is over; keys without jobs are nowhere.
local function leave_ring(P, id, keys)
  unpark(P, id, keys)
  if redis.call('EXISTS', P .. 'wait:' .. keys) == 1 then return end
  local key = split_keys(keys)
  redis.call('ZREM', P .. 'ring', keys)
  redis.call('ZREM', P .. 'timed', keys)
  if key == '' then return end
  redis.call('ZREM', P .. 'stuck:' .. key, keys)
  if redis.call('EXISTS', P .. 'stuck:' .. key) == 0 then redis.call('SREM', P .. 'full', key) end
  free_key(P, key)
  freed = true
end

-- Put a job where it waits: in its lane, or among its keys'.
to_queue = function(P, id, job, keys, priority, first)
  if not keys then return to_lane(P, id, job, priority, first) end
  to_ring(P, id, keys, priority, first)
  return '', ''
end

-- An attempt ended: give back what it held of the limits. For plain jobs that is nothing.
let_go = function(P, id, found)
  if found.limited then freed = true end
  if found.keys then
    local key = split_keys(found.keys)
    if key ~= '' and redis.call('SREM', P .. 'busy:' .. key, id) == 1 then free_key(P, key) end
  end
end

-- A rate's bucket: how full it is. One start takes `window`, each ms brings `count`, it holds
-- `count` starts, and it starts full: nothing stored is full. Whole numbers below 2^53.
local function level_of(bucket, count, window, now)
  local full, stored = count * window, redis.call('GET', bucket)
  if not stored then return full end
  local level, at, old = string.match(stored, '^(%d+) (%d+) (%d+)$')
  local passed = math.max(0, now - (at or 0))
  if passed >= window then return full end
  if tonumber(old) ~= window then level = math.floor(level / old) * window end -- another limit's
  return math.min(full, level + passed * count)
end

local function set_level(bucket, level, count, window, now)
  redis.call('SET', bucket, string.format('%.0f %.0f %.0f', level, now, window), 'PX',
    math.max(1, math.ceil((count * window - level) / count)))
end

-- Ms until a bucket that is this full lets one more start.
local function wait_for(level, count, window)
  return math.max(0, math.ceil((window - level) / count))
end

-- End a pause.
local function lift(P, keep, reason)
  if redis.call('HDEL', P .. 'gate', 'paused') == 0 then return false end
  mark_gate(P)
  emit(P, keep, 'resumed', '-', {'reason', reason})
  return true
end

-- What may start now, of a function that has a gate: `room` for so many jobs.
local function open_gate(P, keep, now, lanes)
  local gate = read_gate(P)
  gate.room = math.huge
  if gate.paused then
    if gate.paused == 0 or gate.paused > now then
      gate.room, gate.later = 0, gate.paused > 0 and gate.paused - now or nil
      return gate
    end
    lift(P, keep, 'its time was over')
    gate.paused = nil
  end
  if gate.max then
    gate.room = gate.max
    for _, lane in ipairs(lanes) do
      if lane ~= GATE then
        local pending = redis.pcall('XPENDING', P .. 'lane:' .. lane, GROUP)
        if not pending.err then gate.room = gate.room - pending[1] end
      end
    end
    gate.most = gate.room
  end
  if gate.rate then
    gate.level = level_of(P .. 'rate:', gate.rate, gate.window, now)
    gate.room = math.min(gate.room, math.floor(gate.level / gate.window))
  end
  return gate
end

-- So many jobs started: write it down, and see whether a limit keeps the others from starting.
local function close_gate(P, now, gate, started, want)
  if gate.rate and started > 0 then
    gate.level = gate.level - started * gate.window
    set_level(P .. 'rate:', gate.level, gate.rate, gate.window, now)
  end
  gate.barred = started < want and started >= gate.room
  if gate.paused then return end
  if gate.barred and gate.rate and not (gate.most and started >= gate.most) then
    gate.later = wait_for(gate.level, gate.rate, gate.window)
  end
end
