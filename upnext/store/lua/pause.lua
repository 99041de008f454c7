-- pause: let no more jobs of one function be claimed; it goes on to accept them.
-- keys: P
-- args: Unix ms of this server when it ends by itself or '', events kept
-- result: Unix ms when it ends, 0 when it does not end by itself
-- Workers hear of it and hand back what they have not started. A pause that is on is changed.

register('pause', function(keys, args)
  local P = keys[1]
  clock()
  local till = tonumber(args[1]) or 0
  redis.call('HSET', P .. 'gate', 'paused', string.format('%.0f', till))
  mark_gate(P)
  local event = {}
  if till > 0 then add(event, 'due', string.format('%.0f', till)) end
  emit(P, args[2], 'paused', '-', event)
  rouse_all(P) -- whoever waits for the end of an earlier pause must learn of this one
  redis.call('PUBLISH', P .. 'due', 'pause')
  return till
end, 'allow-oom')
