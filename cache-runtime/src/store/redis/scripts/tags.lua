-- KEYS: nonce, counter, tags…   ARGV: a new nonce, the tags' life
local inc, count = clock_of(KEYS[1], KEYS[2])
if inc then
  set_clock(KEYS[2], inc, count + 1)
else
  inc, count = ARGV[1], 0
  begin_clock(KEYS[1], KEYS[2], inc, count + 1)
end
local stamp = string.format('%s:%.0f', inc, count + 1)
for index = 3, #KEYS do run('SET', KEYS[index], stamp, 'PX', ARGV[2]) end
return 1
