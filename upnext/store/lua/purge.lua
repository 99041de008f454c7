-- purge: delete dead letters of one function, with their records.
-- keys: P
-- args: job ids
-- result: how many were dead letters

register('purge', function(keys, args)
  local P, purged = keys[1], 0
  for _, id in ipairs(args) do
    if redis.call('ZREM', P .. 'dead', id) == 1 then
      redis.call('UNLINK', P .. 'job:' .. id, P .. 'log:' .. id, P .. 'out:' .. id)
      purged = purged + 1
    end
  end
  return purged
end, 'allow-oom')
