-- follow: read what a job has said, and have its channel told of what it says from now on.
-- keys: P
-- args: job id, what to read (log, out, or an empty string for neither), the entry read last (an
--       empty string: from the beginning), most entries
-- result: nil when there is no such job, else {status, progress, its message, when it was
--         said, {{entry, {field, value...}}...}}
-- One look at both: when the job is over and all is read, nothing comes after it.

register('follow', function(keys, args)
  local P, id, what, after, most = keys[1], args[1], args[2], args[3], args[4]
  local job = P .. 'job:' .. id
  local v = redis.call('HMGET', job, 'status', 'progress', 'message', 'progressed', 'reported')
  if not v[1] then return false end
  local alive = v[1] == 'scheduled' or v[1] == 'queued' or v[1] == 'running'
  -- From now on the end of the job is told on its channel, too.
  if alive and not v[5] then redis.call('HSET', job, 'more', 1, 'reported', '0-0') end
  local entries = {}
  if what ~= '' then
    local from = after == '' and '-' or '(' .. after
    entries = redis.call('XRANGE', P .. what .. ':' .. id, from, '+', 'COUNT', most)
  end
  return {v[1], v[2] or '', v[3] or '', v[4] or '0', entries}
end, 'allow-oom')
