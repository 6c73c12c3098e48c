-- KEYS: value, lease [, nonce, counter]   ARGV: token, px [, seen]
-- { 1, what is seen } granted, { 0, the value } it is not what the caller may replace
local seen = seen_at(KEYS[1])
if ARGV[3] and seen ~= ARGV[3] then
  local value = try('GET', KEYS[1])
  return { 0, type(value) == 'string' and value }
end
local held = try('GET', KEYS[2])
run('UNLINK', KEYS[2])
-- With the stamps here the lease says what it is born under, so that nobody waits for what is doomed.
local inc, count
if KEYS[3] then inc, count = clock_of(KEYS[3], KEYS[4]) end
local lease = ARGV[1] .. (inc and string.format(':%s:%.0f', inc, count) or seized)
-- Who waited for the lease that is taken away waits for this one.
if is_waited_for(held) then lease = lease .. waited_for end
run('SET', KEYS[2], lease, 'PX', ARGV[2])
return { 1, seen }
