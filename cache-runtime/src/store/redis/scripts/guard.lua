-- KEYS: run id, nonce, counter   ARGV: a new nonce
-- Another run of the server may have loaded a snapshot from before an invalidation. So may a master
-- that was demoted and took over the data of the next one: promoted again it is the same run, with
-- another id of its replication.
local info = run('INFO', 'server') .. run('INFO', 'replication')
local now = (string.match(info, 'run_id:(%x+)') or '') .. ':' .. (string.match(info, 'master_replid:(%x+)') or '')
if try('GET', KEYS[1]) == now then return 0 end
run('UNLINK', KEYS[1])
run('SET', KEYS[1], now)
begin_clock(KEYS[2], KEYS[3], ARGV[1], 0)
return 1
