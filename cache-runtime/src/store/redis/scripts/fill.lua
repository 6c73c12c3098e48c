-- KEYS: value, lease   ARGV: token [, px, envelope]
-- 1 done, 0 the lease is not ours
local held = try('GET', KEYS[2])
if type(held) ~= 'string' or string.sub(held, 1, 32) ~= ARGV[1] then return 0 end
-- SET comes before UNLINK here: a value must not be stored past maxmemory. If it is refused,
-- the lease is still given back.
local stored
if ARGV[3] then stored = try('SET', KEYS[1], ARGV[3], 'PX', ARGV[2]) end
run('UNLINK', KEYS[2])
wake(held, KEYS[1])
if type(stored) == 'table' and stored.err then return stored end
return 1
