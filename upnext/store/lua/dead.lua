-- dead: a page of a function's dead letters, the latest first.
-- keys: P
-- args: Unix ms since when, Unix ms until when (both '' for any), Unix ms and id of the last one
--       seen ('' and '' for the first page), letters wanted, ms a dead letter lives (0: for ever)
-- result: {1 when there are more, letters dropped so far, {id, Unix ms, {field, value...}}...}

register('dead', function(keys, args)
  local P, now = keys[1], clock()
  local since, til, at, last, want = args[1], args[2], args[3], args[4], tonumber(args[5])
  local dropped = tonumber(redis.call('GET', P .. 'dropped') or 0)
  local out, offset = {0, dropped}, 0
  local low = since == '' and '-inf' or since
  if args[6] ~= '0' then low = math.max(tonumber(since) or 0, now - args[6] + 1) end
  local high = at ~= '' and at or til ~= '' and til or '+inf'
  while true do
    local rows = redis.call('ZRANGE', P .. 'dead', high, low, 'BYSCORE', 'REV', 'LIMIT', offset,
      want + 1, 'WITHSCORES')
    for i = 1, #rows, 2 do
      -- Of one moment they come by falling id.
      if not (rows[i + 1] == at and rows[i] >= last) then
        local record = redis.pcall('HGETALL', P .. 'job:' .. rows[i])
        if not record.err and #record > 0 then
          if #out - 2 == want then
            out[1] = 1
            return out
          end
          out[#out + 1] = {rows[i], tonumber(rows[i + 1]), record}
        end
      end
    end
    if #rows < 2 * (want + 1) then return out end
    offset = offset + want + 1
  end
end, 'allow-oom')
