-- The namespace's nonce and counter, or nil when one is missing or they disagree.
local function clock_of(inc_key, clock_key)
  local inc = try('GET', inc_key)
  local clock = try('GET', clock_key)
  if type(inc) ~= 'string' or type(clock) ~= 'string' then return nil end
  if string.len(inc) ~= 32 or not string.find(inc, '^[0-9a-f]+$') then return nil end
  if string.sub(clock, 1, 33) ~= inc .. ':' then return nil end
  local count = string.sub(clock, 34)
  if string.len(count) > 15 or not string.find(count, '^%d+$') then return nil end
  return inc, tonumber(count)
end

-- UNLINK comes first: a script that has already written may go on writing at maxmemory.
local function set_clock(clock_key, inc, count)
  run('UNLINK', clock_key)
  run('SET', clock_key, string.format('%s:%.0f', inc, count))
end

-- Writes the nonce, which every process with decoded values of the namespace is told of: all
-- of them are out of date then.
local function begin_clock(inc_key, clock_key, inc, count)
  run('UNLINK', inc_key)
  run('SET', inc_key, inc)
  set_clock(clock_key, inc, count)
end
