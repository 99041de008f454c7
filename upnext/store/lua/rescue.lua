-- rescue: requeue jobs of one function whose lease ran out.
-- keys: P
-- args: rescuer's worker id, lease in ms, most rescues of one job, about how many to take per
--       lane, events kept, ms a finished record lives, this server's time as the rescuer reckons
--       it, ms by which it may be off, ms a dead letter lives (0: for ever), most dead letters
--       (0: any number)
-- result: {{requeued id...}, {buried id...}, 1 when it held back}
--
-- A request that arrives much later than it was sent (this server was paused, its clock jumped,
-- the rescuer was cut off) takes nothing: leases of the living ran out meanwhile, and they
-- must have the chance to renew first.
-- A job lost with its worker as often as allowed is buried: failed, and a dead letter. The
-- rescuer's own jobs are left alone; so are its leases. What a claim of its own that failed halfway
-- left behind is seen to as that of others: such a job is queued still, for a claim writes down
-- whose a job is in the same call that has its entry delivered.

-- Whether it was left alone.
local function rescue_one(P, keep, ttl, now, most, lane, entry, rescuer, out)
  local stream = P .. 'lane:' .. lane
  local row = redis.call('XRANGE', stream, entry, entry)[1]
  local id = row and id_in(row[2])
  local job = id and P .. 'job:' .. id
  local found = job and find(job)
  if not found then
    set_aside(P, lane, entry, row and row[2])
    return false
  end
  if found.status == 'queued' and found.entry == entry then
    put_back(P, lane, entry, id, found)
    out[1][#out[1] + 1] = id
    return false
  end
  if found.status ~= 'running' or found.entry ~= entry then
    drop_entry(P, lane, entry)
    return false
  end
  local owner = found.worker
  if owner == rescuer then return true end
  let_go(P, id, found)
  local rescues, attempt = found.rescues + 1, found.attempt - 1
  drop_entry(P, lane, entry)
  -- Without its worker's name the fence is void: a late settlement is stale, not repeated.
  redis.call('HSET', job, 'more', 1, 'rescues', rescues, 'worker', '')
  if found.cancel then
    finish(P, keep, ttl, id, job, now, found, 'cancelled', '', '', found.cancel, '')
    return false
  end
  if rescues >= most then
    out[2][#out[2] + 1] = id
    local err = '{"type":"upnext.WorkerLost","message":"killed ' .. rescues
      .. ' workers","traceback":"","reason":"worker_lost"}'
    local letter = bury(P, id, now, ttl)
    finish(P, keep, ttl, id, job, now, found, 'failed', '', err,
      'killed ' .. rescues .. ' workers', '')
    if letter then preserve(job, ttl) end
    return false
  end
  out[1][#out[1] + 1] = id
  local again, e = to_queue(P, id, job, found.keys, tonumber(found.priority), true)
  redis.call('HSET', job, 'status', 'queued', 'attempt', attempt, 'lane', again, 'entry', e,
    'reason', 'lost with worker ' .. owner)
  if found.deadline ~= '' then redis.call('ZADD', P .. 'deadlines', found.deadline, id) end
  emit(P, keep, 'rescued', id, {'attempt', found.attempt, 'delivery', found.delivery, 'worker',
    owner, 'reason', 'lost with worker ' .. owner})
  return false
end

register('rescue', function(keys, args)
  local P, now = keys[1], clock()
  local rescuer, lease, most, count, keep, ttl = args[1], args[2], tonumber(args[3]),
    tonumber(args[4]), args[5], args[6]
  local out = {{}, {}, 0}
  if now - args[7] > tonumber(args[8]) then return {{}, {}, 1} end
  dead_ttl, dead_most = tonumber(args[9]), tonumber(args[10])
  for _, lane in ipairs(lanes_of(P)) do
    local stream = P .. 'lane:' .. lane
    local from, taken, pending = '-', 0, nil
    restart_leases(stream)
    repeat
      pending = redis.pcall('XPENDING', stream, GROUP, 'IDLE', lease, from, '+', count)
      if pending.err then break end
      for _, p in ipairs(pending) do
        from = '(' .. p[1]
        -- One job whose record is damaged must not hold up those behind it.
        local ok, alone = pcall(rescue_one, P, keep, ttl, now, most, lane, p[1], rescuer, out)
        if not ok then
          local row = redis.call('XRANGE', stream, p[1], p[1])[1]
          pcall(set_aside, P, lane, p[1], row and row[2])
        end
        if not (ok and alone) then taken = taken + 1 end
      end
    until #pending < count or taken >= count
    -- Consumers of workers that are long gone and owe nothing.
    local consumers = redis.pcall('XINFO', 'CONSUMERS', stream, GROUP)
    for _, c in ipairs(consumers.err and {} or consumers) do
      local info = {}
      for i = 1, #c, 2 do info[c[i]] = c[i + 1] end
      if info.pending == 0 and info.idle > 10 * lease and info.name ~= rescuer then
        redis.call('XGROUP', 'DELCONSUMER', stream, GROUP, info.name)
      end
    end
  end
  if #out[1] > 0 then wake(P) end
  return out
end, 'allow-oom')
