-- track: add what a process of an API counted, and single requests, once.
-- keys: A
-- args: writer, number of the batch (counts its batches), most endpoints, the endpoint that counts
--       for those beyond, ms that counts of minutes and of hours are kept, requests kept, how many
--       rows;
--       per row: ms ago, endpoint, how many counts, then name and count of each;
--       per request: ms ago, method, path, status, microseconds, sampled (1 or 0)
-- result: 1; 0 when the batch was added before
--
-- A batch is marked first: one that fails halfway is not counted twice either.

local WRITER_LIVE = 2 * 3600 * 1000

-- Add counts to what an endpoint served in the minute and the hour of a time.
local function add_counts(A, spans, endpoint, at, names, counts)
  for _, span in ipairs(spans) do
    local n = math.floor(at / span.length)
    local key = A .. span.name .. ':' .. string.format('%d', n) .. ':' .. endpoint
    for i = 1, #names do redis.pcall('HINCRBY', key, names[i], counts[i]) end
    redis.call('PEXPIREAT', key, string.format('%d', (n + 1) * span.length + span.kept))
  end
end

register('track', function(keys, args)
  local A, writer, sequence, now = keys[1], args[1], args[2], clock()
  local seen = A .. 'seen:' .. writer
  if tonumber(sequence) <= tonumber(redis.call('GET', seen) or 0) then return 0 end
  redis.call('SET', seen, sequence, 'PX', WRITER_LIVE)
  local most, others, kept, rows = tonumber(args[3]), args[4], args[7], tonumber(args[8])
  local spans = {
    {name = 'm', length = 60 * 1000, kept = tonumber(args[5])},
    {name = 'h', length = 3600 * 1000, kept = tonumber(args[6])},
  }
  local endpoints = A .. 'endpoints'
  redis.call('ZREMRANGEBYSCORE', endpoints, '-inf', now - args[6])
  local known, place, totals = redis.call('ZCARD', endpoints), 9, {}
  for _ = 1, rows do
    local at, endpoint, pairs_here = now - args[place], args[place + 1], tonumber(args[place + 2])
    local names, counts, total = {}, {}, totals[at] or {}
    for i = 1, pairs_here do
      names[i], counts[i] = args[place + 1 + 2 * i], args[place + 2 + 2 * i]
      total[names[i]] = (total[names[i]] or 0) + counts[i]
    end
    totals[at] = total
    place = place + 3 + 2 * pairs_here
    if not redis.call('ZSCORE', endpoints, endpoint) then
      if known >= most and endpoint ~= others then endpoint = others else known = known + 1 end
    end
    redis.call('ZADD', endpoints, 'GT', string.format('%d', at), endpoint)
    add_counts(A, spans, endpoint, at, names, counts)
  end
  for at, total in pairs(totals) do
    local names, counts = {}, {}
    for name, count in pairs(total) do
      names[#names + 1], counts[#counts + 1] = name, string.format('%d', count)
    end
    add_counts(A, spans, '', at, names, counts)
  end
  redis.call('PEXPIRE', endpoints, args[6])
  if place > #args then return 1 end
  local requests = A .. 'requests'
  for i = place, #args, 6 do
    redis.pcall('XADD', requests, '*', 'at', string.format('%d', now - args[i]),
      'method', args[i + 1], 'path', args[i + 2], 'status', args[i + 3], 'us', args[i + 4],
      'sampled', args[i + 5], 'instance', writer)
  end
  redis.pcall('XTRIM', requests, 'MAXLEN', kept)
  redis.call('PEXPIRE', requests, args[6])
  return 1
end)
