-- KEYS: value, lease   ARGV: token, px [, seen]
-- { 1, what is seen } granted, { 0, the value } it is not what the caller may replace
local seen = seen_at(KEYS[1])
if ARGV[3] and seen ~= ARGV[3] then
  local value = redis.pcall('GET', KEYS[1])
  return { 0, type(value) == 'string' and value }
end
local held = redis.pcall('GET', KEYS[2])
redis.call('UNLINK', KEYS[2])
local lease = ARGV[1] .. seized
-- Who waited for the lease that is taken away waits for this one.
if is_waited_for(held) then lease = lease .. waited_for end
redis.call('SET', KEYS[2], lease, 'PX', ARGV[2])
return { 1, seen }
