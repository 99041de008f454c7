-- Shared by every verb of the library; built in front of them, behind `_journal.lua`.
--
-- P is a function's key prefix (contracts/keys.py names every key under it). Times are
-- Unix milliseconds of this server. User payloads (arguments, result, error, source) are
-- opaque bytes here: cjson would turn 2^53+1 into a float and [] into {}.

local GROUP = 'workers'
local HUNGRY_LIVE = '900000' -- ms: 15 minutes
local MARK_LIVE = 24 * 3600 * 1000

-- Limits (_ring.lua). Two members of `lanes` are no lanes of a priority: the gate, first of all,
-- which marks a function that is limited or paused, and the lane of claimed jobs that have keys,
-- last. So a function without limits is told from others by what a claim reads anyway.
local GATE, KEYED = '!', '*'
local freed = false -- whether an end made room under a limit
local let_go, rouse, to_queue
local unwilling = '' -- a worker that hands jobs back in this call is the last to be told of them

local function register(verb, callback, ...)
  local function run(keys, args)
    journal, events, size, common, freed, unwilling = {}, 0, 0, {}, false, ''
    -- A call that fails halfway has made the transitions it made: history must hear of them.
    local ok, reply = pcall(callback, keys, args)
    if freed then pcall(rouse, keys[1]) end
    write_journal(keys[1])
    if ok or type(reply) == 'table' then return reply end -- a server's error keeps its code
    return redis.error_reply(tostring(reply))
  end
  redis.register_function{
    function_name = LIBRARY .. '_' .. verb, callback = run, flags = {...},
  }
end

-- Remember a worker that has free slots and found nothing more to do. The one that has waited
-- longest is served first.
local function feel_hungry(P, channel)
  redis.call('ZADD', P .. 'hungry', 'NX', stamp, channel)
  redis.call('PEXPIRE', P .. 'hungry', HUNGRY_LIVE)
end

-- Whose control channel it is.
local function worker_of(channel)
  return string.match(channel, '^.*:(.*)$')
end

-- Tell one worker of a line that there is work: whether there was one. A channel nobody listens to
-- belongs to a dead worker: it is forgotten and the next one is told. The one that hands jobs back
-- in this call keeps its place; its channel is the second answer.
local function tell_one(P, line)
  local own
  while true do
    local place = own and 1 or 0
    local channel = redis.call('ZRANGE', P .. line, place, place)[1]
    if not channel then return false, own end
    if worker_of(channel) == unwilling then
      own = channel
    else
      redis.call('ZREM', P .. line, channel)
      if redis.call('PUBLISH', channel, 'work ' .. P) > 0 then return true end
    end
  end
end

-- Where nobody else is, the one that hands jobs back is told: since it decided to, it may have got
-- room and found nothing more to do.
local function tell_last(P, own)
  if own then redis.call('PUBLISH', own, 'work ' .. P) end
end

-- Tell one hungry worker that there is work.
local function wake(P)
  local told, own = tell_one(P, 'hungry')
  if not told then tell_last(P, own) end
end

-- The lanes that exist, the highest first.
local function lanes_of(P)
  return redis.call('ZREVRANGEBYSCORE', P .. 'lanes', 900, '-inf')
end

-- Put a job on its lane. `first`: ahead of the jobs of its priority that wait already.
local function to_lane(P, id, job, priority, first)
  local lane = first and priority .. '^' or tostring(priority)
  local stream = P .. 'lane:' .. lane
  local entry = redis.call('XADD', stream, 'NOMKSTREAM', '*', 'id', id)
  if not entry then -- the lane's first job ever; from now on it is there, if empty
    redis.call('ZADD', P .. 'lanes', first and priority + 0.5 or priority, lane)
    redis.call('XGROUP', 'CREATE', stream, GROUP, '0', 'MKSTREAM')
    entry = redis.call('XADD', stream, '*', 'id', id)
  end
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

-- The fields of an entry that somebody else wrote, as many as can be passed on: Lua cannot unpack
-- many more than 8,000 values. Where some are left out, the last one says how many there were.
local MOST_FIELDS = 1000

local function bounded(fields)
  if #fields <= 2 * MOST_FIELDS then return fields end
  local some = {}
  for i = 1, 2 * MOST_FIELDS do some[i] = fields[i] end
  some[#some + 1], some[#some + 2] = 'fields', #fields / 2
  return some
end

-- An entry that no sound job stands behind is set aside for a human, never acknowledged away;
-- whether it was. Where it cannot be, it stays delivered as it is, and the next rescue tries again:
-- nobody else's job has to wait for that.
local function set_aside(P, lane, entry, fields)
  if fields and #fields > 0 then
    local kept = redis.pcall('XADD', P .. 'strange', 'MAXLEN', '~', 1000, '*',
      unpack(bounded(fields)))
    if type(kept) == 'table' then return false end
  end
  drop_entry(P, lane, entry)
  local named = {}
  for i = 1, lane == KEYED and fields and #fields or 0, 2 do named[fields[i]] = fields[i + 1] end
  if named.id and named.keys then
    pcall(let_go, P, named.id, {limited = '1', keys = named.keys})
  end
  return true
end

-- A claim that failed halfway read the entry of a job and did not write down whose the job is: put
-- the job back where it waits, ahead of the others. The old entry goes last, so that one of them is
-- there if this fails halfway, too. Jobs with limit keys need it not: they wait until all is
-- written.
local function put_back(P, lane, entry, id, found)
  local job = P .. 'job:' .. id
  local again, e = to_lane(P, id, job, tonumber(found.priority), true)
  redis.call('HSET', job, 'lane', again, 'entry', e)
  drop_entry(P, lane, entry)
end

-- Have a channel told of the end of a job, once.
local function join(job, waiters, channel)
  if channel ~= '' and not string.find(' ' .. waiters .. ' ', ' ' .. channel .. ' ', 1, true) then
    redis.call('HSET', job, 'more', 1, 'waiters', waiters .. ' ' .. channel)
  end
end

local function json_or_null(text)
  return text == '' and 'null' or text
end

-- Add a name and its value to a list, unless the value is '': an absent field costs nothing.
local function add(list, name, value)
  if value and value ~= '' then
    local n = #list
    list[n + 1], list[n + 2] = name, value
  end
end

-- Jobs of a function that no worker has.
local function waiting(P)
  local count = redis.call('ZCARD', P .. 'scheduled') + redis.call('SCARD', P .. 'followers')
  local parked = redis.call('GET', P .. 'parked')
  if parked then count = count + parked end
  for _, lane in ipairs(lanes_of(P)) do
    local stream = P .. 'lane:' .. lane
    count = count + redis.call('XLEN', stream)
    local pending = redis.pcall('XPENDING', stream, GROUP)
    if not pending.err then count = count - pending[1] end
  end
  return count
end

-- What the scripts decide by, of one job; nil when there is no such job, or no hash under its
-- key: one damaged job must not hold up the others of a call. Most jobs are plain: they have
-- nothing but what every job has. Those with `more` to them cost a second look.
local function find(job)
  local v = redis.pcall('HMGET', job, 'status', 'worker', 'delivery', 'attempt', 'lane', 'entry',
    'more')
  if not v[1] then return nil end
  local found = {
    status = v[1], worker = v[2] or '', delivery = v[3] or '0', attempt = v[4] or '0',
    lane = v[5] or '', entry = v[6] or '', priority = '0', deadline = '', rescues = '0',
  }
  if v[7] then
    local w = redis.call('HMGET', job, 'key', 'parent', 'root', 'waiters', 'priority', 'deadline',
      'rescues', 'cancel', 'keys', 'limited', 'reported', 'serial', 'dedupe', 'cache')
    found.key, found.parent, found.root, found.waiters = w[1], w[2], w[3], w[4]
    found.priority, found.deadline, found.rescues = w[5] or '0', w[6] or '', w[7] or '0'
    found.keys, found.limited = w[9], w[10]
    found.cancel = w[8] -- false unless asked for; an empty reason is a request, too
    found.reported, found.serial, found.dedupe, found.cache = w[11], w[12], w[13], w[14]
  end
  return found
end

-- Jobs that a schedule made to run one after another stand in its line, the one that may run at
-- the head. When that one is over, or its record is gone, the next one that is not goes on.
local function advance_line(P, keep, schedule, now)
  local line = P .. 'line:' .. schedule
  while true do
    local id = redis.call('LINDEX', line, 0)
    if not id then return end
    local job = P .. 'job:' .. id
    local v = redis.pcall('HMGET', job, 'status', 'due', 'attempt')
    if v[1] == 'queued' or v[1] == 'running' then return end
    if v[1] == 'scheduled' then
      if redis.call('ZSCORE', P .. 'scheduled', id) then return end -- it waits for its time
      if tonumber(v[2]) > now then return to_schedule(P, id, v[2]) end
      local lane, entry = to_lane(P, id, job, 0, false)
      redis.call('HSET', job, 'status', 'queued', 'lane', lane, 'entry', entry)
      emit(P, keep, 'queued', id, {'attempt', v[3] or '0'})
      return wake(P)
    end
    redis.call('LPOP', line)
  end
end

-- How long dead letters live (0: for ever), and how many of a function (0: any number). The verbs
-- that bury say so first.
local dead_ttl, dead_most = 0, 0

-- Make a dead letter of a job that ends now. Past the number allowed the oldest is dropped, and
-- counted; its record then lives as any other, `ttl` from its end. Whether this one is kept: if so,
-- `preserve` it once it has ended.
local function bury(P, id, now, ttl)
  local dead = P .. 'dead'
  redis.call('ZADD', dead, now, id)
  if dead_ttl > 0 then
    redis.call('ZREMRANGEBYSCORE', dead, '-inf', now - dead_ttl)
    redis.call('PEXPIRE', dead, dead_ttl)
  else
    redis.call('PERSIST', dead)
  end
  local over = dead_most > 0 and math.min(redis.call('ZCARD', dead) - dead_most, 1000) or 0
  if over <= 0 then return true end
  local oldest, keeps = redis.call('ZPOPMIN', dead, over), true
  for i = 1, #oldest, 2 do
    if oldest[i] == id then keeps = false end
    redis.call('PEXPIRE', P .. 'job:' .. oldest[i], math.max(0, oldest[i + 1] + ttl - now))
  end
  redis.call('INCRBY', P .. 'dropped', over)
  return keeps
end

-- The record of a dead letter lives as long as that does.
local function preserve(job, ttl)
  if dead_ttl > 0 then
    redis.call('PEXPIRE', job, math.max(dead_ttl, ttl))
  else
    redis.call('PERSIST', job)
  end
end

-- The job with a rerun key is over: the one that waits for that may start.
local function pass_on(P, keep, id, key)
  local mark, after = P .. 'rerun:' .. key, P .. 'after:' .. key
  local follower = redis.call('GET', after)
  if follower == id then -- it waited itself
    redis.call('DEL', after)
    return redis.call('SREM', P .. 'followers', id)
  end
  if redis.call('GET', mark) ~= id then return end
  redis.call('DEL', mark, after)
  if not follower then return end
  redis.call('SREM', P .. 'followers', follower)
  local job = P .. 'job:' .. follower
  local v = redis.pcall('HMGET', job, 'status', 'priority', 'keys')
  if v[1] ~= 'scheduled' then return end
  redis.call('SET', mark, follower)
  local lane, entry = to_queue(P, follower, job, v[3], tonumber(v[2] or 0), false)
  redis.call('HSET', job, 'status', 'queued', 'lane', lane, 'entry', entry, 'due', stamp)
  emit(P, keep, 'queued', follower, {'attempt', '0'})
  wake(P)
end

-- What a job holds by its kind of deduplication, at its end. A period holds on for a complete job.
local function give_up(P, keep, id, dedupe, status)
  local kind, key = string.match(dedupe, '^(%a+):(.*)$')
  if kind == 'rerun' then return pass_on(P, keep, id, key) end
  if (kind == 'debounce' or status ~= 'complete') and redis.call('GET', P .. dedupe) == id then
    redis.call('DEL', P .. dedupe)
  end
end

-- Keep the result of a complete job for others. `cache` is its time to live, a colon, the key.
local function keep_result(P, id, cache, status, result)
  local live, key = string.match(cache, '^(%d+):(.*)$')
  if redis.call('GET', P .. 'maker:' .. key) == id then redis.call('DEL', P .. 'maker:' .. key) end
  if status == 'complete' then redis.call('SET', P .. 'cache:' .. key, result, 'PX', live) end
end

-- The end of a job: the record gets its time to live, its key and family mark go, those who
-- wait are told, history gets its event. `found` is what the caller read of the record.
local function finish(P, keep, ttl, id, job, now, found, status, result, err, reason, started)
  local first = found.delivery == '0' or (found.delivery == '1' and found.status == 'running')
  if first and err == '' and reason == '' then
    redis.call('HSET', job, 'status', status, 'finished', stamp, 'started', started, 'result',
      result)
  else -- nothing of an earlier attempt may stay
    redis.call('HSET', job, 'status', status, 'finished', stamp, 'started', started, 'result',
      result, 'error', err, 'reason', reason)
  end
  if status == 'complete' and started ~= '' and err == '' and reason == '' then
    emit_short(P, keep, 'complete', id .. ' ' .. found.attempt .. ' ' .. found.delivery .. ' '
      .. started .. ' ' .. result, 'by', found.worker)
  else
    local event = {'attempt', found.attempt, 'delivery', found.delivery}
    add(event, 'worker', found.worker)
    add(event, 'started', started)
    add(event, 'result', result)
    add(event, 'error', err)
    add(event, 'reason', reason)
    emit(P, keep, status, id, event)
  end
  redis.call('PEXPIRE', job, ttl)
  if found.key and redis.call('GET', P .. 'key:' .. found.key) == id then
    redis.call('DEL', P .. 'key:' .. found.key)
  end
  if found.parent and found.root then redis.call('SREM', P .. 'family:' .. found.root, id) end
  if found.reported then -- it said something, or somebody listens
    redis.call('PEXPIRE', P .. 'log:' .. id, ttl)
    redis.call('PEXPIRE', P .. 'out:' .. id, ttl)
    redis.call('PUBLISH', P .. 'said:' .. id, 'over')
  end
  if found.serial then advance_line(P, keep, found.serial, now) end
  if found.deadline ~= '' then redis.call('ZREM', P .. 'deadlines', id) end
  if found.dedupe then give_up(P, keep, id, found.dedupe, status) end
  if found.cache then keep_result(P, id, found.cache, status, result) end
  if found.waiters then
    local notice = '{"id":"' .. id .. '","status":"' .. status .. '","attempt":' .. found.attempt
      .. ',"started_at":' .. json_or_null(started)
      .. ',"finished_at":' .. stamp
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

-- A running job as its worker is given it: {id, arguments, attempt, delivery, created} and, with
-- more to it, {..., priority, deadline, parent, root, rescues, key, source, checkpoint, path}.
local function row_of(id, job, arguments, attempt, delivery, created, more)
  if not more then return {id, arguments, attempt, delivery, created} end
  local w = redis.call('HMGET', job, 'priority', 'deadline', 'parent', 'root', 'rescues', 'key',
    'source', 'checkpoint', 'path')
  return {id, arguments, attempt, delivery, created, w[1] or '0', w[2] or '', w[3] or '',
    w[4] or '', w[5] or '0', w[6] or '', w[7] or '', w[8] or '', w[9] or ''}
end
