-- traffic: what endpoints of an API served in some minutes or hours.
-- keys: A
-- args: m or h, number of the first one, how many, 1 to have each by itself or 0 for their sum, then
--       endpoints (an empty one for all that the API served)
-- result: for each endpoint one list, or one for each minute or hour, of {name, count...}

register('traffic', function(keys, args)
  local A, unit, apart = keys[1], args[1], args[4] == '1'
  local first, count = tonumber(args[2]), tonumber(args[3])
  local found = {}
  for e = 5, #args do
    local names, sums = {}, {}
    for n = first, first + count - 1 do
      local key = A .. unit .. ':' .. string.format('%d', n) .. ':' .. args[e]
      local counts = redis.pcall('HGETALL', key)
      if apart then
        found[#found + 1] = counts.err and {} or counts
      else
        for i = 1, counts.err and 0 or #counts, 2 do
          local name = counts[i]
          if not sums[name] then names[#names + 1], sums[name] = name, 0 end
          sums[name] = sums[name] + counts[i + 1]
        end
      end
    end
    if not apart then
      local row = {}
      for i, name in ipairs(names) do row[2 * i - 1], row[2 * i] = name, sums[name] end
      found[#found + 1] = row
    end
  end
  return found
end, 'allow-oom')
