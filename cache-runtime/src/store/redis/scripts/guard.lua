-- KEYS: run id, nonce, counter   ARGV: a new nonce
-- Another run of the server may have loaded a snapshot from before an invalidation.
local run = string.match(redis.call('INFO', 'server'), 'run_id:(%x+)') or ''
if redis.pcall('GET', KEYS[1]) == run then return 0 end
redis.call('UNLINK', KEYS[1])
redis.call('SET', KEYS[1], run)
begin_clock(KEYS[2], KEYS[3], ARGV[1], 0)
return 1
