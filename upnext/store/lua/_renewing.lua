-- Leases after the clock of this server was set back. What was delivered before shows no idle time
-- until the clock is there again: so long no lease of a dead worker would run out.

local MOST_RESTARTED = 5000 -- entries of a stream that one call looks at
-- Of each stream: after which step back it was looked through, and where to go on if that was not
-- to its end.
local restarted = {}

-- Let the leases begin anew that show no idle time. The living renew theirs, and those of the dead
-- run out one lease from now; one that began in this very moment is as it was. A stream is looked
-- through once after each step back, and once when this library begins, for nobody knows what the
-- clock did before; else nothing is asked of the server.
local function restart_leases(stream)
  local seen = restarted[stream]
  if seen and seen.step == steps_back and not seen.from then return end
  local from = seen and seen.step == steps_back and seen.from or '-'
  local looked = 0
  repeat
    local pending = redis.pcall('XPENDING', stream, GROUP, from, '+', 1000)
    if pending.err then return end
    local owners = {}
    for _, p in ipairs(pending) do
      from = '(' .. p[1]
      if p[3] == 0 then
        local entries = owners[p[2]] or {}
        entries[#entries + 1], owners[p[2]] = p[1], entries
      end
    end
    for owner, entries in pairs(owners) do
      entries[#entries + 1] = 'JUSTID'
      redis.call('XCLAIM', stream, GROUP, owner, 0, unpack(entries))
    end
    looked = looked + #pending
    if #pending < 1000 then from = nil end
  until not from or looked >= MOST_RESTARTED
  restarted[stream] = {step = steps_back, from = from}
end
