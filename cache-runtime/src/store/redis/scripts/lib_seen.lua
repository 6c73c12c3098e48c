-- What a reader saw under a value's key: the token at its head, or, where something else is
-- stored, its first 16 bytes in hex, so that garbage can be told apart and overwritten too.
local function seen_at(key)
  local head = try('GETRANGE', key, 0, 42)
  if type(head) ~= 'string' then return '' end
  if string.len(head) == 43 and string.find(head, '^{"token":"[0-9a-f]+"$') then
    return string.sub(head, 11, 42)
  end
  local hex = string.gsub(string.sub(head, 1, 16), '.', function(byte)
    return string.format('%02x', string.byte(byte))
  end)
  if hex == '' then return '' end
  return hex .. string.rep('0', 32 - string.len(hex))
end
