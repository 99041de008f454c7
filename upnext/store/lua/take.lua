-- take: lend events to a router, which makes their handlers' jobs.
-- keys: E
-- args: worker id, worker's channel, events wanted, ms of the lease, ms a handler lives that no
--       worker declares, the version of the roll that the router has, and two flags (1 or 0):
--       give again what the router holds already (the reply to a take was lost, or it failed);
--       take over what another one did not conclude within its lease
-- result: {filled (1 when more probably waits), {{entry, {field, value...}, done}...}, version,
--         {function, record...} or 0 when the router has this version}
-- Allowed when memory is full: routing is how a full server drains.
-- Nothing wanted: the worker's router has stopped and hands the wake it got on to another.

local STRIDE = 10 -- events may be large: so many are read before their bytes are counted
local MOST_TAKEN = 2 * 1024 * 1024 -- bytes of data after which a take is enough

register('take', function(keys, args)
  local E, now = keys[1], clock()
  local worker, channel, want, lease, live, version = args[1], args[2], tonumber(args[3]), args[4],
    tonumber(args[5]), args[6]
  local stream = E .. 'sent'
  if want == 0 then
    wake(E)
    return {0, {}, version, 0}
  end
  forget_handlers(E, now, live)
  local rows, taken, weight = {}, {}, 0
  local partial = redis.call('EXISTS', E .. 'done') == 1

  local function take_row(entry, fields)
    local id = id_in(fields)
    taken[entry] = true
    for i = 1, #fields, 2 do
      if fields[i] == 'data' then weight = weight + #fields[i + 1] end
    end
    rows[#rows + 1] = {entry, fields, partial and id and redis.call('HGET', E .. 'done', id) or ''}
  end

  local function claim(entry, idle)
    local row = redis.call('XCLAIM', stream, GROUP, worker, idle, entry)[1]
    if row and row[2] then take_row(row[1], row[2]) end
  end

  if args[7] == '1' then
    local mine = redis.pcall('XPENDING', stream, GROUP, '-', '+', want, worker)
    for _, p in ipairs(mine.err and {} or mine) do claim(p[1], 0) end
  end
  if args[8] == '1' and #rows < want then
    restart_leases(stream)
    local left = redis.pcall('XPENDING', stream, GROUP, 'IDLE', lease, '-', '+', want - #rows)
    for _, p in ipairs(left.err and {} or left) do
      if not taken[p[1]] then claim(p[1], lease) end
    end
    -- Consumers of workers that are long gone and owe nothing.
    local consumers = redis.pcall('XINFO', 'CONSUMERS', stream, GROUP)
    for _, c in ipairs(consumers.err and {} or consumers) do
      local info = {}
      for i = 1, #c, 2 do info[c[i]] = c[i + 1] end
      if info.pending == 0 and info.idle > 10 * lease and info.name ~= worker then
        redis.call('XGROUP', 'DELCONSUMER', stream, GROUP, info.name)
      end
    end
  end

  local function read(count)
    local reply = redis.pcall('XREADGROUP', 'GROUP', GROUP, worker, 'COUNT', count,
      'STREAMS', stream, '>')
    if reply and reply.err then
      -- There is no group yet, or it went with a lost server; `$` would skip what waits.
      redis.call('XGROUP', 'CREATE', stream, GROUP, '0', 'MKSTREAM')
      reply = redis.call('XREADGROUP', 'GROUP', GROUP, worker, 'COUNT', count,
        'STREAMS', stream, '>')
    end
    return reply and reply[1][2] or {}
  end

  local dry = false
  while not dry and #rows < want and weight < MOST_TAKEN do
    local count = math.min(STRIDE, want - #rows)
    local entries = read(count)
    for _, e in ipairs(entries) do take_row(e[1], e[2]) end
    dry = #entries < count
  end

  if dry then
    feel_hungry(E, channel)
  else
    wake(E) -- probably more waits, and another router may be free
  end
  local present = redis.call('GET', E .. 'version') or ''
  return {dry and 0 or 1, rows, present,
    present == version and 0 or redis.call('HGETALL', E .. 'handlers')}
end, 'allow-oom')
