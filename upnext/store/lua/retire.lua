-- retire: a worker stops: forget it, and requeue what it still owns.
-- keys: P
-- args: worker id, worker's channel, events kept, ms a finished record lives
-- result: jobs requeued; they were handed over when nobody listened any more
-- DELCONSUMER would drop the pending entries of a consumer, so they are seen to first
-- (https://redis.io/docs/latest/commands/xgroup-delconsumer/).

register('retire', function(keys, args)
  local P, now = keys[1], clock()
  local worker, keep, ttl, requeued = args[1], args[3], args[4], 0
  redis.call('ZREM', P .. 'hungry', args[2])
  for _, lane in ipairs(redis.call('ZREVRANGE', P .. 'lanes', 0, -1)) do
    local stream, pending = P .. 'lane:' .. lane, nil
    repeat
      pending = redis.pcall('XPENDING', stream, GROUP, '-', '+', 1000, worker)
      if pending.err then break end
      for _, p in ipairs(pending) do
        local row = redis.call('XRANGE', stream, p[1], p[1])[1]
        local id = row and id_in(row[2])
        local found = id and find(P .. 'job:' .. id)
        if not found then
          set_aside(P, lane, p[1], row and row[2])
        else
          if found.entry == p[1] and settle_one(P, keep, ttl, now, worker, {}, id, found.delivery,
              'release', 0, '', '', 0, 'worker stopped', '0') == 'applied' then
            requeued = requeued + 1
          end
          drop_entry(P, lane, p[1])
        end
      end
    until #pending < 1000
    if not pending.err then redis.pcall('XGROUP', 'DELCONSUMER', stream, GROUP, worker) end
  end
  return requeued
end, 'allow-oom')
