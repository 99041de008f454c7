-- schedule: read and change the schedules of one function.
-- keys: P
-- args: action, and for each action but `read`: schedule, expected revision ('': any), and for
--       those that set one: next occurrence, and for `put`: mode, plan, arguments, overlap,
--       fingerprint, origin
--       put      declare (by a worker that starts), restore (by one that runs, after the server
--                lost it), add, change
--       resume   go on, with the next occurrence given
--       pause    make no jobs until it is resumed
--       remove   forget it
--       retract  forget it, if it was declared by a worker
-- result: {verdict, now, name, fields and values, ...} of all schedules for `read`, else of the
--         one it was about, if there is one; verdict is done, unchanged, exists, missing or moved
--         (another revision than expected)
-- Allowed when memory is full: one must be able to pause what fills it.
--
-- A schedule that was declared leaves a mark when it is removed, so that a worker which runs on
-- with an older release does not restore it. A plan is compared, never decoded.

local CHANGED = 'crons'

local function rows(P, verdict, now, names)
  local out = {verdict, now}
  for _, name in ipairs(names) do
    local fields = redis.call('HGETALL', P .. 'cron:' .. name)
    local removed = #fields == 0
    for i = 1, #fields, 2 do removed = removed or fields[i] == 'removed' end
    if not removed then out[#out + 1], out[#out + 2] = name, fields end
  end
  return out
end

local function put(P, key, now, found, mode, next_at, plan, arguments, overlap, fingerprint, origin)
  local there = found.revision and not found.removed
  if mode == 'restore' and found.revision then return 'unchanged' end
  if mode == 'add' and there then return 'exists' end
  if mode == 'change' and not there then return 'missing' end
  if mode == 'declare' and there and found.declared == fingerprint then return 'unchanged' end
  redis.call('HSET', key, 'plan', plan, 'arguments', arguments, 'overlap', overlap, 'next',
    next_at, 'changed', now, 'changed_by', origin)
  if not there then redis.call('HSET', key, 'created', now) end
  -- Revisions begin with the time, so that no two schedules of one name have the same.
  if not found.revision then redis.call('HSET', key, 'revision', now) end
  if mode == 'declare' or mode == 'restore' then
    redis.call('HSET', key, 'declared', fingerprint, 'origin', origin)
  elseif mode == 'add' then
    redis.call('HSET', key, 'origin', origin)
    redis.call('HDEL', key, 'declared')
  end
  redis.call('HDEL', key, 'removed')
  return 'done'
end

local function remove(P, key, found)
  if found.declared then
    redis.call('HSET', key, 'removed', 1)
    redis.call('HDEL', key, 'next', 'paused', 'plan', 'arguments')
  else
    redis.call('DEL', key)
  end
end

register('schedule', function(keys, args)
  local P, now = keys[1], clock()
  local action, name, expected, next_at = args[1], args[2], args[3], args[4]
  if action == 'read' then
    return rows(P, 'done', now, redis.call('ZRANGE', P .. 'crons', 0, -1))
  end
  local key = P .. 'cron:' .. name
  local v = redis.call('HMGET', key, 'revision', 'removed', 'declared', 'paused', 'cursor')
  local found = {revision = v[1], removed = v[2], declared = v[3], paused = v[4]}
  local verdict = 'done'
  if action ~= 'put' and (not found.revision or found.removed) then verdict = 'missing' end
  if verdict == 'done' and expected ~= '' and found.revision ~= expected then verdict = 'moved' end
  local idle = action == 'retract' and not found.declared or action == 'pause' and found.paused
    or action == 'resume' and not found.paused
  if verdict == 'done' and idle then verdict = 'unchanged' end
  if verdict == 'done' then
    if action == 'put' then
      verdict = put(P, key, now, found, args[5], next_at, unpack(args, 6, 10))
    elseif action == 'remove' or action == 'retract' then
      remove(P, key, found)
    elseif action == 'pause' then
      redis.call('HSET', key, 'paused', 1)
    else
      redis.call('HSET', key, 'next', next_at)
      redis.call('HDEL', key, 'paused')
    end
  end
  if verdict == 'done' then
    v = redis.call('HMGET', key, 'removed', 'paused', 'next')
    if v[1] or not v[3] then
      redis.call('ZREM', P .. 'crons', name)
    else
      redis.call('ZADD', P .. 'crons', v[2] and '+inf' or v[3], name)
    end
    if redis.call('EXISTS', key) == 1 then redis.call('HINCRBY', key, 'revision', 1) end
    redis.call('PUBLISH', P .. 'due', CHANGED)
  end
  return rows(P, verdict, now, {name})
end, 'allow-oom')
