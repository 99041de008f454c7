-- cancel: cancel a job, or one function's part of what is below a job.
-- keys: P
-- args: scope, job id, reason, prefix of the workers' channels, events kept, ms a finished record
--       lives; for all scopes but job and head also root id, cursor (0 at first), the job's path,
--       channel that is told of ends
-- result, by scope:
--   job     one word: cancelled (it waited, now it is over), requested (it runs: its worker was
--           told), finished (too late) or missing
--   head    {that word, root id, 1 when it ever ran and so may have jobs below it}
--   tree    {cursor (0: that was all), jobs reached}: the jobs below
--   unwind  {cursor, id...} the jobs below that run on, each of which tells the channel of its end;
--           cursor is - when the job was cancelled without those below it. Asked by the worker of
--           a cancelled job, first of the job's own function
--   spread  the same of any other function, which may not have heard of the cancellation yet
-- Each but job leaves a mark that refuses jobs submitted below from now on.

local function cancel_one(P, keep, ttl, now, id, found, reason, channels, quiet)
  local job = P .. 'job:' .. id
  if not found then return 'missing' end
  if found.status == 'running' then
    if not found.cancel then
      redis.call('HSET', job, 'more', 1, 'cancel', reason)
      local event = {'attempt', found.attempt, 'worker', found.worker}
      add(event, 'reason', reason)
      emit(P, keep, 'cancel_requested', id, event)
    elseif quiet then
      return 'requested'
    end
    redis.call('PUBLISH', channels .. found.worker,
      'cancel ' .. id .. ' ' .. found.delivery .. ' ' .. reason)
    return 'requested'
  end
  if not is_waiting(found) then return 'finished' end
  unqueue(P, id, found)
  finish(P, keep, ttl, id, job, now, found, 'cancelled', '', '', reason, '')
  return 'cancelled'
end

register('cancel', function(keys, args)
  local P, now = keys[1], clock()
  local scope, id, reason, channels, keep, ttl, root, cursor, path, listener = unpack(args)
  if scope == 'job' or scope == 'head' then
    local found = find(P .. 'job:' .. id)
    local verdict = cancel_one(P, keep, ttl, now, id, found, reason, channels)
    if scope == 'job' then return verdict end
    root = found and found.root or id
    local ran = not found or found.delivery ~= '0'
    if ran then mark_cancelled(P, now, root, id) end
    return {verdict, root, ran and 1 or 0}
  end

  if scope == 'tree' then
    mark_cancelled(P, now, root, id)
  elseif not is_cancelled(P, root, path .. ' ' .. token_of(id)) then
    if scope == 'unwind' then return {'-'} end
    mark_cancelled(P, now, root, id)
  end
  local next_cursor, below = page_below(P, root, id, cursor)
  local reached, live = 0, {next_cursor}
  for _, child in ipairs(below) do
    local job = P .. 'job:' .. child
    local found = find(job)
    local verdict = cancel_one(P, keep, ttl, now, child, found, reason, channels, scope ~= 'tree')
    if verdict == 'cancelled' or verdict == 'requested' then reached = reached + 1 end
    if verdict == 'requested' and scope ~= 'tree' then
      join(job, found.waiters or '', listener)
      live[#live + 1] = child
    end
  end
  return scope == 'tree' and {next_cursor, reached} or live
end, 'allow-oom')
