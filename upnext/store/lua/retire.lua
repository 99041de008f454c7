-- retire: a worker stops: forget it wherever it owes nothing.
-- keys: P
-- args: worker id, worker's channel
-- result: jobs it still holds; their leases run out and they are rescued
-- DELCONSUMER would drop the pending entries of a consumer, so only an empty one is deleted
-- (https://redis.io/docs/latest/commands/xgroup-delconsumer/).

register('retire', function(keys, args)
  local P, held = keys[1], 0
  redis.call('SREM', P .. 'hungry', args[2])
  for _, lane in ipairs(redis.call('ZRANGE', P .. 'lanes', 0, -1)) do
    local stream = P .. 'lane:' .. lane
    local pending = redis.pcall('XPENDING', stream, GROUP, '-', '+', 1000, args[1])
    if not pending.err then
      held = held + #pending
      if #pending == 0 then redis.pcall('XGROUP', 'DELCONSUMER', stream, GROUP, args[1]) end
    end
  end
  return held
end, 'allow-oom')
