-- conclude: say what became of events that a router took.
-- keys: E
-- args: worker id, ms an event is kept that nobody handles, about how many of those, then per
--       event: entry, id, routing (routed, unhandled or partial), and for a partial one the
--       handlers that have their job
-- result: one word per event: applied, or stale (another router has it, or it is concluded:
--         nothing was written)
-- Allowed when memory is full, as settle. A partially routed event stays with its router until the
-- lease is over; then it is taken again.

register('conclude', function(keys, args)
  local E, now = keys[1], clock()
  local worker, live, most = args[1], args[2], args[3]
  local stream, out, over = E .. 'sent', {}, {}
  local partial = redis.call('EXISTS', E .. 'done') == 1
  for i = 4, #args, 4 do
    local entry, id, routing, done = unpack(args, i, i + 3)
    local p = redis.pcall('XPENDING', stream, GROUP, entry, entry, 1)
    if p.err or not p[1] or p[1][2] ~= worker then
      out[#out + 1] = 'stale'
    elseif routing == 'partial' then
      redis.call('HSET', E .. 'done', id, done)
      out[#out + 1] = 'applied'
    else
      local row = routing == 'unhandled' and redis.call('XRANGE', stream, entry, entry)[1]
      if row then
        local fields = bounded(row[2])
        add(fields, 'at', string.match(entry, '%d+'))
        redis.call('XADD', E .. 'unhandled', 'MAXLEN', '~', most, '*', unpack(fields))
        redis.call('XTRIM', E .. 'unhandled', 'MINID', '~',
          string.format('%d', math.max(0, now - live)))
        redis.call('PEXPIRE', E .. 'unhandled', live)
      end
      if partial then redis.call('HDEL', E .. 'done', id) end
      over[#over + 1] = entry
      out[#out + 1] = 'applied'
    end
  end
  if #over > 0 then
    redis.call('XACK', stream, GROUP, unpack(over))
    redis.call('XDEL', stream, unpack(over))
  end
  return out
end, 'allow-oom')
