-- claim: hand waiting jobs of one function to a worker.
-- keys: P
-- args: worker id, worker's channel, jobs wanted, events kept, ms a finished record lives
-- result: {now, filled (1 when more probably waits: ask again), {job...}}; a job is what row_of
--         says. Of a function that is limited or paused, at the end: ms after which asking again
--         is of use, if that is known.
-- Allowed when memory is full: claiming is how a full server drains.
-- Nothing wanted: the worker has no free slot and hands the wake it got on to another.

local STAGGER = 20 -- ms between two workers that wait for the same moment

-- A worker that got less than it asked for: it waits for the limit, or it is hungry. Where time
-- brings the next start, each worker is told another time, so that they do not come all at once.
local function stand_by(P, now, channel, gate)
  local line, other = 'hungry', 'barred'
  if gate.barred then line, other = other, line end
  redis.call('ZREM', P .. other, channel)
  redis.call('ZADD', P .. line, 'NX', now, channel)
  redis.call('PEXPIRE', P .. line, HUNGRY_LIVE)
  local later, step = gate.later, STAGGER
  if gate.barred then
    if gate.rate and not gate.paused then
      step = math.min(step, math.ceil(gate.window / gate.rate))
    end
  elseif gate.keyrate then
    local due = redis.call('ZRANGE', P .. 'timed', 0, 0, 'WITHSCORES')[2]
    if due then later = math.max(0, due - now) end
  end
  return later and later + step * redis.call('ZRANK', P .. line, channel)
end

register('claim', function(keys, args)
  local P, now = keys[1], clock()
  local worker, channel, want, keep, ttl = args[1], args[2], tonumber(args[3]), args[4], args[5]
  local jobs, dry, gate = take_jobs(P, keep, ttl, now, worker, want)
  if dry then
    if gate then return {now, 0, jobs, stand_by(P, now, channel, gate)} end
    feel_hungry(P, channel)
    return {now, 0, jobs}
  end
  -- A full share: more probably waits, and another worker may be free.
  if gate then
    redis.call('ZREM', P .. 'barred', channel)
    rouse(P)
  else
    wake(P)
  end
  return {now, 1, jobs}
end, 'allow-oom')
