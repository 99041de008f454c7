-- stage: move jobs of one function that are due from the schedule to their lanes, and end those
-- that still wait after their deadline.
-- keys: P
-- args: most jobs to move and to end, events kept, ms a finished record lives
-- result: {moved, ms until the next one is due or -1}

register('stage', function(keys, args)
  local P, now, moved = keys[1], clock(), 0
  local late = redis.call('ZRANGE', P .. 'deadlines', '-inf', now, 'BYSCORE', 'LIMIT', 0, args[1])
  for _, id in ipairs(late) do
    redis.call('ZREM', P .. 'deadlines', id) -- of one that runs, too: its worker sees to it
    expire(P, args[2], args[3], now, id)
  end
  for _, id in ipairs(redis.call('ZRANGE', P .. 'scheduled', '-inf', now, 'BYSCORE',
      'LIMIT', 0, args[1])) do
    redis.call('ZREM', P .. 'scheduled', id)
    local job = P .. 'job:' .. id
    local found = find(job)
    if found and found.status == 'scheduled' then
      local lane, entry = to_queue(P, id, job, found.keys, tonumber(found.priority), false)
      redis.call('HSET', job, 'status', 'queued', 'lane', lane, 'entry', entry)
      if found.dedupe and string.sub(found.dedupe, 1, 9) == 'debounce:'
          and redis.call('GET', P .. found.dedupe) == id then
        redis.call('DEL', P .. found.dedupe) -- its window is over
      end
      emit(P, args[2], 'queued', id, {'attempt', found.attempt})
      moved = moved + 1
    end
  end
  if moved > 0 then wake(P) end
  if #late == tonumber(args[1]) then return {moved, 0} end -- more may be late
  local head = redis.call('ZRANGE', P .. 'scheduled', 0, 0, 'WITHSCORES')
  return {moved, head[2] and math.max(0, head[2] - now) or -1}
end, 'allow-oom')
