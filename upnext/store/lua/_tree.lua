-- Who is below whom in a tree of jobs, and which parts of it are cancelled.
--
-- A job stores its root and its path: a token for each job between the root and itself
-- (model/lineage.py). `family:<root>` holds the function's unfinished jobs below a root.
-- `cancelled` holds the marks of cancelled parts: `<root>`, or `<root> <token>` for what is below
-- a job in the middle.

local FAMILY_PAGE = 500 -- jobs that one call looks at, about: nobody else is served meanwhile

local function token_of(id)
  return string.sub(id, -16)
end

local function mark_of(root, id)
  return id == root and root or root .. ' ' .. token_of(id)
end

-- Whether a job with this root and this path is in a cancelled part.
local function is_cancelled(P, root, path)
  local marks = {root}
  for token in string.gmatch(path, '[^ ]+') do marks[#marks + 1] = root .. ' ' .. token end
  for _, mark in ipairs(redis.call('ZMSCORE', P .. 'cancelled', unpack(marks))) do
    if mark then return true end
  end
  return false
end

-- From now on no job below this one is accepted.
local function mark_cancelled(P, now, root, id)
  redis.call('ZREMRANGEBYSCORE', P .. 'cancelled', '-inf', now)
  redis.call('ZADD', P .. 'cancelled', now + MARK_LIVE, mark_of(root, id))
  redis.call('PEXPIRE', P .. 'cancelled', MARK_LIVE)
end

-- About a page of the unfinished jobs below a job, and the cursor of the next one ('0': none).
local function page_below(P, root, id, cursor)
  local next_cursor, members = unpack(redis.call('SSCAN', P .. 'family:' .. root, cursor,
    'COUNT', FAMILY_PAGE))
  if id == root then return next_cursor, members end
  local token, below = ' ' .. token_of(id) .. ' ', {}
  for _, member in ipairs(members) do
    local path = redis.pcall('HGET', P .. 'job:' .. member, 'path')
    if type(path) == 'string' and string.find(' ' .. path .. ' ', token, 1, true) then
      below[#below + 1] = member
    end
  end
  return next_cursor, below
end
