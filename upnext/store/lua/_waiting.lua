-- What is done to jobs that wait: for their time, or for a worker.

local function is_waiting(found)
  return found.status == 'scheduled' or found.status == 'queued'
end

-- Take a job out of where it waits.
local function unqueue(P, id, found)
  if found.status == 'scheduled' then
    redis.call('ZREM', P .. 'scheduled', id)
  elseif found.keys then
    leave_ring(P, id, found.keys)
  else
    drop_entry(P, found.lane, found.entry)
  end
end

-- End a job that still waits after its deadline; false when it is none. One that runs is its
-- worker's to end, and a claim does not start one.
local function expire(P, keep, ttl, now, id)
  local job = P .. 'job:' .. id
  local found = find(job)
  if not found or not is_waiting(found) then return false end
  if (tonumber(found.deadline) or math.huge) > now then return false end
  unqueue(P, id, found)
  finish(P, keep, ttl, id, job, now, found, 'expired', '', '',
    'the deadline passed while it waited', '')
  return true
end
