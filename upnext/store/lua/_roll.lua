-- Shared by the verbs of events: the roll of handlers. E is the prefix of the keys of events.

-- The roll changed. Its version never comes back, not even after the server lost its data.
local function new_version(E, now)
  local before = redis.call('GET', E .. 'version') or ''
  local count = tonumber(string.match(before, '%d+$') or 0) + 1
  redis.call('SET', E .. 'version', string.format('%d-%d', now, count))
end

-- Forget the handlers that no worker has declared for so long.
local function forget_handlers(E, now, live)
  local gone = redis.call('ZRANGE', E .. 'declared', '-inf', now - live, 'BYSCORE')
  for _, name in ipairs(gone) do
    redis.call('ZREM', E .. 'declared', name)
    redis.call('HDEL', E .. 'handlers', name)
  end
  if #gone > 0 then new_version(E, now) end
end
