-- roster: who of a roll is there.
-- keys: prefix of the roll's keys
-- args: none
-- result: their records, by member

register('roster', function(keys)
  local P, now = keys[1], clock()
  local members = redis.call('ZRANGE', P .. 'until', '(' .. stamp, '+inf', 'BYSCORE')
  table.sort(members)
  local found = {}
  for _, member in ipairs(members) do
    local record = redis.call('HGET', P .. 'records', member)
    if record then found[#found + 1] = record end
  end
  return found
end, 'allow-oom')
