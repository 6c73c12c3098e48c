-- A lease that others wait for ends with this mark.
local waited_for = ':w'

local function is_waited_for(lease)
  return type(lease) == 'string' and string.sub(lease, -2) == waited_for
end

-- Tells those who wait that a lease is gone, on the channel of its namespace, which is what
-- stands before the first `:` of a value's name. Nothing depends on it: it may be refused.
local function wake(lease, value_key)
  if is_waited_for(lease) then
    redis.pcall('PUBLISH', 'wake:{' .. string.match(value_key, '^[^:]*') .. '}', value_key)
  end
end
