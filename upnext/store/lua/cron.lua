-- cron: make the jobs of a schedule that are due, each once however many schedulers race.
-- keys: P
-- args: schedule, its revision, its next occurrence as the caller knows it, the first occurrence
--       not decided on by this call, events kept, most jobs waiting (0: no limit), function name,
--       then per occurrence, oldest first: job id, instant, when to run it, source
-- result: {verdict, now, jobs made, the schedule's fields and values, flat}; verdict is
--         fired, full (as far as there was room: the rest stays due),
--         early (by this server's clock it is not time yet: nothing was done),
--         moved (another scheduler was faster, or it was changed or paused: nothing was done) or
--         gone (there is no such schedule)
-- Not allowed when memory is full: what is due then stays due.
--
-- The schedule is the state: `next` is the occurrence nobody has decided on, `cursor` the last one
-- somebody has; it never falls, so an occurrence is decided on once, be its job's record long gone.

local function is_unfinished(P, id)
  local status = redis.pcall('HGET', P .. 'job:' .. id, 'status')
  return status == 'scheduled' or status == 'queued' or status == 'running'
end

register('cron', function(keys, args)
  local P, now = keys[1], clock()
  local schedule, revision, expected, following, keep, most, name = unpack(args, 1, 7)
  local key, made = P .. 'cron:' .. schedule, 0
  local v = redis.call('HMGET', key, 'revision', 'next', 'paused', 'removed', 'overlap',
    'arguments', 'cursor', 'last')
  local function answer(verdict) return {verdict, now, made, redis.call('HGETALL', key)} end
  if not v[1] or v[4] then return {'gone', now, 0, {}} end
  if v[3] or v[1] ~= revision or v[2] ~= expected then return answer('moved') end
  local newest = #args > 7 and args[#args - 2] or expected
  if tonumber(newest) > now then return answer('early') end

  local overlap, arguments, cursor, last = v[5], v[6], tonumber(v[7] or 0), v[8] or ''
  local line, queued, skipped = P .. 'line:' .. schedule, false, 0
  local verdict, decided = 'fired', expected
  if #args > 7 then decided = v[7] end -- false where nothing was decided on yet
  if overlap == 'queue' then advance_line(P, keep, schedule, now) end
  local room = math.huge
  if tonumber(most) > 0 then -- who stands in line behind the first one waits, too
    room = most - waiting(P) - math.max(0, redis.call('LLEN', line) - 1)
  end
  for i = 8, #args, 4 do
    local id, instant, due, source = unpack(args, i, i + 3)
    local job = P .. 'job:' .. id
    if tonumber(instant) > cursor and redis.call('EXISTS', job) == 0 then
      if overlap == 'skip' and last ~= '' and is_unfinished(P, last) then
        skipped = skipped + 1
      elseif room < 1 then
        verdict, following = 'full', instant
        break
      else
        room, made, last = room - 1, made + 1, id
        local status, lane, entry, more = 'scheduled', '', '', {}
        local behind = overlap == 'queue' and redis.call('RPUSH', line, id) > 1
        if tonumber(due) > now then
          if not behind then to_schedule(P, id, due) end
        elseif not behind then
          status, queued = 'queued', true
          lane, entry = to_lane(P, id, job, 0, false)
        end
        if overlap == 'queue' then more = {'serial', schedule} end
        redis.call('HSET', job, 'status', status, 'lane', lane, 'entry', entry, 'name', name,
          'arguments', arguments, 'created', now, 'due', due, 'source', source, 'more', 1,
          unpack(more))
        emit(P, keep, status, id, {'name', name, 'arguments', arguments, 'due', due, 'priority',
          '0', 'source', source})
      end
    end
    decided = instant
  end
  redis.call('HSET', key, 'next', following, 'cursor', decided or 0, 'last', last)
  if skipped > 0 then redis.call('HINCRBY', key, 'skipped', skipped) end
  redis.call('ZADD', P .. 'crons', following, schedule)
  redis.call('PUBLISH', P .. 'due', 'cron ' .. revision .. ' ' .. following .. ' ' .. schedule)
  if queued then wake(P) end
  return answer(verdict)
end)
