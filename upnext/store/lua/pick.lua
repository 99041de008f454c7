-- pick: claim certain jobs of one function, wherever they stand in line.
-- keys: P
-- args: worker id, jobs wanted, events kept, ms a finished record lives, then job ids
-- result: {now, how many of them, in this order, were looked at before there was no room for more,
--         {job...}, {id, ms...}}; a job is what row_of says; ms after which asking again is of use,
--         of those that cannot start yet, if that is known
-- All that keeps a claim from starting a job holds here, but its turn. What the worker has already
-- is given again: so the call may be sent twice.
-- Allowed when memory is full: claiming is how a full server drains.

-- Take one job that is queued; whether a limit kept it from starting, and ms until it may, if known.
local function pick_one(P, now, worker, taking, id, v)
  local job, gate, keys = P .. 'job:' .. id, taking.gate, v[8]
  local row = taking.row_for(id, job, v)
  if not row then return end -- it is set aside when its turn comes
  local key, rated, level = '', '', nil
  if keys then
    if not gate then return end
    key, rated = split_keys(keys)
    if gate.keymax and key ~= '' and redis.call('SCARD', P .. 'busy:' .. key) >= gate.keymax then
      return
    end
    if gate.keyrate and rated ~= '' then
      level = level_of(P .. 'rate:' .. rated, gate.keyrate, gate.keywindow, now)
      if level < gate.keywindow then return wait_for(level, gate.keyrate, gate.keywindow) end
    end
  end
  local lane = keys and KEYED or PICKED
  local waits_in = redis.call('HGET', job, 'lane')
  if not (taking.expires(id, job, row) or taking.waits_apart(id, job, row)) then
    -- It waits until all is written: if that fails halfway, nothing is lost.
    if not keys then redis.call('ZADD', P .. 'lanes', PICKED_PLACE, PICKED) end
    local entry = keys and redis.call('XADD', P .. 'lane:' .. lane, '*', 'id', id, 'keys', keys)
      or redis.call('XADD', P .. 'lane:' .. lane, '*', 'id', id)
    read_lane(P, lane, worker, 1000)
    if key ~= '' then redis.call('SADD', P .. 'busy:' .. key, id) end
    taking.start(id, job, row, lane, entry)
    if level then
      set_level(P .. 'rate:' .. rated, level - gate.keywindow, gate.keyrate, gate.keywindow, now)
    end
  end
  if keys then leave_ring(P, id, keys) else drop_entry(P, waits_in, v[2]) end
end

register('pick', function(keys, args)
  local P, now = keys[1], clock()
  local worker, want, keep, ttl = args[1], tonumber(args[2]), args[3], args[4]
  local had, barred, later, looked = {}, {}, {}, 0

  local function tell(id, ms)
    if ms then later[#later + 1], later[#later + 2] = id, ms end
  end

  local jobs, _, gate = take_jobs(P, keep, ttl, now, worker, want, false, nil, function(taking)
    for i = 5, #args do
      if #taking.jobs + #had >= want then break end
      looked = looked + 1
      local id = args[i]
      local job = P .. 'job:' .. id
      local v = taking.read(job)
      if v[1] == 'running' and redis.call('HGET', job, 'worker') == worker then
        local again = row_again(id, job, v[3], v[5], v[6], v[4], v[7])
        if again then had[#had + 1] = again end
      elseif v[1] == 'queued' and #taking.jobs >= taking.most then
        barred[#barred + 1] = id
      elseif v[1] == 'queued' then
        -- One job whose keys are damaged must not hold up the others.
        local ok, ms = pcall(pick_one, P, now, worker, taking, id, v)
        if ok then tell(id, ms) end
      end
      if v[1] == 'scheduled' or v[1] == 'queued' then
        local due = redis.call('ZSCORE', P .. 'scheduled', id)
        if due then tell(id, math.max(0, due - now)) end
      end
    end
  end)
  for _, id in ipairs(barred) do tell(id, gate.later) end
  for _, row in ipairs(had) do jobs[#jobs + 1] = row end
  return {now, looked, jobs, later}
end, 'allow-oom')
