-- renew: keep the leases of the jobs a worker holds, waiting ones included.
-- keys: P
-- args: worker id, then id and delivery per job
-- result: flat {id, delivery, verdict, reason} for each job that is not to be run on:
--         verdict is lost (another delivery owns it) or cancelled (its cancellation is asked for)
--
-- XCLAIM with JUSTID resets the idle time and leaves the delivery counter alone
-- (https://redis.io/docs/latest/commands/xclaim/). The owner is checked first, so a stalled
-- worker's late beat cannot take a rescued job back.

register('renew', function(keys, args)
  local P, worker, out, held = keys[1], args[1], {}, {}
  for i = 2, #args, 2 do
    local id, delivery = args[i], args[i + 1]
    local v = redis.pcall('HMGET', P .. 'job:' .. id, 'status', 'worker', 'delivery', 'lane',
      'entry', 'cancel')
    if v[1] ~= 'running' or v[2] ~= worker or v[3] ~= delivery then
      for _, s in ipairs{id, delivery, 'lost', ''} do out[#out + 1] = s end
    else
      local entries = held[v[4]] or {}
      entries[#entries + 1], held[v[4]] = v[5], entries
      if v[6] then
        for _, s in ipairs{id, delivery, 'cancelled', v[6]} do out[#out + 1] = s end
      end
    end
  end
  for lane, entries in pairs(held) do
    entries[#entries + 1] = 'JUSTID'
    redis.pcall('XCLAIM', P .. 'lane:' .. lane, GROUP, worker, 0, unpack(entries))
  end
  return out
end, 'allow-oom')
