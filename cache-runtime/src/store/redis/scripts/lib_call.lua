-- What a command answers, an error included. One about a right names the command here: Redis 7.0 does
-- not say which it was.
local function answer_of(command, ...)
  local answer = redis.pcall(command, ...)
  local refusal = type(answer) == 'table' and answer.err
  if not refusal then return answer end
  local denied = string.find(refusal, "can't run this command", 1, true)
    or string.find(refusal, 'no permissions to run', 1, true)
  if not denied then return answer end
  return { err = "NOPERM this user has no permissions to run the '" .. string.lower(command) .. "' command", denied = true }
end

-- The same for what is no error here, whatever is stored. What may not be looked at must not pass for absent.
local function try(command, ...)
  local answer = answer_of(command, ...)
  if type(answer) == 'table' and answer.denied then error(answer) end
  return answer
end

-- A command that must succeed.
local function run(command, ...)
  local answer = answer_of(command, ...)
  if type(answer) == 'table' and answer.err then error(answer) end
  return answer
end
