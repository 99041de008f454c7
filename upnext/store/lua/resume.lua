-- resume: let the jobs of a paused function be claimed again.
-- keys: P
-- args: events kept
-- result: 1 when it was paused, else 0

register('resume', function(keys, args)
  local P, now = keys[1], clock()
  local till = tonumber(redis.call('HGET', P .. 'gate', 'paused') or nil)
  local reason = till and till > 0 and till <= now and 'its time was over' or 'resumed'
  if not lift(P, args[1], reason) then return 0 end
  rouse_all(P)
  return 1
end, 'allow-oom')
