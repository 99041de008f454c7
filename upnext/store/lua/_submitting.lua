-- How a job comes into being, for the verbs that make jobs.

local function is_live(status)
  return status == 'scheduled' or status == 'queued' or status == 'running'
end

-- Set the mark of a job's kind of deduplication.
local function mark(P, id, more, behind)
  local kind, key = string.match(more.dedupe, '^(%a+):(.*)$')
  if kind == 'unique' then
    redis.call('SET', P .. more.dedupe, id, 'PX', more.window)
  elseif behind then
    redis.call('SET', P .. 'after:' .. key, id)
  else
    redis.call('SET', P .. more.dedupe, id)
  end
end

-- Write a new job down and put it where it waits; whether a worker may claim something now that
-- it could not before. `extras` is what makes it special, if anything; `behind`: it waits for
-- another job to end.
local function accept(P, keep, now, id, name, arguments, priority, due, limit, key, parent,
    root, source, waiter, limit_keys, path, extras, behind)
  local job = P .. 'job:' .. id
  local status, lane, entry, claimable = 'scheduled', '', '', false
  local due_at = due == now and stamp or string.format('%d', due)
  if behind then
    redis.call('SADD', P .. 'followers', id)
  elseif due > now then
    to_schedule(P, id, due)
  else
    status, claimable = 'queued', true
    if limit_keys == '' then
      lane, entry = to_lane(P, id, job, priority, false)
    else
      claimable = to_ring(P, id, limit_keys, tonumber(priority), false)
    end
  end
  local more = {}
  add(more, 'deadline', limit)
  add(more, 'key', key)
  add(more, 'parent', parent)
  add(more, 'root', root)
  add(more, 'source', source)
  local event -- of a plain job a short one will do
  if status ~= 'queued' or due_at ~= stamp or priority ~= '0' or #more > 0 then
    event = {'name', name, 'arguments', arguments, 'due', due_at, 'priority', priority,
      unpack(more)}
  end
  if priority ~= '0' then add(more, 'priority', priority) end
  add(more, 'waiters', waiter)
  add(more, 'keys', limit_keys)
  add(more, 'path', path)
  if extras then
    add(more, 'dedupe', extras.dedupe)
    add(more, 'cache', extras.cache)
  end
  if #more > 0 then add(more, 'more', 1) end
  redis.call('HSET', job, 'status', status, 'lane', lane, 'entry', entry, 'name', name,
    'arguments', arguments, 'created', stamp, 'due', due_at, unpack(more))
  if key ~= '' then redis.call('SET', P .. 'key:' .. key, id) end
  if parent ~= '' then redis.call('SADD', P .. 'family:' .. root, id) end
  if limit then redis.call('ZADD', P .. 'deadlines', limit, id) end
  if extras and extras.dedupe then mark(P, id, extras, behind) end
  if event then
    emit(P, keep, status, id, event)
  else
    emit_short(P, keep, 'queued', id .. ' ' .. arguments, 'of', name)
  end
  return claimable
end
