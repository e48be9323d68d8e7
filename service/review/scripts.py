"""Lua scripts that Redis runs for the review queue, each in one step."""

from typing import NamedTuple


class Keys(NamedTuple):
    """Names of the queue's keys in Redis."""

    stream: str  # records, by id
    ids: str  # ids, by key of the pixels
    pixels: str  # keys of the pixels, by id
    counts: str  # how often the pixels came, by id
    images: str
    bytes: str  # total size of the images
    everything: str  # ids, by time in microseconds
    open: str
    ruled: str  # ids, by time of the decision: the earliest go first
    rulings: str
    clock: str  # when the queue was last trimmed, and until when nothing is too old
    most_entries: str
    most_milliseconds: str
    most_bytes: str


def keys_of(prefix: str) -> Keys:
    """Return the names of the keys of one deployment.

    The braces keep them together in a Redis Cluster.
    """
    named = {"everything": "all"}
    return Keys(
        *(f"{prefix}:{{review}}:{named.get(field, field.replace('_', '-'))}" for field in Keys._fields)
    )


_HEAD = """
local stream, ids, pixels, counts, images, bytes, all, open, ruled, rulings, clock = unpack(KEYS, 1, 11)

-- The largest limit that any replica has counts, so that one with less room drops nothing of the
-- others'. It is forgotten an hour after the last replica that has it.
local function agreed(number)
    local own, kept = ARGV[number], redis.call('GET', KEYS[11 + number])
    if tonumber(own) < tonumber(kept or 0) then return tonumber(kept) end
    redis.call('SET', KEYS[11 + number], own, 'EX', 3600)
    return tonumber(own)
end
local most, milliseconds, most_bytes = agreed(1), agreed(2), agreed(3)

local function drop(id)
    local of = redis.call('HGET', pixels, id)
    if of then redis.call('HDEL', ids, of) end
    redis.call('DECRBY', bytes, redis.call('HSTRLEN', images, id))
    redis.call('XDEL', stream, id)
    for _, hash in ipairs({pixels, counts, images, rulings}) do redis.call('HDEL', hash, id) end
    for _, set in ipairs({all, open, ruled}) do redis.call('ZREM', set, id) end
end

local function oldest(set, count)
    return redis.call('ZRANGE', set, 0, count - 1)
end

local time = redis.call('TIME')
local now = time[1] * 1e6 + time[2]

-- A clock that leaps ahead makes everything old at once. Servers trim every second, so after a
-- leap, or after an hour without a server, nothing is too old for an hour: time to set it right.
local function may_age()
    local seen, hold = unpack(redis.call('HMGET', clock, 'seen', 'hold'))
    seen, hold = tonumber(seen or now), tonumber(hold or 0)
    if now - seen > 3600e6 then hold = now + 3600e6 end
    if now < seen then hold = 0 end
    redis.call('HSET', clock, 'seen', string.format('%.0f', now), 'hold', string.format('%.0f', hold))
    return now >= hold
end

local function trim()
    local limit = string.format('%.0f', now - milliseconds * 1000)
    if may_age() then
        for _, id in ipairs(redis.call('ZRANGEBYSCORE', all, '-inf', '(' .. limit, 'LIMIT', 0, 1000)) do drop(id) end
    end
    for _, set in ipairs({open, ruled}) do
        local over = redis.call('ZCARD', set) - most
        if over > 0 then
            for _, id in ipairs(oldest(set, math.min(over, 1000))) do drop(id) end
        end
    end
    while tonumber(redis.call('GET', bytes) or 0) > most_bytes do
        local id = oldest(open, 1)[1] or oldest(ruled, 1)[1]
        if not id then break end
        drop(id)
    end
end
"""

ADD = (
    _HEAD
    + """
local key, record, image, count = ARGV[4], ARGV[5], ARGV[6], ARGV[7]
trim()
local known = redis.call('HGET', ids, key)
if known then
    redis.call('HINCRBY', counts, known, count)
    return 0
end
local id = redis.call('XADD', stream, '*', 'record', record)
local ms, number = string.match(id, '^(%d+)-(%d+)$')
local at = string.format('%.0f', ms * 1000 + math.min(tonumber(number), 999))
redis.call('HSET', ids, key, id)
redis.call('HSET', pixels, id, key)
redis.call('HSET', counts, id, count)
if #image > 0 then
    redis.call('HSET', images, id, image)
    redis.call('INCRBY', bytes, #image)
end
redis.call('ZADD', all, at, id)
redis.call('ZADD', open, at, id)
trim()
return 1
"""
)
"""Script that queues an input.
Takes the key of the pixels, the record, the image or nothing, and how often the input came. Returns
1 where it is new and queued, else 0 after counting it."""

RULE = (
    _HEAD
    + """
local id, ruling = ARGV[4], ARGV[5]
trim()
if not redis.call('ZSCORE', all, id) then return 0 end
redis.call('ZREM', open, id)
redis.call('ZADD', ruled, string.format('%.0f', now), id)
redis.call('HSET', rulings, id, ruling)
trim()
return 1
"""
)
"""Script that records a decision.
Takes the id and the ruling. Returns 1, or 0 where the entry is gone."""

REMOVE = (
    _HEAD
    + """
trim()
if not redis.call('ZSCORE', all, ARGV[4]) then return 0 end
drop(ARGV[4])
return 1
"""
)
"""Script that removes an entry.
Takes the id. Returns 1, or 0 where the entry is gone already."""

TRIM = _HEAD + "trim()"
"""Script that removes entries that are too old or too many."""
