-- KEYS: value   ARGV: seen, the new head up to `dead`, px
-- 1 done, 2 the value is not what the caller saw
if seen_at(KEYS[1]) ~= ARGV[1] then return 2 end
local value = run('GET', KEYS[1])
local rest = string.sub(value, string.find(value, ',"tags":', 1, true), -1)
run('UNLINK', KEYS[1])
run('SET', KEYS[1], ARGV[2] .. rest, 'PX', ARGV[3])
return 1
