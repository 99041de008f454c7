-- settle: write down how a worker's attempts ended, a batch of one function.
-- keys: P
-- args: worker id, events kept, ms a finished record lives, ms a dead letter lives (0: for ever),
--       most dead letters (0: any number), then per outcome
--       id, delivery, ending, duration, result, and, unless the ending is `done` (complete, and
--       there is no more to say), error, delay, reason, dead letter (0 or 1)
-- result: one word per outcome: applied, repeated (this delivery was settled before), stale
--         (another delivery owns the job: nothing was written), or what went wrong with this one
-- Fenced by owner and delivery, which a retry leaves in the record, so that its repetition is
-- told from a stale one. Allowed when memory is full.

register('settle', function(keys, args)
  local P, now = keys[1], clock()
  local worker, keep, ttl = args[1], args[2], args[3]
  local out, acked = {}, {}
  dead_ttl, dead_most = tonumber(args[4]), tonumber(args[5])
  local i = 6
  while i <= #args do
    local last = i + (args[i + 2] == 'done' and 4 or 8)
    -- One job whose keys are damaged must not hold up the others in its batch.
    local ok, verdict = pcall(settle_one, P, keep, ttl, now, worker, acked, unpack(args, i, last))
    out[#out + 1] = ok and verdict or tostring(type(verdict) == 'table' and verdict.err or verdict)
    i = last + 1
  end
  for lane, entries in pairs(acked) do
    take_out(P .. 'lane:' .. lane, entries)
  end
  return out
end, 'allow-oom')
