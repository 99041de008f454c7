-- settle: write down how a worker's attempts ended, a batch of one function.
-- keys: P
-- args: worker id, events kept, ms a finished record lives, then per outcome
--       id, delivery, ending, duration, result, and, unless the ending is `done` (complete, and
--       there is no more to say), error, delay, reason, dead letter (0 or 1)
-- result: one word per outcome: applied, repeated (this delivery was settled before), stale
--         (another delivery owns the job: nothing was written), or what went wrong with this one
-- Fenced by owner and delivery, which a retry leaves in the record, so that its repetition is
-- told from a stale one. Allowed when memory is full.

-- The entry goes last: if writing down the end fails halfway, the job can still be rescued.
local function acknowledge(acked, found)
  local entries = acked[found.lane] or {}
  entries[#entries + 1], acked[found.lane] = found.entry, entries
  return 'applied'
end

local function settle_one(P, keep, ttl, now, worker, acked, id, delivery, ending, duration,
    result, err, delay, reason, dead)
  if ending == 'done' then ending, err, delay, reason = 'complete', '', 0, '' end
  local job = P .. 'job:' .. id
  local found = find(job)
  if not found or found.worker ~= worker or found.delivery ~= delivery then return 'stale' end
  if found.status ~= 'running' then return 'repeated' end

  local again = ending == 'retry' or ending == 'snooze' or ending == 'release'
  if again and found.cancel then
    ending, again, reason = 'cancelled', false, found.cancel
  end
  if ending == 'retry' and found.deadline ~= '' and now + delay >= tonumber(found.deadline) then
    ending, again, reason = 'failed', false, 'no time left before the deadline to try again'
  end

  local started = string.format('%d', now - duration)
  if not again then
    if ending == 'failed' and dead == '1' then bury(P, id, now, ttl) end
    finish(P, keep, ttl, id, job, now, found, ending, result, err, reason, started)
    return acknowledge(acked, found)
  end

  local spent = ending == 'retry' and found.attempt or found.attempt - 1
  local status, lane, entry, due = 'queued', '', '', now + delay
  if due > now then
    status = 'scheduled'
    to_schedule(P, id, due)
  else
    lane, entry = to_lane(P, id, job, tonumber(found.priority), ending == 'release')
    wake(P)
  end
  redis.call('HSET', job, 'status', status, 'attempt', spent, 'lane', lane, 'entry', entry,
    'due', due, 'reason', reason)
  if err ~= '' then redis.call('HSET', job, 'error', err) end
  -- It came back from its worker: what killed others before is not this job's doing.
  if ending ~= 'release' and found.rescues ~= '0' then redis.call('HSET', job, 'rescues', 0) end
  local event = {'attempt', found.attempt, 'delivery', delivery, 'worker', worker, 'started',
    started, 'due', due}
  add(event, 'error', err)
  add(event, 'reason', reason)
  emit(P, keep, ending, id, event)
  return acknowledge(acked, found)
end

register('settle', function(keys, args)
  local P, now = keys[1], clock()
  local worker, keep, ttl = args[1], args[2], args[3]
  local out, acked = {}, {}
  local i = 4
  while i <= #args do
    local last = i + (args[i + 2] == 'done' and 4 or 8)
    -- One job whose keys are damaged must not hold up the others in its batch.
    local ok, verdict = pcall(settle_one, P, keep, ttl, now, worker, acked, unpack(args, i, last))
    out[#out + 1] = ok and verdict or tostring(type(verdict) == 'table' and verdict.err or verdict)
    i = last + 1
  end
  for lane, entries in pairs(acked) do
    redis.call('XACK', P .. 'lane:' .. lane, GROUP, unpack(entries))
    redis.call('XDEL', P .. 'lane:' .. lane, unpack(entries))
  end
  return out
end, 'allow-oom')
