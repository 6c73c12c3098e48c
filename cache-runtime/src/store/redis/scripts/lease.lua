-- KEYS: value, lease   ARGV: token, px, seen, inc, born, floor
-- 1 granted, 0 held, 2 the value is not what the caller saw
if seen_at(KEYS[1]) ~= ARGV[3] then return 2 end
local held = try('GET', KEYS[2])
-- A load of another incarnation, or older than a stamp it depends on, is doomed: nobody
-- should wait for it. Of a seized lease that is not known, and it is waited for.
local function may_come_to_something()
  if is_seized(held) then return true end
  if type(held) ~= 'string' or string.sub(held, 34, 65) ~= ARGV[4] then return false end
  local born = tonumber(string.match(held, '^%d+', 67))
  return born and born >= tonumber(ARGV[6])
end
if may_come_to_something() then
  -- The caller will wait. At maxmemory the mark is refused, and it looks again after a while.
  if not is_waited_for(held) then try('SET', KEYS[2], held .. waited_for, 'KEEPTTL') end
  return 0
end
run('UNLINK', KEYS[2])
local lease = ARGV[1] .. ':' .. ARGV[4] .. ':' .. ARGV[5]
-- Who waited for the lease that is taken away waits for this one.
if is_waited_for(held) then lease = lease .. waited_for end
run('SET', KEYS[2], lease, 'PX', ARGV[2])
return 1
