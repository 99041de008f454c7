-- retire: a worker stops: forget it, and requeue what it still owns.
-- keys: P
-- args: worker id, worker's channel, events kept, ms a finished record lives
-- result: jobs requeued; they were handed over when nobody listened any more, or a claim of theirs
--         failed halfway
-- DELCONSUMER would drop the pending entries of a consumer, so they are seen to first
-- (https://redis.io/docs/latest/commands/xgroup-delconsumer/). Where one cannot be, the consumer
-- stays, and rescue sees to it when the lease runs out.

-- What became of it; false when it has to stay as it is.
local function retire_one(P, keep, ttl, now, worker, lane, entry)
  local row = redis.call('XRANGE', P .. 'lane:' .. lane, entry, entry)[1]
  local id = row and id_in(row[2])
  local found = id and find(P .. 'job:' .. id)
  if not found then return set_aside(P, lane, entry, row and row[2]) end
  if found.status == 'queued' and found.entry == entry then
    put_back(P, lane, entry, id, found)
    wake(P)
    return 'applied'
  end
  local verdict = found.entry == entry and settle_one(P, keep, ttl, now, worker, {}, id,
    found.delivery, 'release', 0, '', '', 0, 'worker stopped', '0')
  drop_entry(P, lane, entry)
  return verdict or 'dropped'
end

register('retire', function(keys, args)
  local P, now = keys[1], clock()
  local worker, keep, ttl, requeued = args[1], args[3], args[4], 0
  redis.call('ZREM', P .. 'hungry', args[2])
  redis.call('ZREM', P .. 'barred', args[2])
  for _, lane in ipairs(lanes_of(P)) do
    local stream, from, pending, left = P .. 'lane:' .. lane, '-', nil, false
    repeat
      pending = redis.pcall('XPENDING', stream, GROUP, from, '+', 1000, worker)
      if pending.err then break end
      for _, p in ipairs(pending) do
        from = '(' .. p[1]
        local ok, verdict = pcall(retire_one, P, keep, ttl, now, worker, lane, p[1])
        left = left or not (ok and verdict)
        if ok and verdict == 'applied' then requeued = requeued + 1 end
      end
    until #pending < 1000
    if not pending.err and not left then
      redis.pcall('XGROUP', 'DELCONSUMER', stream, GROUP, worker)
    end
  end
  return requeued
end, 'allow-oom')
