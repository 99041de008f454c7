-- present: say that one of a roll is there, or that it leaves.
-- keys: prefix of the roll's keys
-- args: member, record (empty: it leaves), ms for which it is taken to be there
-- result: 1 when it was there before, else 0

register('present', function(keys, args)
  local P, member, record, ttl, now = keys[1], args[1], args[2], args[3], clock()
  for _, gone in ipairs(redis.call('ZRANGE', P .. 'until', '-inf', now, 'BYSCORE')) do
    redis.call('ZREM', P .. 'until', gone)
    redis.call('HDEL', P .. 'records', gone)
  end
  local known = redis.call('ZSCORE', P .. 'until', member) and 1 or 0
  if record == '' then
    redis.call('ZREM', P .. 'until', member)
    redis.call('HDEL', P .. 'records', member)
    return known
  end
  redis.call('ZADD', P .. 'until', string.format('%d', now + ttl), member)
  redis.call('HSET', P .. 'records', member, record)
  redis.call('PEXPIRE', P .. 'until', ttl)
  redis.call('PEXPIRE', P .. 'records', ttl)
  return known
end, 'allow-oom')
