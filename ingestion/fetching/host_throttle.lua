-- The turns of one host, for all processes. Called with an operation; every operation is one atomic step.
--
-- KEYS[1] hash:  last start, pause, streaks and events of back-off, crawl-delay, mean duration
-- KEYS[2] zset:  leases, lease -> time at which it ends by itself
-- KEYS[3] zset:  reservations, token -> time of its slot
-- All times are milliseconds of this server's clock, so that the clocks of the workers do not matter.

local host, leases, slots = KEYS[1], KEYS[2], KEYS[3]
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)

local function get(field)
  return tonumber(redis.call('HGET', host, field)) or 0
end

local function set(...)
  redis.call('HSET', host, ...)
end

local function keep()
  for _, key in ipairs(KEYS) do
    redis.call('PEXPIRE', key, 86400000)
  end
end

-- The first time from `start` on that keeps its distance from every reservation, but for what a nap makes up for.
local function gap(start, spacing, nap)
  spacing = math.max(spacing - nap, 1)
  local taken = redis.call('ZRANGEBYSCORE', slots, '(' .. (start - spacing), '+inf', 'WITHSCORES')
  for i = 2, #taken, 2 do
    local other = tonumber(taken[i])
    if other - start >= spacing then
      break
    end
    start = math.max(start, other + spacing + nap)
  end
  return start
end

local operation = {}

-- Returns {1, milliseconds to sleep, now} or {0, milliseconds to stay away, now}.
function operation.take(lease, token, delay, connections, life, nap, horizon, grace, following)
  delay = math.max(tonumber(delay), get('crawl_delay'))
  connections, life, nap = tonumber(connections), tonumber(life), tonumber(nap)
  local pause = get('pause')
  if pause > now then
    return {0, math.ceil(pause - now), now}
  end
  redis.call('ZREMRANGEBYSCORE', leases, '-inf', now)
  redis.call('ZREMRANGEBYSCORE', slots, '-inf', now - tonumber(grace))
  local mine = tonumber(redis.call('ZSCORE', slots, token))
  redis.call('ZREM', slots, token)

  -- The target of a redirect takes over the lease of the redirect.
  redis.call('ZREM', leases, lease)
  local full = connections > 0 and redis.call('ZCARD', leases) >= connections
  local spacing = math.max(delay, connections > 0 and get('duration') / connections or 0, 1)
  local earliest = math.max(now, get('last') + delay)
  local slot
  if full then
    slot = gap(math.max(earliest, now + spacing), spacing, nap)
  elseif following == '1' then
    slot = earliest
  elseif mine and (mine > now + nap or earliest <= now + nap) then
    slot = math.max(mine, earliest)
  else
    slot = gap(earliest, spacing, nap)
  end

  if following == '1' and not full then
    -- A longer wait would hold the worker: it goes at once, and those after it wait for both.
    set('last', slot)
    slot = slot <= now + nap and slot or now
  elseif full or slot > now + nap then
    if slot <= now + tonumber(horizon) then
      redis.call('ZADD', slots, slot, token)
      keep()
    end
    return {0, math.ceil(slot - now), now}
  else
    set('last', slot)
  end
  redis.call('ZADD', leases, slot + life, lease)
  keep()
  return {1, math.ceil(slot - now), now}
end

-- A turn is over. `outcome`: 'ok', 'fault', 'throttled', or '' when it says nothing of the host.
function operation.give(lease, started, outcome, wish, base, limit, free)
  started = tonumber(started)
  redis.call('ZREM', leases, lease)
  if outcome == '' then
    return 0
  end
  set('duration', get('duration') * 0.8 + (now - started) * 0.2)
  keep()
  -- Requests that were on their way when the last event came tell nothing new.
  local news = started > get('event')
  if outcome == 'ok' then
    if news then
      redis.call('HDEL', host, 'streak')
    end
    return 0
  end
  local wait = tonumber(wish)
  if news then
    local steps = redis.call('HINCRBY', host, 'streak', 1) - tonumber(free)
    wait = math.max(wait, steps > 0 and math.min(tonumber(base) * 2 ^ (steps - 1), tonumber(limit)) or 0)
    set('event', now)
  end
  if wait > 0 then
    set('pause', math.max(get('pause'), now + math.ceil(wait)))
    redis.call('DEL', slots)
  end
  return math.ceil(wait)
end

function operation.crawl_delay(delay)
  set('crawl_delay', delay)
  keep()
  return 0
end

return operation[ARGV[1]](unpack(ARGV, 2))
