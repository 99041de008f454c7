-- living: which jobs of one function below a job are not over.
-- keys: P
-- args: root id, job id (the root's for the whole tree), cursor (0 at first)
-- result: {cursor (0: that was all), id...}

register('living', function(keys, args)
  local P, root, id, cursor = keys[1], args[1], args[2], args[3]
  local next_cursor, below = page_below(P, root, id, cursor)
  return {next_cursor, unpack(below)}
end, 'allow-oom')
