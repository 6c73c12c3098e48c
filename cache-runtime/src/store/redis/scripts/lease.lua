-- KEYS: value, lease   ARGV: token, px, seen, inc, born, floor, force
-- 1 granted, 0 held, 2 the value is not what the caller saw
if ARGV[7] ~= '1' then
  if seen_at(KEYS[1]) ~= ARGV[3] then return 2 end
  local held = redis.pcall('GET', KEYS[2])
  -- A load of another incarnation, or older than a stamp it depends on, is doomed: nobody
  -- should wait for it.
  if type(held) == 'string' and string.sub(held, 34, 65) == ARGV[4] then
    local born = tonumber(string.sub(held, 67))
    if born and born >= tonumber(ARGV[6]) then return 0 end
  end
end
redis.call('UNLINK', KEYS[2])
redis.call('SET', KEYS[2], ARGV[1] .. ':' .. ARGV[4] .. ':' .. ARGV[5], 'PX', ARGV[2])
return 1
