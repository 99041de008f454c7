-- limits: how a function is limited, as its worker declares it.
-- keys: P
-- args: names and values, flat: max, keymax, rate, window, keyrate, keywindow, group (_ring.lua
--       says what they are); a limit that is not named does not hold
-- result: 1 when that is a change, else 0
-- What was over a limit that has changed is looked at afresh by the next claim.

register('limits', function(keys, args)
  local P, given, changed = keys[1], {}, 0
  clock()
  for i = 1, #args, 2 do given[args[i]] = args[i + 1] end
  local gate = read_gate(P)
  for _, name in ipairs(LIMITS) do
    if gate[name] ~= tonumber(given[name]) then
      changed = 1
      if given[name] then
        redis.call('HSET', P .. 'gate', name, given[name])
      else
        redis.call('HDEL', P .. 'gate', name)
      end
    end
  end
  if changed == 0 then return 0 end
  mark_gate(P)
  local full = redis.call('SMEMBERS', P .. 'full')
  table.sort(full)
  for _, key in ipairs(full) do
    for _, held in ipairs(redis.call('ZRANGE', P .. 'stuck:' .. key, 0, -1)) do
      enter_ring(P, held)
    end
    redis.call('DEL', P .. 'stuck:' .. key)
  end
  redis.call('DEL', P .. 'full')
  for _, held in ipairs(redis.call('ZRANGE', P .. 'timed', 0, -1)) do enter_ring(P, held) end
  redis.call('DEL', P .. 'timed')
  rouse_all(P)
  return 1
end, 'allow-oom')
