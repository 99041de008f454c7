-- claim: hand waiting jobs of one function to a worker.
-- keys: P
-- args: worker id, worker's channel, jobs wanted, events kept, ms a finished record lives
-- result: {now, filled (1 when more probably waits: ask again), {job...}}; a job is what row_of
--         says
-- Allowed when memory is full: claiming is how a full server drains.
-- Nothing wanted: the worker has no free slot and hands the wake it got on to another.
--
-- Highest lane first. One job in five is taken from the lowest lane up, so that low
-- priorities never starve.

-- Entries besides those wanted that one call looks at: a lane full of expired jobs must not
-- keep the server from everybody else.
local PATIENCE = 1000

local function read_lane(P, lane, worker, count)
  local stream = P .. 'lane:' .. lane
  local reply = redis.pcall('XREADGROUP', 'GROUP', GROUP, worker, 'COUNT', count,
    'STREAMS', stream, '>')
  if reply and reply.err then
    -- The group is gone with a lost server: start it at 0, for `$` would skip what waits.
    redis.call('XGROUP', 'CREATE', stream, GROUP, '0', 'MKSTREAM')
    reply = redis.call('XREADGROUP', 'GROUP', GROUP, worker, 'COUNT', count,
      'STREAMS', stream, '>')
  end
  if not reply then return {} end
  return reply[1][2]
end

-- Whether the numbers of a job with more to it are numbers.
local function is_sound(row)
  return not row[6] or tonumber(row[6]) and tonumber(row[10]) and (row[7] == '' or tonumber(row[7]))
end

register('claim', function(keys, args)
  local P, now = keys[1], clock()
  local worker, channel, want, keep, ttl = args[1], args[2], tonumber(args[3]), args[4], args[5]
  local jobs, looked = {}, 0

  local function take(lane, entry, fields)
    local id = id_in(fields)
    local job = P .. 'job:' .. (id or '')
    local v = id and redis.pcall('HMGET', job, 'status', 'entry', 'arguments', 'created', 'attempt',
      'delivery', 'more')
    if not v or not v[1] then return set_aside(P, lane, entry, fields) end
    if v[1] ~= 'queued' or v[2] ~= entry then return drop_entry(P, lane, entry) end
    local attempt, delivery = tonumber(v[5] or 0), tonumber(v[6] or 0)
    local row = v[3] and tonumber(v[4]) and attempt and delivery
      and row_of(id, job, v[3], attempt + 1, delivery + 1, v[4], v[7])
    if not row or not is_sound(row) then return set_aside(P, lane, entry, fields) end
    local deadline = row[7] and tonumber(row[7])
    if deadline and deadline <= now then
      drop_entry(P, lane, entry)
      return finish(P, keep, ttl, id, job, now, find(job), 'expired', '', '',
        'the deadline passed before a worker was free', '')
    end
    redis.call('HSET', job, 'status', 'running', 'attempt', attempt + 1, 'delivery', delivery + 1,
      'worker', worker, 'claimed', now)
    emit(P, keep, 'running', id,
      {'attempt', attempt + 1, 'delivery', delivery + 1, 'worker', worker})
    jobs[#jobs + 1] = row
  end

  local function read(lane, most)
    local before = #jobs
    while #jobs - before < most and looked < want + PATIENCE do
      local asked = most - (#jobs - before)
      local entries = read_lane(P, lane, worker, asked)
      looked = looked + #entries
      for _, e in ipairs(entries) do take(lane, e[1], e[2]) end
      if #entries < asked then break end
    end
    return #jobs - before
  end

  local lanes = redis.call('ZREVRANGE', P .. 'lanes', 0, -1)
  if #lanes > 1 then
    local after = redis.call('INCRBY', P .. 'share', want)
    local low = math.floor(after / 5) - math.floor((after - want) / 5)
    for i = #lanes, 1, -1 do
      if low > 0 then low = low - read(lanes[i], low) end
    end
  end
  for _, lane in ipairs(lanes) do
    if #jobs >= want then break end
    read(lane, want - #jobs)
  end

  if #jobs < want and looked < want + PATIENCE then
    redis.call('SADD', P .. 'hungry', channel)
    redis.call('PEXPIRE', P .. 'hungry', HUNGRY_LIVE)
    return {now, 0, jobs}
  end
  wake(P) -- a full share: more probably waits, and another worker may be free
  return {now, 1, jobs}
end, 'allow-oom')
