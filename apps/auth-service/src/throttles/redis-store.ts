import type { Redis } from 'ioredis';
import type { Count, Counted, Denial, Lease, ThrottleStore } from './store.js';

// A counter is a hash of its failures, and a sorted set of its leases by their ends. Times are those of Redis, in
// microseconds: whole numbers, which a double holds exactly. Redis runs one script at a time, so nothing is locked.
const COMMON = `
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local function later(seconds) return now + math.floor(seconds * 1000000) end
local function digits(number) return string.format('%.0f', number) end
local function load(i)
  local counter = { hash = KEYS[2 * i - 1], leases = KEYS[2 * i] }
  redis.call('ZREMRANGEBYSCORE', counter.leases, '-inf', digits(now))
  counter.unsettled = redis.call('ZCARD', counter.leases)
  local fields = redis.call('HMGET', counter.hash, 'failures', 'failures_until', 'closed_until', 'known_until')
  local function live(i) local at = tonumber(fields[i] or 0) return at > now and at or nil end
  counter.failures_until, counter.closed_until, counter.known_until = live(2), live(3), live(4)
  counter.failures = counter.failures_until and tonumber(fields[1]) or 0
  return counter
end
local function from(lease, index) return tonumber(redis.call('ZRANGE', lease, index, index)[1]) end
`;

const SPEND = `${COMMON}
local quotas, leaseS, exempt = cjson.decode(ARGV[1]), tonumber(ARGV[2]), ARGV[3] == 'true'
local lease, taken, counters = later(leaseS), {}, {}
for i, quota in ipairs(quotas) do
  local counter = load(i)
  if i == 1 and counter.known_until then exempt = true end
  if not counter.closed_until and counter.unsettled < math.min(1000, quota - counter.failures % quota) then
    table.insert(taken, i)
    if counter.unsettled > 0 then lease = math.max(lease, from(counter.leases, -1) + 1) end
    counters[#taken] = counter
  elseif i == 1 or not exempt then
    local waits = counter.closed_until and counter.closed_until - now
      or math.min(from(counter.leases, 0) - now, leaseS * 1000000 - (from(counter.leases, -1) - now))
    return cjson.encode({ refused = i, refusedS = waits / 1000000, isClosed = counter.closed_until ~= nil })
  end
end
for _, counter in ipairs(counters) do
  redis.call('ZADD', counter.leases, digits(lease), digits(lease))
  redis.call('PEXPIREAT', counter.leases, math.ceil(lease / 1000))
end
return cjson.encode({ lease = digits(lease), taken = taken })
`;

const SETTLE = `${COMMON}
local counts, lease = {}, ARGV[2]
for i, settled in ipairs(cjson.decode(ARGV[1])) do
  local counter = load(i)
  local isDue = redis.call('ZREM', counter.leases, lease) == 1
  if isDue then counter.unsettled = counter.unsettled - 1 end
  isDue = isDue or tonumber(lease) <= now
  local block = nil
  if settled.failed and isDue then
    counter.failures = counter.failures + 1
    counter.failures_until = counter.failures_until or later(settled.memory)
    if counter.failures % settled.quota == 0 then
      counter.closed_until = counter.failures_until
      if settled.longest then
        local times = 2 ^ math.min(30, counter.failures / settled.quota - 1)
        counter.closed_until = later(math.min(settled.longest, settled.wait * times))
      end
      block = counter.closed_until - now
    end
  elseif settled.forgiven and isDue then
    counter.failures, counter.failures_until, counter.closed_until = 0, nil, nil
  end
  if settled.known then counter.known_until = later(settled.known) end

  local last = math.max(counter.failures_until or 0, counter.closed_until or 0, counter.known_until or 0)
  if last == 0 then
    redis.call('DEL', counter.hash)
  else
    redis.call('HSET', counter.hash, 'failures', counter.failures, 'failures_until', digits(counter.failures_until or 0),
      'closed_until', digits(counter.closed_until or 0), 'known_until', digits(counter.known_until or 0))
    redis.call('PEXPIREAT', counter.hash, math.ceil(last / 1000))
  end
  local left = math.max(0, settled.quota - counter.failures % settled.quota - counter.unsettled)
  counts[i] = {
    left = counter.closed_until and 0 or left,
    resetsS = counter.failures_until and (counter.failures_until - now) / 1000000 or cjson.null,
    blockS = block and block / 1000000 or cjson.null,
  }
end
return cjson.encode(counts)
`;

const READ = `${COMMON}
local counted = {}
for i = 1, #KEYS / 2 do
  local counter = load(i)
  local blockedS = counter.closed_until and (counter.closed_until - now) / 1000000 or cjson.null
  counted[i] = { failures = counter.failures, blockedS = blockedS }
end
return cjson.encode(counted)
`;

/** Counts attempts in Redis, by scripts. */
export function createRedisStore(redis: Redis): ThrottleStore {
  /** Runs a script; its text is sent only when Redis does not have it. */
  const define = (name: string, lua: string) => {
    redis.defineCommand(name, { lua });
    const command = (redis as unknown as Record<string, (...args: (string | number)[]) => Promise<string>>)[name];
    return async (keys: string[], ...args: string[]) => {
      const names = keys.flatMap(key => [`throttle:${key}`, `throttle:${key}:leases`]);
      return JSON.parse((await command?.call(redis, names.length, ...names, ...args)) as string);
    };
  };
  const spend = define('spendAttempt', SPEND);
  const settle = define('settleAttempt', SETTLE);
  const read = define('readCounters', READ);

  return {
    async spend(claims, leaseS, isExempt): Promise<Lease | Denial> {
      const keys = claims.map(({ key }) => key);
      const quotas = JSON.stringify(claims.map(({ quota }) => quota));
      const { refused, taken, ...spent } = await spend(keys, quotas, String(leaseS), String(isExempt));
      if (refused) return { ...spent, refusedBy: keys[refused - 1] };
      return { ...spent, taken: taken.map((i: number) => keys[i - 1]) };
    },
    async settle(lease, settlements): Promise<Count[]> {
      const keys = settlements.map(({ key }) => key);
      const counts: Omit<Count, 'key'>[] = await settle(keys, JSON.stringify(settlements), lease ?? '0');
      return counts.map((count, i) => ({ ...count, key: keys[i] as string }));
    },
    async read(keys) {
      if (keys.length === 0) return [];
      const counted: Omit<Counted, 'key'>[] = await read(keys);
      return counted
        .map((counter, i) => ({ key: keys[i] as string, ...counter }))
        .filter(({ failures }) => failures > 0);
    },
  };
}
