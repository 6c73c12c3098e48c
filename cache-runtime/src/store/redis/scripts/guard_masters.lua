-- KEYS: runs, nonce, counter   ARGV: a new nonce, the runs that the masters are in…
-- A run that nobody has seen yet may have loaded a snapshot from before an invalidation, or be
-- of a replica that was promoted without having heard of it. So many runs are remembered as no
-- cluster has masters; forgetting them costs a new nonce.
local most = 1000
local unknown = {}
for index = 2, #ARGV do
  if try('SISMEMBER', KEYS[1], ARGV[index]) ~= 1 then unknown[#unknown + 1] = ARGV[index] end
end
if #unknown == 0 then return 0 end
local known = try('SMEMBERS', KEYS[1])
run('UNLINK', KEYS[1])
if not known.err and #known < most then
  for index = 1, #known do run('SADD', KEYS[1], known[index]) end
end
for index = 1, #unknown do run('SADD', KEYS[1], unknown[index]) end
begin_clock(KEYS[2], KEYS[3], ARGV[1], 0)
return 1
