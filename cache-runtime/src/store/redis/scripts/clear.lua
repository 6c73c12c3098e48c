-- KEYS: nonce, counter   ARGV: a new nonce
begin_clock(KEYS[1], KEYS[2], ARGV[1], 0)
return 1
