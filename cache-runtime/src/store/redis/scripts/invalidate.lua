-- KEYS: value, lease, value, lease, …
local removed = 0
for index = 1, #KEYS, 2 do
  removed = removed + redis.call('UNLINK', KEYS[index])
  redis.call('UNLINK', KEYS[index + 1])
end
return removed
