-- A lease that was seized says so where others have nonce and counter, if the stamps are missing or on
-- another node of a cluster: then they are read beside it.
local seized = ':seized'

local function is_seized(lease)
  return type(lease) == 'string' and string.sub(lease, 33, 39) == seized
end
