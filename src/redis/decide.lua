-- The decision of `quota/shared/ledger.rs`, in the same words and in the same order.
--
-- KEYS: the hash of an API key; the sorted set of its processes.
-- ARGV: process, leaves, known, memory, until, lateness, cycle; the number of reports, and for each its lane, learns,
-- requests, tokens, two paces with their epochs, the number of its events, and for each what, unit, since, wait,
-- at, amount; the number of terms, and for each its name, max, window, lag, heard, owed (if max is 0, window is
-- twice the place of a report, and 1 more for its pace of tokens); the number of lanes, and for each its report, want,
-- returns, the number of its costs, and for each the term and the cost. Places count from 1.
-- All times are whole microseconds, a pace is in picoseconds.
-- The reply: now, members, lateness; the due of each term; for each report learns, paused, since, the departed
-- requests and tokens, the paces, the number of events, and the events; for each lane first, apart (ns), n.
-- The hash: `h` = when it began, lateness, since, when it opens; `t`limit = due, booked, credit, interval, since; `p`lane = paused,
-- since; `l`lane = learner, until, departed requests, tokens, paces; `e`lane = events. All are doubles of 8 bytes.
local hash, set = KEYS[1], KEYS[2]
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local at = 0
local function text() at = at + 1 return ARGV[at] end
local function number() at = at + 1 return tonumber(ARGV[at]) end
local function whole(x) return string.format('%.0f', x) end
-- The fields that the call is about. They are read at once.
local fields, values = {'h'}, nil
local function field(name)
  fields[#fields + 1] = name
  return #fields
end
-- A field may be missing, or be nonsense.
local function sound(n) return n >= 0 and n < 9e15 and n or 0 end
local formats = {[2] = '<dd', [4] = '<dddd', [5] = '<ddddd', [8] = '<dddddddd'}
local function read(place, count)
  local value = values[place]
  if not value or #value ~= 8 * count then return 0, 0, 0, 0, 0, 0, 0, 0 end
  local a, b, c, d, e, f, g, h = struct.unpack(formats[count], value)
  -- After the numbers stands the place of the next one.
  a, b = sound(a), sound(b)
  if count > 2 then c, d = sound(c), sound(d) end
  if count > 4 then e = sound(e) end
  if count > 5 then f, g, h = sound(f), sound(g), sound(h) end
  return a, b, c, d, e, f, g, h
end
local changed = {hash}
local function write(place, count, ...)
  changed[#changed + 1] = fields[place]
  changed[#changed + 1] = struct.pack(formats[count], ...)
end
-- The largest of the values that the processes have stated within the last minute.
local function widest(own, value, since)
  local age = now - since
  if value > own and age >= 0 and age < 60e6 then return value, since end
  if value ~= own or age < 0 or age >= 10e6 then return own, now end
  return own, since
end

local process, leaves, known, memory = text(), number() == 1, number(), number()
local valid, lateness, cycle = number(), number(), number()
local reports, terms = {}, {}
for i = 1, number() do
  local lane = text()
  local of = {learns = number() == 1, requests = number(), tokens = number(), events = {},
    paces = {number(), number(), number(), number()}}
  for j = 1, number() do
    of.events[j] = {number(), number(), number(), number(), number(), number()}
  end
  of.pause, of.lane, of.heard = field('p' .. lane), field('l' .. lane), field('e' .. lane)
  reports[i] = of
end
for i = 1, number() do
  terms[i] = {place = field('t' .. text()), max = number(), window = number(), lag = number(),
    heard = number(), owed = number()}
end
values = redis.call('HMGET', hash, unpack(fields))

-- A process that no longer waits for the reply may be on its own.
local stale = valid > 0 and now > valid
redis.call('ZADD', set, stale and now - 200001 or now, process)
redis.call('ZREMRANGEBYSCORE', set, '-inf', now - memory)
if leaves then redis.call('ZREM', set, process) end
local all = redis.call('ZCARD', set)
local here = redis.call('ZCOUNT', set, now - 200e3, '+inf')
local born, value, since, opens = read(1, 4)
local function closed() return now < opens and opens <= now + 150e3 end
local head = {born > 0 and born or now, widest(lateness, value, since)}
head[4] = opens
lateness = head[2]
if known > all and now - head[1] < 2e6 then all = known end

local replies = {}
local function reply(...)
  local at = #replies
  for i = 1, select('#', ...) do replies[at + i] = (select(i, ...)) end
end
for _, of in ipairs(reports) do
  local paused, newest = read(of.pause, 2)
  local learner, learns_until, requests, tokens, x, ex, y, ey = read(of.lane, 8)
  if paused > now + 3600e6 then paused = 0 end
  requests = math.min(requests + of.requests, 1e15)
  tokens = math.min(math.max(tokens + of.tokens, 0), 1e15)
  if of.paces[2] > ex then x, ex = of.paces[1], of.paces[2] end
  if of.paces[4] > ey then y, ey = of.paces[3], of.paces[4] end
  local heard = values[of.heard] or ''
  if #heard % 48 ~= 0 or #heard > 32 * 48 then heard = '' end
  local before = heard
  for _, event in ipairs(of.events) do
    local what = event[1]
    if what ~= 4 then paused = math.max(paused, now + math.min(event[4], 3600e6)) end
    if what == 2 or what == 3 then
      if event[3] >= newest then newest = math.max(now, newest + 1) else what = 1 end
    end
    if what > 0 and #heard < 32 * 48 then
      heard = heard .. struct.pack('<dddddd', what, unpack(event, 2))
    end
  end
  local free = now >= learns_until or learns_until > now + 2e6
  local learns = of.learns and not stale and (free or learner == tonumber(process))
  if learns then learner, learns_until = tonumber(process), now + 2e6 end
  reply(learns and 1 or 0, paused, newest, requests, tokens, x, ex, y, ey)
  if learns then
    reply(#heard / 48)
    for place = 1, #heard, 48 do
      local event = {struct.unpack('<dddddd', heard, place)}
      for i = 1, 6 do reply(event[i] >= 0 and event[i] < 9e15 and event[i] or 0) end
    end
    heard = ''
  else
    reply(0)
  end
  write(of.pause, 2, paused, newest)
  write(of.lane, 8, learner, learns_until, requests, tokens, x, ex, y, ey)
  if heard ~= before then
    changed[#changed + 1] = fields[of.heard]
    changed[#changed + 1] = heard
  end
  of.paused, of.paces = paused, {x, y}
end

for _, term in ipairs(terms) do
  local due, booked, credit, value, since = read(term.place, 5)
  local window, interval = term.window, 0
  if term.max == 0 then
    local report = math.floor(window / 2)
    window, interval = 1e6, math.ceil(reports[report].paces[1 + window % 2] / 1e3)
  else
    local late = math.max(lateness, math.min(window / 100, 50e3))
    interval, since = widest(math.ceil((window + late + term.lag) * 1e3 / term.max), value, since)
    value = interval
  end
  local far = now + math.max(120e6, math.ceil(2 * window + 2 * all * interval / 1e3))
  local heard = term.heard
  if due > far then due = 0 end
  if heard > due and heard <= far then
    due = heard
    if known > 1 and not closed() then opens = now + 150e3 end
  end
  if booked > far then booked = 0 end
  local owed = math.ceil(term.owed * interval / 1e3) - credit
  credit = math.min(math.max(-owed, 0), math.ceil(window / 16))
  if owed > 0 then due = math.min(math.max(due, now) + owed, far) end
  term.interval, term.due, term.booked, term.credit = interval, due, booked, credit
  term.value, term.since = value, since
end

if born ~= head[1] or value ~= head[2] or since ~= head[3] or opens ~= head[4] then
  write(1, 4, head[1], head[2], head[3], opens)
end
if not closed() then opens = now end
local horizon = cycle / math.max(here, 1)
for i = 1, number() do
  local report, want, returns = number(), number(), number() == 1
  if stale or opens > now then want = 0 end
  local costs = {}
  for j = 1, number() do
    local term, cost = terms[number()], number()
    costs[j] = {term = term, own = term.interval * cost}
  end
  local first, bound = math.max(opens, reports[report].paused), 1
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
    reply(math.ceil(first), math.ceil(apart), 0)
  elseif slack and come - now > slack then
    if not returns then
      for _, cost in ipairs(costs) do
        local term = cost.term
        term.booked = math.ceil(math.max(term.booked, now) + n * cost.own / 1e3)
      end
    end
    reply(math.ceil(come - slack / 2), math.ceil(apart), 0)
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
    reply(math.ceil(first), math.ceil(apart), n)
  end
end

local result, furthest = {now, all, lateness}, now
for _, term in ipairs(terms) do
  write(term.place, 5, term.due, term.booked, term.credit, term.value, term.since)
  furthest = math.max(furthest, term.due)
  result[#result + 1] = term.due
end
for _, value in ipairs(replies) do result[#result + 1] = value end
if #changed > 1 then redis.call('HSET', unpack(changed)) end
redis.call('PEXPIRE', hash, whole(math.ceil((furthest - now) / 1e3) + 3600e3))
redis.call('PEXPIRE', set, whole(math.ceil(memory / 1e3) + 1000))
return result
