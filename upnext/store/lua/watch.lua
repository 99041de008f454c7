-- watch: read a job and, unless it is over, have a channel told when it ends.
-- keys: P
-- args: job id, channel (an empty string only reads)
-- result: the record's fields and values, flat; empty when there is no such job

register('watch', function(keys, args)
  local job = keys[1] .. 'job:' .. args[1]
  local record = redis.call('HGETALL', job)
  local status, waiters = '', ''
  for i = 1, #record, 2 do
    if record[i] == 'status' then status = record[i + 1] end
    if record[i] == 'waiters' then waiters = record[i + 1] end
  end
  if args[2] ~= '' and (status == 'scheduled' or status == 'queued' or status == 'running') then
    join(job, waiters, args[2])
  end
  return record
end, 'allow-oom')
