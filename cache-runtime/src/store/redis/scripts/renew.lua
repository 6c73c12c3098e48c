-- KEYS: lease   ARGV: token, px
local held = try('GET', KEYS[1])
if type(held) ~= 'string' or string.sub(held, 1, 32) ~= ARGV[1] then return 0 end
return run('PEXPIRE', KEYS[1], ARGV[2])
