-- The slots of one host, for all processes. Called with an operation; every operation is one atomic step.
--
-- KEYS[1] hash:  last start, end of the pause, failures in a row and the last of them, crawl-delay, mean duration
-- KEYS[2] zset:  requests in flight, lease -> time at which it ends by itself
-- KEYS[3] zset:  reservations, token -> time of its slot
-- All times are milliseconds of this server's clock, so that the clocks of the workers do not matter.

local host, leases, reservations = KEYS[1], KEYS[2], KEYS[3]
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

-- The first time from `start` on that is `spacing` away from every reservation, less what the caller would wait.
local function gap(start, spacing, max_wait)
  spacing = math.max(spacing - max_wait, 1)
  local taken = redis.call('ZRANGEBYSCORE', reservations, '(' .. (start - spacing), '+inf', 'WITHSCORES')
  for i = 2, #taken, 2 do
    local other = tonumber(taken[i])
    if other - start >= spacing then
      break
    end
    start = math.max(start, other + spacing + max_wait)
  end
  return start
end

local operation = {}

-- Returns {1, milliseconds to sleep, now} or {0, milliseconds to stay away, now}.
function operation.acquire(lease, token, delay, connections, life, max_wait, horizon, grace, is_redirect)
  delay = math.max(tonumber(delay), get('crawl_delay'))
  connections, life, max_wait = tonumber(connections), tonumber(life), tonumber(max_wait)
  local pause = get('pause')
  if pause > now then
    return {0, math.ceil(pause - now), now}
  end
  redis.call('ZREMRANGEBYSCORE', leases, '-inf', now)
  redis.call('ZREMRANGEBYSCORE', reservations, '-inf', now - tonumber(grace))
  local mine = tonumber(redis.call('ZSCORE', reservations, token))
  redis.call('ZREM', reservations, token)

  -- The target of a redirect takes over the lease of the redirect.
  redis.call('ZREM', leases, lease)
  local full = connections > 0 and redis.call('ZCARD', leases) >= connections
  local spacing = math.max(delay, connections > 0 and get('duration') / connections or 0, 1)
  local earliest = math.max(now, get('last') + delay)
  local slot
  if full then
    slot = gap(math.max(earliest, now + spacing), spacing, max_wait)
  elseif is_redirect == '1' then
    slot = earliest
  elseif mine and (mine > now + max_wait or earliest <= now + max_wait) then
    slot = math.max(mine, earliest)
  else
    slot = gap(earliest, spacing, max_wait)
  end

  if is_redirect == '1' and not full then
    -- A longer wait would hold the worker: it goes at once, and those after it wait for both.
    set('last', slot)
    slot = slot <= now + max_wait and slot or now
  elseif full or slot > now + max_wait then
    if slot <= now + tonumber(horizon) then
      redis.call('ZADD', reservations, slot, token)
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

-- A request is over. `outcome`: 'ok', 'fault', 'throttled', or '' when it says nothing about the host.
-- Returns for how many milliseconds the host is left alone.
function operation.release(lease, started, outcome, retry_after, first, longest, tolerated)
  started = tonumber(started)
  redis.call('ZREM', leases, lease)
  if outcome == '' then
    return 0
  end
  set('duration', get('duration') * 0.8 + (now - started) * 0.2)
  keep()
  -- Requests that were in flight at the last failure tell nothing new.
  local is_new = started > get('event')
  if outcome == 'ok' then
    if is_new then
      redis.call('HDEL', host, 'streak')
    end
    return 0
  end
  local wait = tonumber(retry_after)
  if is_new then
    local steps = redis.call('HINCRBY', host, 'streak', 1) - tonumber(tolerated)
    wait = math.max(wait, steps > 0 and math.min(tonumber(first) * 2 ^ (steps - 1), tonumber(longest)) or 0)
    set('event', now)
  end
  if wait > 0 then
    set('pause', math.max(get('pause'), now + math.ceil(wait)))
    redis.call('DEL', reservations)
  end
  return math.ceil(wait)
end

function operation.set_crawl_delay(delay)
  set('crawl_delay', delay)
  keep()
  return 0
end

return operation[ARGV[1]](unpack(ARGV, 2))
