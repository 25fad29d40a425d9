-- What nodes owe to the buckets that they share, what they have learned, and which of their messages may go: in one
-- step, by the clock of this server. All numbers are whole microseconds; moments stay inside, spans go in and out.
--
-- KEYS: those of `scopes`, then of `pairs`, then of `flights`.
-- ARGV[1]: {node, stale, scopes: [[debt, whole_in, rests_in]], pairs: [[debt, rests_in]], flights: [own],
--   messages: [[scope, ahead, interval, pair or 0, pair ahead, pair interval, flight, limit]]}
-- The answer: 1 or 0 for each message, [owes, whole_in, rests_in] of each scope, what each pair owes, and how many
-- calls the other nodes have under way on each channel.
local ask = cjson.decode(ARGV[1])
local clock = redis.call('TIME')
local now = clock[1] * 1000000 + clock[2]

local function text(number) return string.format('%.0f', number) end
local function left(moment) return math.max(moment - now, 0) end
local function pay(paid, debt)
  if debt > 0 then return math.max(paid, now) + debt end
  return paid + debt
end

local scopes, pairs_, flights = {}, {}, {}
local at = 0
for i, told in ipairs(ask.scopes) do
  at = at + 1
  local seen = redis.call('HMGET', KEYS[at], 'paid', 'whole', 'rests')
  scopes[i] = {
    key = KEYS[at],
    paid = pay(tonumber(seen[1]) or 0, told[1]),
    whole = math.max(tonumber(seen[2]) or 0, now + told[2]),
    rests = math.max(tonumber(seen[3]) or 0, now + told[3]),
  }
end
for i, told in ipairs(ask.pairs) do
  at = at + 1
  local paid = pay(tonumber(redis.call('GET', KEYS[at])) or 0, told[1])
  pairs_[i] = { key = KEYS[at], paid = math.max(paid, now + told[2]) }
end
for i, own in ipairs(ask.flights) do
  at = at + 1
  local others = 0
  local seen = redis.call('HGETALL', KEYS[at])
  for n = 1, #seen, 2 do
    local count, told_at = string.match(seen[n + 1], '^(%d+) (%d+)$')
    if not told_at or now - tonumber(told_at) > ask.stale then
      redis.call('HDEL', KEYS[at], seen[n])
    elseif seen[n] ~= ask.node then
      others = others + tonumber(count)
    end
  end
  flights[i] = { key = KEYS[at], own = own, others = others }
end

local answer = {}
for i, message in ipairs(ask.messages) do
  local scope, pair, flight = scopes[message[1]], pairs_[message[4]], flights[message[7]]
  local goes = scope.rests <= now and scope.paid - message[2] <= now
    and (not pair or pair.paid - message[5] <= now)
    and flight.own + flight.others < message[8]
  if goes then
    scope.paid = pay(scope.paid, message[3])
    if pair then pair.paid = pay(pair.paid, message[6]) end
    flight.own = flight.own + 1
  end
  answer[i] = goes and 1 or 0
end

for _, scope in ipairs(scopes) do
  local until_ = math.max(scope.paid, scope.whole, scope.rests)
  redis.call('HSET', scope.key, 'paid', text(scope.paid), 'whole', text(scope.whole), 'rests', text(scope.rests))
  redis.call('PEXPIRE', scope.key, text(math.ceil(left(until_) / 1000) + 1000))
  answer[#answer + 1] = left(scope.paid)
  answer[#answer + 1] = left(scope.whole)
  answer[#answer + 1] = left(scope.rests)
end
for _, pair in ipairs(pairs_) do
  local owes = left(pair.paid)
  if owes > 0 then
    redis.call('SET', pair.key, text(pair.paid), 'PX', text(math.ceil(owes / 1000)))
  else
    redis.call('DEL', pair.key)
  end
  answer[#answer + 1] = owes
end
for _, flight in ipairs(flights) do
  if flight.own > 0 then
    redis.call('HSET', flight.key, ask.node, text(flight.own) .. ' ' .. text(now))
  else
    redis.call('HDEL', flight.key, ask.node)
  end
  redis.call('PEXPIRE', flight.key, text(math.ceil(ask.stale / 1000)))
  answer[#answer + 1] = flight.others
end
return answer
