-- enlist: put a worker's handlers on the roll, and take others off it.
-- keys: E
-- args: ms a handler lives that no worker declares, 1 when the worker starts (its word counts
--       from now on) or 0 when it still runs (what is there stays), how many handlers it has,
--       then per handler function and record, then the functions to take off
-- result: how many were taken off
-- The roll goes with the last worker that keeps it, after its time.

register('enlist', function(keys, args)
  local E, now = keys[1], clock()
  local live, starts, count = tonumber(args[1]), args[2] == '1', tonumber(args[3])
  local changed, off = false, 0
  for i = 4, 3 + 2 * count, 2 do
    local name, record = args[i], args[i + 1]
    local present = redis.call('HGET', E .. 'handlers', name)
    if not present or (starts and present ~= record) then
      redis.call('HSET', E .. 'handlers', name, record)
      changed = true
    end
    redis.call('ZADD', E .. 'declared', now, name)
  end
  for i = 4 + 2 * count, #args do
    redis.call('ZREM', E .. 'declared', args[i])
    off = off + redis.call('HDEL', E .. 'handlers', args[i])
  end
  if changed or off > 0 then new_version(E, now) end
  forget_handlers(E, now, live)
  if count > 0 then
    for _, key in ipairs{'handlers', 'declared'} do redis.call('PEXPIRE', E .. key, live) end
  end
  return off
end, 'allow-oom')
