-- The decision of `quota/shared/ledger.rs`, in the same words and in the same order.
--
-- KEYS: the hash of an API key; the sorted set of its processes.
-- ARGV: process, leaves, known, memory, until, lateness, cycle; the number of terms, and for each its name, max,
-- window, lag, heard, owed; the number of pauses, and for each its lane, since, wait; the number of
-- lanes, and for each its name, want, returns, the number of its costs, and for each the term (from 1) and the cost.
-- All times are whole microseconds.
-- The reply: now, members, lateness; the due of each term; for each lane first, apart (ns), n, paused, since.
local hash, set = KEYS[1], KEYS[2]
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local at = 0
local function text() at = at + 1 return ARGV[at] end
local function number() at = at + 1 return tonumber(ARGV[at]) end
local function whole(x) return string.format('%.0f', x) end
-- What the hash holds. A field may be missing, or be nonsense.
local function read(...)
  local values = redis.call('HMGET', hash, ...)
  for i = 1, #values do
    local value = tonumber(values[i] or nil)
    values[i] = value and value >= 0 and value < 9e15 and value or 0
  end
  return unpack(values)
end
local changed = {hash}
local function write(field, value)
  changed[#changed + 1] = field
  changed[#changed + 1] = whole(value)
end
-- The largest of the values that the processes have stated within the last minute.
local function widest(field, own, value, since)
  local age = now - since
  if value > own and age >= 0 and age < 60e6 then return value end
  if value ~= own or age < 0 or age >= 10e6 then
    write('w' .. field, own)
    write('a' .. field, now)
  end
  return own
end

local process, leaves, known, memory = text(), number() == 1, number(), number()
local valid, lateness, cycle = number(), number(), number()
-- A process that no longer waits for the reply may be on its own.
local stale = valid > 0 and now > valid
redis.call('ZADD', set, stale and now - 200001 or now, process)
redis.call('ZREMRANGEBYSCORE', set, '-inf', now - memory)
if leaves then redis.call('ZREM', set, process) end
local all = redis.call('ZCARD', set)
local here = redis.call('ZCOUNT', set, now - 200e3, '+inf')
local born, value, since, opens = read('g', 'wl', 'al', 'o')
local function closed() return now < opens and opens <= now + 150e3 end
if born == 0 then
  born = now
  write('g', now)
end
if known > all and now - born < 2e6 then all = known end
lateness = widest('l', lateness, value, since)

local terms = {}
for i = 1, number() do
  local name, max, window, lag, heard, owed =
    text(), number(), number(), number(), number(), number()
  local due, booked, credit, value, since =
    read('d' .. name, 'b' .. name, 'c' .. name, 'wi' .. name, 'ai' .. name)
  local late = math.max(lateness, math.min(window / 100, 50e3))
  local own = math.ceil((window + late + lag) * 1e3 / max)
  local interval = widest('i' .. name, own, value, since)
  local far = now + math.max(120e6, math.ceil(2 * window + 2 * all * interval / 1e3))
  if due > far then due = 0 end
  if heard > due and heard <= far then
    due = heard
    if known > 1 and not closed() then
      opens = now + 150e3
      write('o', opens)
    end
  end
  if booked > far then booked = 0 end
  owed = math.ceil(owed * interval / 1e3) - credit
  credit = math.min(math.max(-owed, 0), math.ceil(window / 16))
  if owed > 0 then due = math.min(math.max(due, now) + owed, far) end
  terms[i] = {name = name, interval = interval, lag = lag, due = due, booked = booked, credit = credit}
end

for i = 1, number() do
  local lane, since, wait = text(), number(), number()
  local paused, newest = read('p' .. lane, 's' .. lane)
  if paused > now + 3600e6 then paused = 0 end
  if since >= newest then newest = math.max(now, newest + 1) end
  paused = math.max(paused, now + math.min(wait, 3600e6))
  -- At once, since the same lane may ask below.
  redis.call('HSET', hash, 'p' .. lane, whole(paused), 's' .. lane, whole(newest))
end

if not closed() then opens = now end
local horizon = cycle / math.max(here, 1)
local replies = {}
local function reply(...)
  for _, value in ipairs({...}) do replies[#replies + 1] = value end
end
for i = 1, number() do
  local lane, want, returns = text(), number(), number() == 1
  if stale or opens > now then want = 0 end
  local costs = {}
  for j = 1, number() do
    local term, cost = terms[number()], number()
    costs[j] = {term = term, own = term.interval * cost}
  end
  local paused, newest = read('p' .. lane, 's' .. lane)
  local pause = paused
  if pause > now + 3600e6 then pause = 0 end
  local first, bound = math.max(opens, pause), 1
  for _, cost in ipairs(costs) do
    first = math.max(first, cost.term.due)
    bound = math.max(bound, cost.own)
  end
  local n = math.min(want, 1 + math.floor(horizon * 1e3 / bound))
  local apart = bound
  if here < all and n > 0 then
    apart = math.min(bound * all / here, bound + 250e6 * (1 - here / all) / n)
  end
  local slack
  for _, cost in ipairs(costs) do
    if cost.own < bound then
      n = math.min(n, 1 + math.floor(cost.term.lag * 1e3 / (apart - cost.own)))
      slack = math.min(slack or cost.term.lag, cost.term.lag)
    end
  end
  local come = first
  if slack and not returns then
    for _, cost in ipairs(costs) do come = math.max(come, cost.term.booked) end
  end
  if n <= 0 then
    reply(math.ceil(first), math.ceil(apart), 0, pause, newest)
  elseif slack and come - now > slack then
    if not returns then
      for _, cost in ipairs(costs) do
        local term = cost.term
        term.booked = math.ceil(math.max(term.booked, now) + n * cost.own / 1e3)
      end
    end
    reply(math.ceil(come - slack / 2), math.ceil(apart), 0, pause, newest)
  else
    local credit, least = math.huge, bound / 4
    for _, cost in ipairs(costs) do
      if cost.own >= bound then
        credit = math.min(credit, cost.term.credit)
      else
        least = math.max(least, cost.own)
      end
    end
    local sooner = math.floor(math.min(credit * 1e3 / n, apart - least))
    apart = apart - sooner
    local last = first + (n - 1) * apart / 1e3
    for _, cost in ipairs(costs) do
      local term, own = cost.term, cost.own
      if own >= bound then
        term.due = math.ceil(first + n * apart / 1e3)
      else
        term.due = math.ceil(math.max(math.max(term.due, first - term.lag) + n * own / 1e3,
          last - term.lag + own / 1e3))
      end
      if own >= bound then
        term.credit = math.ceil(math.max(term.credit - n * sooner / 1e3, 0))
      end
      if slack then
        local booked = math.ceil(term.booked + n * own / 1e3)
        term.booked = math.max(term.booked, math.min(term.due, booked))
      end
    end
    reply(math.ceil(first), math.ceil(apart), n, pause, newest)
  end
end

local result, furthest = {now, all, lateness}, now
for _, term in ipairs(terms) do
  write('d' .. term.name, term.due)
  write('b' .. term.name, term.booked)
  write('c' .. term.name, term.credit)
  furthest = math.max(furthest, term.due)
  result[#result + 1] = term.due
end
for _, value in ipairs(replies) do result[#result + 1] = value end
if #changed > 1 then redis.call('HSET', unpack(changed)) end
redis.call('PEXPIRE', hash, whole(math.ceil((furthest - now) / 1e3) + 3600e3))
redis.call('PEXPIRE', set, whole(math.ceil(memory / 1e3) + 1000))
return result
