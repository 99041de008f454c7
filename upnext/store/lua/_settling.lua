-- How an attempt's end is written down, for the verbs that end attempts.

local WORTH_A_CUT = 4 -- entries; fewer are sooner deleted than looked at

-- The entry goes last: if writing down the end fails halfway, the job can still be rescued.
local function acknowledge(acked, found)
  local entries = acked[found.lane] or {}
  entries[#entries + 1], acked[found.lane] = found.entry, entries
  return 'applied'
end

-- Take the entries of jobs that are over out of their lane.
--
-- To delete one, the server goes through its neighbours: that costs as much as all else at the end
-- of a job. What is older than the first entry that is still pending is over, if ours were pending,
-- too: entries are delivered in order. So one look at that and one cut do for most.
local function take_out(stream, entries)
  local n = redis.call('XACK', stream, GROUP, unpack(entries))
  if n == #entries and n >= WORTH_A_CUT then
    local first = redis.call('XPENDING', stream, GROUP, '-', '+', '1')[1]
    if first and redis.call('XTRIM', stream, 'MINID', first[1]) == n then return end
  end
  redis.call('XDEL', stream, unpack(entries))
end

local function settle_one(P, keep, ttl, now, worker, acked, id, delivery, ending, duration,
    result, err, delay, reason, dead)
  if ending == 'done' then ending, err, delay, reason = 'complete', '', 0, '' end
  local job = P .. 'job:' .. id
  local found = find(job)
  if not found or found.worker ~= worker or found.delivery ~= delivery then return 'stale' end
  if found.status ~= 'running' then return 'repeated' end

  local again = ending == 'retry' or ending == 'snooze' or ending == 'release'
  if found.cancel and (again or ending == 'failed') then -- what it raised meanwhile stays with it
    ending, again, reason = 'cancelled', false, found.cancel
  end
  if ending == 'retry' and found.deadline ~= '' and now + delay >= tonumber(found.deadline) then
    ending, again, reason = 'failed', false, 'no time left before the deadline to try again'
  end

  let_go(P, id, found)
  local started = string.format('%d', now - duration)
  if not again then
    local letter = ending == 'failed' and dead == '1' and bury(P, id, now, ttl)
    finish(P, keep, ttl, id, job, now, found, ending, result, err, reason, started)
    if letter then preserve(job, ttl) end
    return acknowledge(acked, found)
  end

  local spent = ending == 'retry' and found.attempt or found.attempt - 1
  local status, lane, entry, due = 'queued', '', '', now + delay
  if due > now then
    status = 'scheduled'
    to_schedule(P, id, due)
  else
    if ending == 'release' then unwilling = worker end
    lane, entry = to_queue(P, id, job, found.keys, tonumber(found.priority), ending == 'release')
    wake(P)
  end
  redis.call('HSET', job, 'status', status, 'attempt', spent, 'lane', lane, 'entry', entry,
    'due', due, 'reason', reason)
  if err ~= '' then redis.call('HSET', job, 'error', err) end
  if found.deadline ~= '' then redis.call('ZADD', P .. 'deadlines', found.deadline, id) end
  -- It came back from its worker: what killed others before is not this job's doing.
  if ending ~= 'release' and found.rescues ~= '0' then redis.call('HSET', job, 'rescues', 0) end
  local event = {'attempt', found.attempt, 'delivery', delivery, 'worker', worker, 'started',
    started, 'due', due}
  add(event, 'error', err)
  add(event, 'reason', reason)
  emit(P, keep, ending, id, event)
  return acknowledge(acked, found)
end
