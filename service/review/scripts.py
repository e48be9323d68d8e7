"""What Redis does in one step for the review queue, in its own language (Lua)."""

from typing import NamedTuple


class _Keys(NamedTuple):
    """Every name the queue has in Redis. The braces keep them together in a Redis Cluster."""

    stream: str = "guard:{review}:stream"  # the records, by id
    ids: str = "guard:{review}:ids"  # pixels to id
    pixels: str = "guard:{review}:pixels"  # and back
    counts: str = "guard:{review}:counts"  # how often they came, by id
    images: str = "guard:{review}:images"
    bytes: str = "guard:{review}:bytes"  # how many these are
    everything: str = "guard:{review}:all"  # ids, by time in microseconds
    open: str = "guard:{review}:open"
    ruled: str = "guard:{review}:ruled"  # ids, by when they were decided: those that were first go first
    rulings: str = "guard:{review}:rulings"


KEYS = _Keys()

_HEAD = """
local stream, ids, pixels, counts, images, bytes, all, open, ruled, rulings = unpack(KEYS)
local most, milliseconds, most_bytes = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])

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

local function microseconds(less)
    local time = redis.call('TIME')
    return string.format('%.0f', time[1] * 1e6 + time[2] - less)
end

local function trim()
    local limit = microseconds(milliseconds * 1000)
    for _, id in ipairs(redis.call('ZRANGEBYSCORE', all, '-inf', '(' .. limit, 'LIMIT', 0, 1000)) do drop(id) end
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
"""Pixels, record, image or nothing, how often it came: 1 where it is new and queued; else it is counted, and 0."""

RULE = (
    _HEAD
    + """
local id, ruling = ARGV[4], ARGV[5]
trim()
if not redis.call('ZSCORE', all, id) then return 0 end
redis.call('ZREM', open, id)
redis.call('ZADD', ruled, microseconds(0), id)
redis.call('HSET', rulings, id, ruling)
trim()
return 1
"""
)
"""Id, ruling: 0 where the entry is gone."""

REMOVE = (
    _HEAD
    + """
trim()
if not redis.call('ZSCORE', all, ARGV[4]) then return 0 end
drop(ARGV[4])
return 1
"""
)
"""Id: 0 where the entry is gone already."""

TRIM = _HEAD + "trim()"
"""Lets go of what is too old or too much."""
