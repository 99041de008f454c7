-- enqueue: accept new jobs of one function.
-- keys: P
-- args: events kept, ms a finished record lives, most jobs waiting (0: no limit), function name,
--       then per job
--       id, arguments and '', or for a job that is more than plain
--       id, arguments, 'more', priority, delay, at, deadline, budget, key, parent, root, source,
--       waiter, limit keys, path (an empty string where there is none)
-- result: {verdict, id} per job, flat; verdict is created, existing, cancelled or full
-- Not allowed when memory is full: a full server must still drain.

-- The unfinished job that holds this idempotency key, if any; the new waiter joins it.
local function holder_of(P, key, waiter)
  local id = redis.call('GET', P .. 'key:' .. key)
  if not id then return nil end
  local job = P .. 'job:' .. id
  local found = redis.call('HMGET', job, 'status', 'waiters')
  local status = found[1]
  if not (status == 'scheduled' or status == 'queued' or status == 'running') then return nil end
  join(job, found[2] or '', waiter)
  return id
end

register('enqueue', function(keys, args)
  local P, now = keys[1], clock()
  local keep, ttl, most, name = args[1], args[2], tonumber(args[3]), args[4]
  local room = most > 0 and most - waiting(P) or math.huge
  local out, queued = {}, 0
  local i, seen = 5, {}
  while i <= #args do
    local id, arguments = args[i], args[i + 1]
    local priority, delay, at, deadline, budget, key, parent, root, source, waiter, limit_keys, path
    if args[i + 2] == '' then
      priority, delay, at, deadline, budget, key = '0', '', '', '', '', ''
      parent, root, source, waiter, limit_keys, path = '', '', '', '', '', ''
      i = i + 3
    else
      priority, delay, at, deadline, budget, key, parent, root, source, waiter, limit_keys, path
        = unpack(args, i + 3, i + 14)
      if priority == '' then priority = '0' end
      i = i + 15
    end
    local job, verdict, holder = P .. 'job:' .. id, 'created', nil
    -- Submits may be sent twice when a reply was lost; the id makes the second one a no-op.
    if redis.call('EXISTS', job) == 0 then
      local refused = parent ~= '' and is_cancelled(P, root, path)
      if key ~= '' and not refused then holder = holder_of(P, key, waiter) end
      if refused then
        verdict = 'cancelled'
      elseif holder then
        id, verdict = holder, 'existing'
      elseif room < 1 then
        verdict = 'full'
      else
        room = room - 1
        local due, due_at = now, stamp
        if at ~= '' then due = tonumber(at) elseif delay ~= '' then due = now + delay end
        if due ~= now then due_at = string.format('%d', due) end
        local limit = deadline ~= '' and tonumber(deadline) or nil
        if budget ~= '' and (not limit or now + budget < limit) then limit = now + budget end
        local status, lane, entry = 'scheduled', '', ''
        if due > now then
          to_schedule(P, id, due)
        else
          status = 'queued'
          if limit_keys == '' then
            queued = queued + 1
            lane, entry = to_lane(P, id, job, priority, false, seen)
          elseif to_ring(P, id, limit_keys, tonumber(priority), false) then
            queued = queued + 1
          end
        end
        local more = {}
        add(more, 'deadline', limit)
        add(more, 'key', key)
        add(more, 'parent', parent)
        add(more, 'root', root)
        add(more, 'source', source)
        local event = {'name', name, 'arguments', arguments, 'due', due_at, 'priority', priority,
          unpack(more)}
        if priority ~= '0' then add(more, 'priority', priority) end
        add(more, 'waiters', waiter)
        add(more, 'keys', limit_keys)
        add(more, 'path', path)
        if #more > 0 then add(more, 'more', 1) end
        redis.call('HSET', job, 'status', status, 'lane', lane, 'entry', entry, 'name', name,
          'arguments', arguments, 'created', stamp, 'due', due_at, unpack(more))
        if key ~= '' then redis.call('SET', P .. 'key:' .. key, id) end
        if parent ~= '' then redis.call('SADD', P .. 'family:' .. root, id) end
        if limit then redis.call('ZADD', P .. 'deadlines', limit, id) end
        emit(P, keep, status, id, event)
      end
    end
    out[#out + 1], out[#out + 2] = verdict, id
  end
  if queued == 1 then hand_over(P, keep, ttl, now) elseif queued > 1 then wake(P) end
  return out
end)
