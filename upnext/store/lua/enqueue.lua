-- enqueue: accept new jobs of one function.
-- keys: P
-- args: events kept, ms a finished record lives, most jobs waiting (0: no limit), function name,
--       then per job
--       id, arguments and '', or for a job that is more than plain
--       id, arguments, 'more', priority, delay, at, deadline, budget, key, parent, root, source,
--       waiter, limit keys, path (an empty string where there is none), n, and n words: names
--       and their values, of dedupe (<kind>:<key>), window (ms), most (ms),
--       cache (<ms it lives>:<key>), fresh
-- result: how many jobs there are, where all of them were created; else {verdict, id} per job,
--       flat; verdict is created, existing, cancelled or full
-- Not allowed when memory is full: a full server must still drain.

-- The unfinished job that a mark names, if any; the new waiter joins it.
local function holder_of(P, mark, waiter)
  local id = redis.call('GET', mark)
  if not id then return nil end
  local job = P .. 'job:' .. id
  local found = redis.call('HMGET', job, 'status', 'waiters')
  if not is_live(found[1]) then return nil end
  join(job, found[2] or '', waiter)
  return id
end

-- A later submit's turn: its arguments, its deadline and, unless it stands in a line already, its
-- limit keys. `due` where it is put off as well.
local function replace(P, keep, id, job, found, arguments, limit, due, waiter, limit_keys)
  redis.call('HSET', job, 'arguments', arguments, 'due', due)
  if found[1] == 'scheduled' and limit_keys ~= '' then
    redis.call('HSET', job, 'keys', limit_keys)
  end
  if limit then
    redis.call('HSET', job, 'deadline', limit)
    redis.call('ZADD', P .. 'deadlines', limit, id)
  else
    redis.call('HDEL', job, 'deadline')
    redis.call('ZREM', P .. 'deadlines', id)
  end
  join(job, found[2] or '', waiter)
  local event = {'arguments', arguments, 'due', due}
  add(event, 'deadline', limit)
  emit(P, keep, 'replaced', id, event)
  return id
end

-- The job that a submit joins by its kind of deduplication, if any; else whether it has to wait
-- for another one to end. model/dedupe.py says the same.
local function meet(P, keep, now, more, arguments, limit, waiter, limit_keys)
  local kind, key = string.match(more.dedupe, '^(%a+):(.*)$')
  local id = redis.call('GET', P .. more.dedupe)
  if not id then return nil, false end
  local job = P .. 'job:' .. id
  local v = redis.call('HMGET', job, 'status', 'waiters', 'created', 'due', 'delivery')
  local live = is_live(v[1])
  if kind == 'unique' then
    if live then join(job, v[2] or '', waiter) end
    return id
  elseif kind == 'debounce' then
    if v[1] ~= 'scheduled' then return nil, false end
    local due = now + more.window
    if more.most then due = math.min(due, v[3] + more.most) end
    if due < tonumber(v[4]) then
      to_schedule(P, id, due)
    else
      redis.call('ZADD', P .. 'scheduled', due, id)
    end
    return replace(P, keep, id, job, v, arguments, limit, due, waiter, limit_keys)
  elseif not live then -- its record was lost
    pass_on(P, keep, id, key)
    if redis.call('EXISTS', P .. more.dedupe) == 0 then return nil, false end
    return meet(P, keep, now, more, arguments, limit, waiter, limit_keys)
  elseif not v[5] then -- no worker was ever given it
    return replace(P, keep, id, job, v, arguments, limit, v[4], waiter, limit_keys)
  end
  local follower = redis.call('GET', P .. 'after:' .. key)
  if not follower then return nil, true end
  job = P .. 'job:' .. follower
  v = redis.call('HMGET', job, 'status', 'waiters', 'due')
  if v[1] ~= 'scheduled' then return nil, true end
  return replace(P, keep, follower, job, v, arguments, limit, v[3], waiter, limit_keys)
end

-- A job that is over as soon as it is accepted: its result is there already.
local function complete_at_once(P, keep, ttl, now, id, name, arguments, priority, limit, parent,
    root, source, waiter, result)
  local job, more = P .. 'job:' .. id, {}
  add(more, 'deadline', limit)
  add(more, 'parent', parent)
  add(more, 'root', root)
  add(more, 'source', source)
  if priority ~= '0' then add(more, 'priority', priority) end
  redis.call('HSET', job, 'name', name, 'arguments', arguments, 'created', stamp, 'due', stamp,
    unpack(more))
  local event = {'name', name, 'arguments', arguments, 'due', stamp, 'priority', priority}
  add(event, 'deadline', limit)
  add(event, 'parent', parent)
  add(event, 'root', root)
  add(event, 'source', source)
  emit(P, keep, 'queued', id, event)
  local found = {status = 'queued', worker = '', delivery = '0', attempt = '0', deadline = ''}
  if waiter ~= '' then found.waiters = waiter end
  finish(P, keep, ttl, id, job, now, found, 'complete', result, '', 'cached', '')
end

-- One plain job, the most usual call. Its record is written once, as whoever gets it leaves it.
local function enqueue_plain(P, keep, ttl, now, most, name, id, arguments)
  local job = P .. 'job:' .. id
  if redis.call('EXISTS', job) == 1 then return 1 end
  if most > 0 and waiting(P) >= most then return {'full', id} end
  local lane, entry = to_lane(P, id, job, '0', false)
  emit_short(P, keep, 'queued', id .. ' ' .. arguments, 'of', name)
  local new = {id = id, arguments = arguments, name = name}
  local ok, problem = pcall(hand_over, P, keep, ttl, now, new)
  if not new.started then
    redis.call('HSET', job, 'status', 'queued', 'lane', lane, 'entry', entry, 'name', name,
      'arguments', arguments, 'created', stamp, 'due', stamp)
  end
  if not ok then error(problem, 0) end
  return 1
end

register('enqueue', function(keys, args)
  local P, now = keys[1], clock()
  local keep, ttl, most, name = args[1], args[2], tonumber(args[3]), args[4]
  if #args == 7 then return enqueue_plain(P, keep, ttl, now, most, name, args[5], args[6]) end
  local room = most > 0 and most - waiting(P) or math.huge
  local verdicts, ids, number, created = {}, {}, 0, 0
  local queued = 0
  local i = 5
  while i <= #args do
    local id, arguments = args[i], args[i + 1]
    local priority, delay, at, deadline, budget, key, parent, root, source, waiter, limit_keys, path
    local more
    if args[i + 2] == '' then
      priority, delay, at, deadline, budget, key = '0', '', '', '', '', ''
      parent, root, source, waiter, limit_keys, path = '', '', '', '', '', ''
      i = i + 3
    else
      priority, delay, at, deadline, budget, key, parent, root, source, waiter, limit_keys, path
        = unpack(args, i + 3, i + 14)
      if priority == '' then priority = '0' end
      local n = tonumber(args[i + 15])
      if n > 0 then
        more = {}
        for j = i + 16, i + 15 + n, 2 do more[args[j]] = args[j + 1] end
      end
      i = i + 16 + n
    end
    local verdict, holder = 'created', nil
    -- Submits may be sent twice when a reply was lost; the id makes the second one a no-op.
    if redis.call('EXISTS', P .. 'job:' .. id) == 0 then
      local refused = parent ~= '' and is_cancelled(P, root, path)
      local due = now
      if at ~= '' then due = tonumber(at) elseif delay ~= '' then due = now + delay end
      local limit = deadline ~= '' and tonumber(deadline) or nil
      if budget ~= '' and (not limit or now + budget < limit) then limit = now + budget end
      local cached, maker, behind
      if key ~= '' and not refused then holder = holder_of(P, P .. 'key:' .. key, waiter) end
      if more and not refused then
        if more.cache and not holder then
          local place = string.match(more.cache, '^%d+:(.*)$')
          cached = not more.fresh and redis.call('GET', P .. 'cache:' .. place)
          if not cached and due <= now and not more.dedupe then
            maker = P .. 'maker:' .. place
            if not more.fresh then holder = holder_of(P, maker, waiter) end
          end
        end
        if more.dedupe and not cached and not holder then
          holder, behind = meet(P, keep, now, more, arguments, limit, waiter, limit_keys)
          if string.sub(more.dedupe, 1, 9) == 'debounce:' then
            due = now + math.min(more.window, more.most or more.window)
          end
        end
      end
      if refused then
        verdict = 'cancelled'
      elseif cached then
        complete_at_once(P, keep, ttl, now, id, name, arguments, priority, limit, parent, root,
          source, waiter, cached)
      elseif holder then
        id, verdict = holder, 'existing'
      elseif room < 1 then
        verdict = 'full'
      else
        room = room - 1
        if accept(P, keep, now, id, name, arguments, priority, due, limit, key, parent, root,
            source, waiter, limit_keys, path, more, behind) then
          queued = queued + 1
        end
        if maker then redis.call('SET', maker, id) end
      end
    end
    number = number + 1
    verdicts[number], ids[number] = verdict, id
    if verdict == 'created' then created = created + 1 end
  end
  if queued == 1 then hand_over(P, keep, ttl, now) elseif queued > 1 then wake(P) end
  if created == number then return number end
  local out = {}
  for n = 1, number do out[2 * n - 1], out[2 * n] = verdicts[n], ids[n] end
  return out
end)
