-- How a job becomes a worker's own, for the verbs that hand jobs out.

-- Entries besides those wanted that one call looks at: a lane full of expired jobs must not
-- keep the server from everybody else.
local PATIENCE = 1000

-- The lane of jobs that were claimed out of their turn (pick.lua), besides KEYED. Nothing waits in
-- it: each entry is delivered as soon as it is there, and carries the lease as any other does.
local PICKED = '+'
local PICKED_PLACE = -500 -- in `lanes`: below all priorities, above KEYED

local function read_lane(P, lane, worker, count)
  local stream = P .. 'lane:' .. lane
  local reply = redis.pcall('XREADGROUP', 'GROUP', GROUP, worker, 'COUNT', word(count),
    'STREAMS', stream, '>')
  if reply and reply.err then
    -- The group is gone with a lost server: start it at 0, for `$` would skip what waits.
    redis.call('XGROUP', 'CREATE', stream, GROUP, '0', 'MKSTREAM')
    reply = redis.call('XREADGROUP', 'GROUP', GROUP, worker, 'COUNT', word(count),
      'STREAMS', stream, '>')
  end
  if not reply then return {} end
  return reply[1][2]
end

-- Whether something is a whole number, in words that a worker can read; '1e3' and 'nan' are not,
-- though they are numbers to Lua.
local function is_whole(value)
  return value and #value < 17 and string.find(value, '^%-?%d+$')
end

-- Whether the numbers of a job with more to it are numbers.
local function is_sound(row)
  return not row[6] or is_whole(row[6]) and is_whole(row[10]) and (row[7] == '' or is_whole(row[7]))
end

-- The number after a count, in words; nil when it is none.
local function number_after(count)
  if not count then return '1' end
  return is_whole(count) and string.format('%d', count + 1)
end

-- The row of a job that runs already; nil when something is wrong.
local function row_again(id, job, arguments, attempt, delivery, created, more)
  local row = arguments and is_whole(attempt) and is_whole(delivery) and is_whole(created)
    and row_of(id, job, arguments, attempt, delivery, created, more)
  return row and is_sound(row) and row
end

-- The next jobs of one key, up to `room`: the highest priority first, one in five of the lowest.
local function next_of(P, keys, room)
  local wait = P .. 'wait:' .. keys
  local ids = redis.call('ZRANGE', wait, 0, room - 1)
  local first = redis.call('ZRANGE', wait, 0, 0, 'WITHSCORES')[2]
  local last = redis.call('ZRANGE', wait, -1, -1, 'WITHSCORES')[2]
  if not last then return ids end
  local lowest = math.floor(last / CLASS)
  if math.floor(first / CLASS) == lowest then return ids end
  local after = redis.call('INCRBY', P .. 'share', room)
  local low = math.floor(after / 5) - math.floor((after - room) / 5)
  if low == 0 then return ids end
  local chosen = redis.call('ZRANGE', wait, string.format('%.0f', lowest * CLASS), '+inf',
    'BYSCORE', 'LIMIT', 0, low)
  local seen = {}
  for _, id in ipairs(chosen) do seen[id] = true end
  for _, id in ipairs(ids) do
    if #chosen < room and not seen[id] then chosen[#chosen + 1] = id end
  end
  return chosen
end

-- Of the jobs that were lost with two workers or more, a worker has one at a time: one of them is
-- to blame, and those that were only beside it must not be with it every time.
local SUSPECTS_LIVE = 15 * 60 * 1000
local SUSPECT_AGAIN = 1000

local function has_suspect(P, worker)
  local id = redis.call('HGET', P .. 'suspects', worker)
  local v = id and redis.call('HMGET', P .. 'job:' .. id, 'status', 'worker')
  return v and v[1] == 'running' and v[2] == worker
end

local function keep_apart(P, keep, now, id, job, row)
  local due, reason = now + SUSPECT_AGAIN, 'kept apart from another job that was lost with workers'
  to_schedule(P, id, due)
  redis.call('HSET', job, 'status', 'scheduled', 'lane', '', 'entry', '', 'due', due,
    'reason', reason)
  emit(P, keep, 'snooze', id, {'attempt', row[3] - 1, 'delivery', row[4] - 1, 'due', due,
    'reason', reason})
end

-- Take up to `want` jobs for a worker: their rows, whether nothing is left, and the gate if the
-- function has one. Highest lane first. One job in five is taken from the lowest lane up, so that
-- low priorities never starve. `pushing`: nobody asked; behind a gate nothing is given then.
-- `new`: a plain job that is in its lane and not written down yet; `started` is set in it if it is
-- given. `choose` takes the jobs instead, where the caller wants certain ones.
local function take_jobs(P, keep, ttl, now, worker, want, pushing, new, choose)
  local jobs, looked, most, gate = {}, 0, want, nil

  local function start_new(lane, entry)
    redis.call('HSET', P .. 'job:' .. new.id, 'status', 'running', 'attempt', '1', 'delivery', '1',
      'worker', worker, 'claimed', stamp, 'lane', lane, 'entry', entry, 'name', new.name,
      'arguments', new.arguments, 'created', stamp, 'due', stamp)
    new.started = true
    emit_short(P, keep, 'running', new.id .. ' 1 1', 'by', worker)
    jobs[#jobs + 1] = {new.id, new.arguments, '1', '1', stamp}
  end

  local function start(id, job, row, lane, entry)
    if gate and (gate.max or gate.keymax) then -- its end makes room
      redis.call('HSET', job, 'status', 'running', 'attempt', row[3], 'delivery', row[4],
        'worker', worker, 'claimed', stamp, 'lane', lane, 'entry', entry, 'more', 1, 'limited', 1)
    elseif lane == KEYED or lane == PICKED then
      redis.call('HSET', job, 'status', 'running', 'attempt', row[3], 'delivery', row[4],
        'worker', worker, 'claimed', stamp, 'lane', lane, 'entry', entry)
    else
      redis.call('HSET', job, 'status', 'running', 'attempt', row[3], 'delivery', row[4],
        'worker', worker, 'claimed', stamp)
    end
    emit_short(P, keep, 'running', id .. ' ' .. row[3] .. ' ' .. row[4], 'by', worker)
    jobs[#jobs + 1] = row
  end

  -- The row of a job, its values given as read_job reads them; nil when something is wrong.
  local function row_for(id, job, v)
    local attempt, delivery = number_after(v[5]), number_after(v[6])
    local row = v[3] and is_whole(v[4]) and attempt and delivery
      and row_of(id, job, v[3], attempt, delivery, v[4], v[7])
    return row and is_sound(row) and row
  end

  local function read_job(job)
    return redis.pcall('HMGET', job, 'status', 'entry', 'arguments', 'created', 'attempt',
      'delivery', 'more', 'keys')
  end

  local function expires(id, job, row)
    local deadline = row[7] and tonumber(row[7])
    if not deadline or deadline > now then return false end
    finish(P, keep, ttl, id, job, now, find(job), 'expired', '', '',
      'the deadline passed before a worker was free', '')
    return true
  end

  local function waits_apart(id, job, row)
    if not row[10] or tonumber(row[10]) < 2 then return false end
    if has_suspect(P, worker) then
      keep_apart(P, keep, now, id, job, row)
      return true
    end
    redis.call('HSET', P .. 'suspects', worker, id)
    redis.call('PEXPIRE', P .. 'suspects', SUSPECTS_LIVE)
    return false
  end

  -- An entry of a job that runs: it was delivered before, by a group that was lost since. It carries
  -- the lease of that job's worker, so that others notice if that dies.
  local function return_lease(lane, entry, job)
    local owner = redis.call('HGET', job, 'worker')
    if owner then
      redis.call('XCLAIM', P .. 'lane:' .. lane, GROUP, owner, '0', entry, 'JUSTID')
    end
  end

  local function take(lane, entry, fields)
    local id = id_in(fields)
    local job = P .. 'job:' .. (id or '')
    if new and new.id == id then return start_new(lane, entry) end
    local v = id and read_job(job)
    if not v or not v[1] then return set_aside(P, lane, entry, fields) end
    if v[1] == 'running' and v[2] == entry then return return_lease(lane, entry, job) end
    if v[1] ~= 'queued' or v[2] ~= entry then return drop_entry(P, lane, entry) end
    local row = row_for(id, job, v)
    if not row then return set_aside(P, lane, entry, fields) end
    if expires(id, job, row) or waits_apart(id, job, row) then
      return drop_entry(P, lane, entry)
    end
    start(id, job, row, lane, entry)
  end

  local function read(lane, wanted)
    local before = #jobs
    while #jobs - before < wanted and looked < want + PATIENCE do
      local asked = wanted - (#jobs - before)
      local entries = read_lane(P, lane, worker, asked)
      looked = looked + #entries
      for _, e in ipairs(entries) do take(lane, e[1], e[2]) end
      if #entries < asked then break end
    end
    return #jobs - before
  end

  -- It waits until all is written: if that fails halfway, nothing is lost.
  local function take_keyed(keys, key, id)
    local job = P .. 'job:' .. id
    local v = read_job(job)
    if v[1] == 'queued' and v[8] == keys then
      local row = row_for(id, job, v)
      if not row then
        redis.call('XADD', P .. 'strange', 'MAXLEN', '~', 1000, '*', 'id', id, 'keys', keys)
      elseif not (expires(id, job, row) or waits_apart(id, job, row)) then
        local entry = redis.call('XADD', P .. 'lane:' .. KEYED, '*', 'id', id, 'keys', keys)
        read_lane(P, KEYED, worker, 1000)
        if key ~= '' then redis.call('SADD', P .. 'busy:' .. key, id) end
        start(id, job, row, KEYED, entry)
      end
    end
    unpark(P, id, keys)
  end

  -- One turn of a key: as much of the room as is its share.
  local function take_turn(keys, room)
    local key, rated = split_keys(keys)
    room = math.max(1, math.floor(room / (redis.call('ZCARD', P .. 'ring') + 1)))
    if gate.keymax and key ~= '' then
      room = math.min(room, gate.keymax - redis.call('SCARD', P .. 'busy:' .. key))
      if room < 1 then return hold_back(P, key, keys) end
    end
    local bucket, level = P .. 'rate:' .. rated, nil
    if gate.keyrate and rated ~= '' then
      level = level_of(bucket, gate.keyrate, gate.keywindow, now)
      room = math.min(room, math.floor(level / gate.keywindow))
      if room < 1 then
        redis.call('ZADD', P .. 'timed', now + wait_for(level, gate.keyrate, gate.keywindow), keys)
        return free_key(P, key, gate.keymax)
      end
    end
    local before = #jobs
    for _, id in ipairs(next_of(P, keys, room)) do
      looked = looked + 1
      take_keyed(keys, key, id)
    end
    if level and #jobs > before then
      set_level(bucket, level - (#jobs - before) * gate.keywindow, gate.keyrate, gate.keywindow,
        now)
    end
    if redis.call('EXISTS', P .. 'wait:' .. keys) == 1 then enter_ring(P, keys) end
    free_key(P, key, gate.keymax)
  end

  -- Keys take turns. One that may not run leaves the ring, so each is looked at once.
  local function read_ring(wanted)
    local before = #jobs
    while #jobs - before < wanted and looked < want + PATIENCE do
      local keys = redis.call('ZPOPMIN', P .. 'ring')[1]
      if not keys then return end
      looked = looked + 1
      -- Keys with something damaged must not hold up the others, nor be forgotten.
      if not pcall(take_turn, keys, wanted - (#jobs - before)) then
        return enter_ring(P, keys)
      end
    end
  end

  local lanes = redis.call('ZREVRANGE', P .. 'lanes', '0', '-1')
  local keyed = false
  if lanes[1] == GATE then
    if pushing or want < 1 then return jobs, false, {} end
    gate = open_gate(P, keep, now, lanes)
    most = math.min(want, gate.room)
    table.remove(lanes, 1)
    if lanes[#lanes] == KEYED then keyed = table.remove(lanes) end
  end
  if choose then
    choose{jobs = jobs, gate = gate, most = most, read = read_job, row_for = row_for,
      expires = expires, waits_apart = waits_apart, start = start}
    if gate then close_gate(P, now, gate, #jobs, want) end
    return jobs, false, gate
  end
  if lanes[#lanes] == PICKED then table.remove(lanes) end
  if keyed and most > 0 then
    if gate.keyrate then
      for _, keys in ipairs(redis.call('ZRANGE', P .. 'timed', '-inf', now, 'BYSCORE', 'LIMIT', 0,
          DUE_AT_ONCE)) do
        redis.call('ZREM', P .. 'timed', keys)
        enter_ring(P, keys)
      end
    end
    local first = most
    if #lanes > 0 then -- jobs without keys, of producers that do not know of them
      local after = redis.call('INCRBY', P .. 'share', most)
      first = math.floor(after / 2) - math.floor((after - most) / 2)
    end
    read_ring(first)
  end
  if #lanes > 1 and most > #jobs then
    local after = redis.call('INCRBY', P .. 'share', most)
    local low = math.floor(after / 5) - math.floor((after - most) / 5)
    low = math.min(low, most - #jobs)
    for i = #lanes, 1, -1 do
      if low > 0 then low = low - read(lanes[i], low) end
    end
  end
  for _, lane in ipairs(lanes) do
    if #jobs >= most then break end
    read(lane, most - #jobs)
  end
  if keyed then read_ring(most - #jobs) end
  if gate then close_gate(P, now, gate, #jobs, want) end
  return jobs, #jobs < want and looked < want + PATIENCE, gate
end

-- Claim one job for a hungry worker and push the whole job to it: it starts one round trip
-- sooner than a worker that is told to come and ask. A worker has one job pushed for each time
-- that it says it is hungry. Whoever loses its messages asks again for what it owns (recover).
-- The message: `job `, P, now, then the lengths of the row's values; a line feed; the values.
local function hand_over(P, keep, ttl, now, new)
  while true do
    local channel = redis.call('ZPOPMIN', P .. 'hungry')[1]
    if not channel then return end
    if redis.call('PUBSUB', 'NUMSUB', channel)[2] > 0 then
      local rows, dry = take_jobs(P, keep, ttl, now, worker_of(channel), 1, true, new)
      local row = rows[1]
      if not row then
        if dry then return feel_hungry(P, channel) end
        return redis.call('PUBLISH', channel, 'work ' .. P)
      end
      local sizes = {}
      for i = 1, #row do sizes[i] = #row[i] end
      redis.call('PUBLISH', channel, 'job ' .. P .. ' ' .. stamp .. ' '
        .. table.concat(sizes, ' ') .. '\n' .. table.concat(row))
      return
    end
  end
end
