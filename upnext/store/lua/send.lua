-- send: store events, to be routed to their handlers.
-- keys: E
-- args: most events waiting (0: no limit), ms an event is kept that nobody handles, ms an
--       idempotency key is kept, then per event
--       id, name, data, key, parent, root, deadline (an empty string where there is none)
-- result: {verdict, id} per event, flat; verdict is created, existing or full
-- Not allowed when memory is full, as enqueue. Waiting events never expire, unless there is no
-- handler of any event in the workspace: nobody may ever come for them then.

local SEEN_LIVE = 15 * 60 * 1000 -- much longer than any client sends an event again by itself

register('send', function(keys, args)
  local E, now = keys[1], clock()
  local most, live, key_live = tonumber(args[1]), args[2], args[3]
  local stream, out, stored = E .. 'sent', {}, false
  local room = most > 0 and most - redis.call('XLEN', stream) or math.huge
  for i = 4, #args, 7 do
    local id, name, data, key, parent, root, deadline = unpack(args, i, i + 6)
    local seen, verdict = E .. 'seen:' .. id, 'created'
    -- An event may be sent twice when a reply was lost; the id makes the second one a no-op.
    if redis.call('EXISTS', seen) == 0 then
      local holder = key ~= '' and redis.call('GET', E .. 'key:' .. name .. ' ' .. key)
      if holder then
        id, verdict = holder, 'existing'
      elseif room < 1 then
        verdict = 'full'
      else
        room, stored = room - 1, true
        local fields = {'id', id, 'name', name, 'data', data}
        add(fields, 'parent', parent)
        add(fields, 'root', root)
        add(fields, 'deadline', deadline)
        redis.call('XADD', stream, '*', unpack(fields))
        redis.call('SET', seen, 1, 'PX', SEEN_LIVE)
        if key ~= '' then
          redis.call('SET', E .. 'key:' .. name .. ' ' .. key, id, 'PX', key_live)
        end
      end
    end
    out[#out + 1], out[#out + 2] = verdict, id
  end
  if stored then
    if redis.call('EXISTS', E .. 'handlers') == 0 then
      redis.call('XTRIM', stream, 'MINID', string.format('%d', math.max(0, now - live)))
    end
    wake(E)
  end
  return out
end)
