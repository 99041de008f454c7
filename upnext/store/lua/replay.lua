-- replay: make new jobs of dead letters of one function.
-- keys: P
-- args: events kept, ms a finished record lives, most jobs waiting (0: no limit), then per letter
--       its id and the new job's id
-- result: {verdict, id} per letter, flat: replayed and the new job; repeated and the job that an
--         earlier replay made; missing; held and the unfinished job that has its key; full
-- The new job has the arguments, priority and keys (of limits, idempotency, rerun, cache) of the old
-- one, no deadline, and no parent; its source names the old one, which is no dead letter any more.
-- Not allowed when memory is full.

register('replay', function(keys, args)
  local P, now = keys[1], clock()
  local keep, ttl, most = args[1], args[2], tonumber(args[3])
  local room = most > 0 and most - waiting(P) or math.huge
  local out, queued = {}, 0

  local function held_by(mark)
    local id = redis.call('GET', mark)
    return id and is_live(redis.call('HGET', P .. 'job:' .. id, 'status')) and id
  end

  local function replay_one(old, new)
    local job = P .. 'job:' .. old
    local at = redis.call('ZSCORE', P .. 'dead', old)
    local v = redis.pcall('HMGET', job, 'name', 'arguments', 'priority', 'key', 'dedupe', 'cache',
      'replayed', 'keys')
    if v.err then return 'missing', old end
    if v[7] then return 'repeated', v[7] end
    if not at or not v[2] then return 'missing', old end
    local extras, key = {cache = v[6]}, v[4] or ''
    if v[5] and string.sub(v[5], 1, 6) == 'rerun:' then extras.dedupe = v[5] end
    local holder = key ~= '' and held_by(P .. 'key:' .. key)
      or extras.dedupe and held_by(P .. extras.dedupe)
    if holder then return 'held', holder end
    if room < 1 then return 'full', old end
    room = room - 1
    local source = '{"type":"replay","job_id":"' .. old .. '","failed_at":' .. at .. '}'
    if accept(P, keep, now, nil, new, v[1], v[2], v[3] or '0', now, nil, key, '', '', source, '',
        v[8] or '', '', extras, false) then
      queued = queued + 1
    end
    redis.call('ZREM', P .. 'dead', old)
    redis.call('HSET', job, 'replayed', new)
    redis.call('PEXPIRE', job, ttl)
    return 'replayed', new
  end

  for i = 4, #args, 2 do
    out[#out + 1], out[#out + 2] = replay_one(args[i], args[i + 1])
  end
  if queued == 1 then hand_over(P, keep, ttl, now) elseif queued > 1 then wake(P) end
  return out
end)
