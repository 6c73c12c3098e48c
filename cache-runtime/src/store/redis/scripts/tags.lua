-- KEYS: nonce, counter, tags…   ARGV: a new nonce, the tags' life
local inc, count = clock_of(KEYS[1], KEYS[2])
if not inc then inc, count = ARGV[1], 0 end
begin_clock(KEYS[1], KEYS[2], inc, count + 1)
local stamp = string.format('%s:%.0f', inc, count + 1)
for index = 3, #KEYS do redis.call('SET', KEYS[index], stamp, 'PX', ARGV[2]) end
return 1
