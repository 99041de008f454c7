-- follow: read what a job has said, and have its channel told of what it says from now on. One that
-- still waits after its deadline ends here.
-- keys: P
-- args: job id, what to read (log, out, or an empty string for neither), the entry read last (an
--       empty string: from the beginning), most entries, events kept, ms a finished record lives
-- result: nil when there is no such job, else {status, progress, its message, when it was
--         said, {{entry, {field, value...}}...}, ms until its deadline or an empty string}
-- One look at both: when the job is over and all is read, nothing comes after it.

register('follow', function(keys, args)
  local P, now, id, what, after, most = keys[1], clock(), args[1], args[2], args[3], args[4]
  local job = P .. 'job:' .. id
  local function read()
    return redis.call('HMGET', job, 'status', 'progress', 'message', 'progressed', 'reported',
      'deadline')
  end
  local v = read()
  if not v[1] then return false end
  local deadline = tonumber(v[6] or '')
  if deadline and deadline <= now and expire(P, args[5], args[6], now, id) then v = read() end
  local alive = is_live(v[1])
  -- From now on the end of the job is told on its channel, too.
  if alive and not v[5] then redis.call('HSET', job, 'more', 1, 'reported', '0-0') end
  local entries = {}
  if what ~= '' then
    local from = after == '' and '-' or '(' .. after
    entries = redis.call('XRANGE', P .. what .. ':' .. id, from, '+', 'COUNT', most)
  end
  local left = alive and deadline and word(math.max(0, deadline - now)) or ''
  return {v[1], v[2] or '', v[3] or '', v[4] or '0', entries, left}
end, 'allow-oom')
