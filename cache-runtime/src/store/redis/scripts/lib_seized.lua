-- A lease that was seized says so where others have nonce and counter: the stamps may be on another
-- server, so they are read beside it.
local seized = ':seized'

local function is_seized(lease)
  return type(lease) == 'string' and string.sub(lease, 33, 39) == seized
end
