-- KEYS: value, lease
-- ARGV: by, seen, whether what was seen is valid, inc, born, now, the new head up to `born`,
--       the envelope for an absent value, its px
-- {1, sum} done, {2} read again, {3} not a whole number, {4} overflow
local value = try('GET', KEYS[1])
if type(value) ~= 'string' then value = '' end
local usable = false
if value ~= '' then
  if seen_at(KEYS[1]) == ARGV[2] then
    usable = ARGV[3] == '1'
  else
    -- Written since the caller read. It counts as valid if the caller's own reading of the
    -- stamps says so: same incarnation, and not older than the counter was then.
    local inc, born, dead =
      string.match(value, '^{"token":"%x+","inc":"(%x+)","born":(%d+),"since":%d+,"fresh":%d+,"dead":(%d+),')
    if inc ~= ARGV[4] or tonumber(born) < tonumber(ARGV[5]) or tonumber(dead) <= tonumber(ARGV[6]) then
      return { 2 }
    end
    usable = true
  end
end
if not usable then
  run('UNLINK', KEYS[2])
  run('SET', KEYS[1], ARGV[8], 'PX', ARGV[9])
  return { 1, ARGV[1] }
end
local from = string.find(value, ',"since":', 1, true)
-- Numbers are always written as JSON. The bytes of another format may look like one.
local _, to = string.find(value, '","format":"json","value":', 1, true)
if not to then return { 3 } end
local number = string.sub(value, to + 1, -2)
if not string.find(number, '^%-?%d+$') then return { 3 } end
-- Lua's numbers are doubles; the server adds exactly. The lease's place serves as scratch: a
-- load that runs is overtaken by this write in any case.
run('UNLINK', KEYS[2])
run('SET', KEYS[2], number)
local sum = answer_of('INCRBY', KEYS[2], ARGV[1])
local exact = run('GET', KEYS[2])
run('UNLINK', KEYS[2])
if type(sum) == 'table' then
  if string.find(sum.err, 'overflow', 1, true) then return { 4 } end
  if string.find(sum.err, 'not an integer', 1, true) then return { 3 } end
  return sum
end
run('SET', KEYS[1], ARGV[7] .. string.sub(value, from, to) .. exact .. '}', 'KEEPTTL')
return { 1, exact }
