-- KEYS: value, lease, value, lease, …
local removed = 0
for index = 1, #KEYS, 2 do
  local held = redis.pcall('GET', KEYS[index + 1])
  removed = removed + run('UNLINK', KEYS[index])
  run('UNLINK', KEYS[index + 1])
  wake(held, KEYS[index])
end
return removed
