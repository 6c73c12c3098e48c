-- KEYS: nonce, counter, tags…   ARGV: a new nonce, how long the tags must live, their margin
-- Makes what is missing and answers nonce, counter and tags as they are then. A tag that was
-- lost gets the present counter: entries from before any later invalidation stay invalid.
local inc, count = clock_of(KEYS[1], KEYS[2])
if not inc then
  inc, count = ARGV[1], 0
  begin_clock(KEYS[1], KEYS[2], inc, count)
end
local now = string.format('%s:%.0f', inc, count)
local needed, margin = tonumber(ARGV[2]), tonumber(ARGV[3])
local life = string.format('%.0f', needed + margin)
local answer = { inc, now }
for index = 3, #KEYS do
  local stamp = try('GET', KEYS[index])
  if type(stamp) ~= 'string' or string.sub(stamp, 1, 33) ~= inc .. ':' then
    stamp = now
    run('UNLINK', KEYS[index])
    run('SET', KEYS[index], stamp, 'PX', life)
  else
    local left = run('PTTL', KEYS[index])
    if left >= 0 and left < needed then run('PEXPIRE', KEYS[index], life) end
  end
  answer[index] = stamp
end
return answer
