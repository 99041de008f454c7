-- permit: how many jobs of a group a worker may hold. A group spans functions, and so hash tags:
-- what is counted here, on the tag of the group alone, is not jobs but permits to hold one.
-- keys: G, the group's prefix
-- args: worker id, worker's channel, permits it needs for what it holds, more that it asks for (0:
--       none, and it leaves the line; -1: it renews what it has; -2: none), ms they live, the limit ('' where this worker does not know it)
-- result: permits the worker has now; -1 when the group has no limit
--
-- The sum of all permits never exceeds the limit; so jobs that run do not, as long as their workers
-- renew. Workers that got fewer than they asked for stand in line. What is free is kept for those
-- ahead in it, who are told.

local LINE_LIVE = 60 * 1000

register('permit', function(keys, args)
  local G, now = keys[1], clock()
  local worker, channel, holding, wanting, ttl = args[1], args[2], tonumber(args[3]),
    tonumber(args[4]), tonumber(args[5])
  if args[6] ~= '' then redis.call('SET', G .. 'most', args[6]) end
  local most = tonumber(redis.call('GET', G .. 'most') or nil)
  if not most then return -1 end
  for _, gone in ipairs(redis.call('ZRANGE', G .. 'until', '-inf', now, 'BYSCORE')) do
    redis.call('ZREM', G .. 'until', gone)
    redis.call('HDEL', G .. 'held', gone)
  end
  redis.call('ZREMRANGEBYSCORE', G .. 'line', '-inf', now - LINE_LIVE)

  local mine = tonumber(redis.call('HGET', G .. 'held', worker) or nil)
  local free = most
  for _, held in ipairs(redis.call('HVALS', G .. 'held')) do free = free - held end
  free = free + (mine or 0)
  if wanting == -1 then
    holding = mine or holding
  elseif wanting == 0 then
    redis.call('ZREM', G .. 'line', channel)
  elseif wanting > 0 then
    local ahead = redis.call('ZRANK', G .. 'line', channel) or redis.call('ZCARD', G .. 'line')
    local more = math.max(0, math.min(wanting, free - holding - ahead))
    redis.call('ZREM', G .. 'line', channel)
    if more < wanting then redis.call('ZADD', G .. 'line', now, channel) end
    holding = holding + more
  end
  if holding > 0 then
    redis.call('HSET', G .. 'held', worker, holding)
    redis.call('ZADD', G .. 'until', now + ttl, worker)
    redis.call('PEXPIRE', G .. 'held', ttl)
    redis.call('PEXPIRE', G .. 'until', ttl)
  elseif mine then
    redis.call('HDEL', G .. 'held', worker)
    redis.call('ZREM', G .. 'until', worker)
  end
  redis.call('PEXPIRE', G .. 'line', LINE_LIVE)

  free = free - holding
  for _, next_one in ipairs(free > 0 and redis.call('ZRANGE', G .. 'line', 0, -1) or {}) do
    if free < 1 then break end
    if next_one ~= channel or wanting < 0 then
      if redis.call('PUBLISH', next_one, 'work ' .. G) > 0 then
        free = free - 1
      else
        redis.call('ZREM', G .. 'line', next_one)
      end
    end
  end
  return holding
end, 'allow-oom')
