-- report: write down what running jobs say of themselves, a batch of one function.
-- keys: P
-- args: worker id, events kept, most bytes of a job's log, most bytes of its output, then per job
--       id, delivery, when its attempt started, how many reports, and per report
--       number, kind (progress, checkpoint, log or output), ms since it was made, count among the
--       lines or chunks of the delivery, text, payload
-- result: one word per job: applied, stale (this delivery does not run any more: nothing was
--         written), or what went wrong with this one
-- Fenced as settle is. A report that was written before is skipped by its number, so the call may
-- be sent twice. Allowed when memory is full: a checkpoint is what lets a job end early, and what
-- a job can write is bounded.

local OVERHEAD = 100 -- bytes that an entry takes besides its payload

-- Add an entry to a job's log or output; the oldest ones go when it grows too long.
local function append(P, id, job, what, entry, most, fields)
  local stream = P .. what .. ':' .. id
  redis.call('XADD', stream, entry, unpack(fields))
  local size = redis.call('HINCRBY', job, what .. '_bytes', #fields[#fields] + OVERHEAD)
  while size > most do
    local first = redis.call('XRANGE', stream, '-', '+', 'COUNT', 1)[1]
    if not first or first[1] == entry then break end
    redis.call('XDEL', stream, first[1])
    size = redis.call('HINCRBY', job, what .. '_bytes', -(#first[2][#first[2]] + OVERHEAD))
  end
end

local function report_one(P, keep, most, now, worker, id, delivery, started, args, from, count)
  local job = P .. 'job:' .. id
  local v = redis.call('HMGET', job, 'status', 'worker', 'delivery', 'attempt', 'reported', 'claimed')
  if v[1] ~= 'running' or v[2] ~= worker or v[3] ~= delivery then return 'stale' end
  local d, last = string.match(v[5] or '', '^(%d+)-(%d+)$')
  last = d == delivery and tonumber(last) or 0
  local told, heard = {}, {}
  for i = from, from + 6 * (count - 1), 6 do
    local number, kind, at = tonumber(args[i]), args[i + 1], now - args[i + 2]
    local n, text, payload = args[i + 3], args[i + 4], args[i + 5]
    if number > last then
      last, heard[kind] = number, true
      at = string.format('%d', at)
      local event = {'attempt', v[4], 'delivery', delivery, 'worker', worker, 'said', at}
      if kind == 'progress' then
        add(told, 'progress', payload)
        told[#told + 1], told[#told + 2] = 'message', text
        add(told, 'progressed', at)
        add(event, 'progress', payload)
        add(event, 'message', text)
      elseif kind == 'checkpoint' then
        told[#told + 1], told[#told + 2] = 'checkpoint', payload -- an empty one replaces as well
        add(told, 'checkpoint_at', at)
        add(event, 'checkpoint', payload)
      else
        local what, name = 'out', text
        if kind == 'log' then what, name = 'log', 'log' end
        append(P, id, job, what, delivery .. '-' .. args[i], most[what],
          {'attempt', v[4], 'n', n, 'at', at, name, payload})
        add(event, 'n', n)
        add(event, 'line', payload)
      end
      if kind ~= 'output' then emit(P, keep, kind, id, event) end
    end
  end
  -- By the worker's reckoning of this clock, which may lag a little behind the claim.
  if tonumber(started) < tonumber(v[6] or 0) then started = v[6] end
  redis.call('HSET', job, 'more', 1, 'started', started, 'reported', delivery .. '-' .. last,
    unpack(told))
  local kinds = {}
  for kind in pairs(heard) do kinds[#kinds + 1] = kind end
  table.sort(kinds)
  if #kinds > 0 then redis.call('PUBLISH', P .. 'said:' .. id, table.concat(kinds, ' ')) end
  return 'applied'
end

register('report', function(keys, args)
  local P, now = keys[1], clock()
  local worker, keep = args[1], args[2]
  local most = {log = tonumber(args[3]), out = tonumber(args[4])}
  local out, i = {}, 5
  while i <= #args do
    local count = tonumber(args[i + 3])
    -- One job whose keys are damaged must not hold up the others in its batch.
    local ok, verdict = pcall(report_one, P, keep, most, now, worker, args[i], args[i + 1],
      args[i + 2], args, i + 4, count)
    out[#out + 1] = ok and verdict or tostring(type(verdict) == 'table' and verdict.err or verdict)
    i = i + 4 + 6 * count
  end
  return out
end, 'allow-oom')
