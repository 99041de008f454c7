-- watch: read a job and, unless it is over, have a channel told when it ends. One that still
-- waits after its deadline ends here.
-- keys: P
-- args: job id, channel (an empty string only reads), events kept, ms a finished record lives
-- result: the record's fields and values, flat; empty when there is no such job. One that is not
--         over and has a deadline has a field `left`, too: ms until then

register('watch', function(keys, args)
  local P, id, now = keys[1], args[1], clock()
  local job = P .. 'job:' .. id
  local record = redis.call('HGETALL', job)
  local status, waiters, deadline = '', '', nil
  for i = 1, #record, 2 do
    if record[i] == 'status' then status = record[i + 1] end
    if record[i] == 'waiters' then waiters = record[i + 1] end
    if record[i] == 'deadline' then deadline = tonumber(record[i + 1]) end
  end
  if not (status == 'scheduled' or status == 'queued' or status == 'running') then return record end
  if deadline and deadline <= now and expire(P, args[3], args[4], now, id) then
    return redis.call('HGETALL', job)
  end
  if args[2] ~= '' then join(job, waiters, args[2]) end
  if deadline then add(record, 'left', string.format('%d', math.max(0, deadline - now))) end
  return record
end, 'allow-oom')
