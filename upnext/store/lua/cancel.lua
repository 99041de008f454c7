-- cancel: cancel one job, or every unfinished job below a root, of one function.
-- keys: P
-- args: scope (job or tree), job id or root id, reason, prefix of the workers' channels,
--       events kept, ms a finished record lives
-- result: for a job one word: cancelled (it waited, now it is over), requested (it runs: its
--         worker was told), finished (too late) or missing; for a tree the number of jobs reached
-- A tree's mark also refuses children submitted from now on.

local function cancel_one(P, keep, ttl, now, id, reason, channels)
  local job = P .. 'job:' .. id
  local found = find(job)
  if not found then return 'missing' end
  if found.status == 'running' then
    if not found.cancel then
      redis.call('HSET', job, 'more', 1, 'cancel', reason)
      local event = {'attempt', found.attempt, 'worker', found.worker}
      add(event, 'reason', reason)
      emit(P, keep, 'cancel_requested', id, event)
    end
    redis.call('PUBLISH', channels .. found.worker,
      'cancel ' .. id .. ' ' .. found.delivery .. ' ' .. reason)
    return 'requested'
  elseif found.status == 'scheduled' then
    redis.call('ZREM', P .. 'scheduled', id)
  elseif found.status == 'queued' then
    if found.keys then leave_ring(P, id, found.keys)
    else drop_entry(P, found.lane, found.entry) end
  else
    return 'finished'
  end
  finish(P, keep, ttl, id, job, now, found, 'cancelled', '', '', reason, '')
  return 'cancelled'
end

register('cancel', function(keys, args)
  local P, now = keys[1], clock()
  local scope, id, reason, channels, keep, ttl = unpack(args)
  if scope == 'job' then return cancel_one(P, keep, ttl, now, id, reason, channels) end
  redis.call('ZREMRANGEBYSCORE', P .. 'cancelled', '-inf', now)
  redis.call('ZADD', P .. 'cancelled', now + MARK_LIVE, id)
  redis.call('PEXPIRE', P .. 'cancelled', MARK_LIVE)
  local reached = 0
  for _, child in ipairs(redis.call('SMEMBERS', P .. 'family:' .. id)) do
    local verdict = cancel_one(P, keep, ttl, now, child, reason, channels)
    if verdict == 'cancelled' or verdict == 'requested' then reached = reached + 1 end
  end
  return reached
end, 'allow-oom')
