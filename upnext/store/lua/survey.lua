-- survey: look at what is held of events.
-- keys: E
-- args: ms an event is kept that nobody handles, most of those to show
-- result: {waiting, the first one's entry or '', {function, record...},
--         {{entry, {field, value...}}...} of those that nobody handles, the newest first}

register('survey', function(keys, args)
  local E, now = keys[1], clock()
  local first = redis.call('XRANGE', E .. 'sent', '-', '+', 'COUNT', 1)[1]
  return {
    redis.call('XLEN', E .. 'sent'), first and first[1] or '',
    redis.call('HGETALL', E .. 'handlers'),
    redis.call('XREVRANGE', E .. 'unhandled', '+', string.format('%d', math.max(0, now - args[1])),
      'COUNT', args[2]),
  }
end, 'allow-oom')
