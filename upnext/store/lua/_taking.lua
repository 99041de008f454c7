-- How a job becomes a worker's own, for the verbs that hand jobs out.

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

-- Take up to `want` jobs for a worker: their rows, and whether nothing is left.
-- Highest lane first. One job in five is taken from the lowest lane up, so that low
-- priorities never starve.
local function take_jobs(P, keep, ttl, now, worker, want)
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
  return jobs, #jobs < want and looked < want + PATIENCE
end

-- Claim one job for a hungry worker and push the whole job to it: it starts one round trip
-- sooner than a worker that is told to come and ask. A worker has one job pushed for each time
-- that it says it is hungry. Whoever loses its messages asks again for what it owns (recover).
-- The message: `job `, P, now, then the lengths of the row's values; a line feed; the values.
local function hand_over(P, keep, ttl, now)
  while true do
    local channel = redis.call('ZPOPMIN', P .. 'hungry')[1]
    if not channel then return end
    if redis.call('PUBSUB', 'NUMSUB', channel)[2] > 0 then
      local rows, dry = take_jobs(P, keep, ttl, now, string.match(channel, '[^:]*$'), 1)
      local row = rows[1]
      if not row then
        if dry then return feel_hungry(P, channel) end
        return redis.call('PUBLISH', channel, 'work ' .. P)
      end
      local sizes = {}
      for i = 1, #row do
        row[i] = tostring(row[i])
        sizes[i] = #row[i]
      end
      redis.call('PUBLISH', channel, 'job ' .. P .. ' ' .. string.format('%d', now) .. ' '
        .. table.concat(sizes, ' ') .. '\n' .. table.concat(row))
      return
    end
  end
end
