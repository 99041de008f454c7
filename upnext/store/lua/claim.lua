-- claim: hand waiting jobs of one function to a worker.
-- keys: P
-- args: worker id, worker's channel, jobs wanted, events kept, ms a finished record lives
-- result: {now, filled (1 when more probably waits: ask again), {job...}}; a job is what row_of
--         says
-- Allowed when memory is full: claiming is how a full server drains.
-- Nothing wanted: the worker has no free slot and hands the wake it got on to another.

register('claim', function(keys, args)
  local P, now = keys[1], clock()
  local worker, channel, want, keep, ttl = args[1], args[2], tonumber(args[3]), args[4], args[5]
  local jobs, dry = take_jobs(P, keep, ttl, now, worker, want)
  if dry then
    feel_hungry(P, channel)
    return {now, 0, jobs}
  end
  wake(P) -- a full share: more probably waits, and another worker may be free
  return {now, 1, jobs}
end, 'allow-oom')
