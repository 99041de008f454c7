-- recover: what a worker owns but does not know of, because the reply to a claim was lost.
-- keys: P
-- args: worker id, then the ids of the jobs it knows it holds
-- result: {now, 0, {job...}} as in claim; deliveries and attempts stay as they are
-- A job whose record was damaged meanwhile is set aside, as a claim does.

register('recover', function(keys, args)
  local P, worker, known, jobs = keys[1], args[1], {}, {}
  for i = 2, #args do known[args[i]] = true end
  for _, lane in ipairs(lanes_of(P)) do
    local stream, from, pending = P .. 'lane:' .. lane, '-', nil
    repeat
      pending = redis.pcall('XPENDING', stream, GROUP, from, '+', 1000, worker)
      if pending.err then break end
      for _, p in ipairs(pending) do
        from = '(' .. p[1]
        local row = redis.call('XRANGE', stream, p[1], p[1])[1]
        local id = row and id_in(row[2])
        if id and not known[id] then
          local job = P .. 'job:' .. id
          local v = redis.pcall('HMGET', job, 'status', 'worker', 'arguments', 'attempt',
            'delivery', 'created', 'more')
          if v[1] == 'running' and v[2] == worker then
            local again = row_again(id, job, v[3], v[4], v[5], v[6], v[7])
            if again then
              jobs[#jobs + 1] = again
            else
              set_aside(P, lane, p[1], row[2])
            end
          end
        end
      end
    until #pending < 1000
  end
  return {clock(), 0, jobs}
end, 'allow-oom')
