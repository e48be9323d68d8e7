"""Lua scripts that Redis runs for the review queue, each in one step."""

from typing import NamedTuple


class _Keys(NamedTuple):
    """Names of the queue's keys in Redis.

    The braces keep them together in a Redis Cluster.
    """

    stream: str = "guard:{review}:stream"  # records, by id
    ids: str = "guard:{review}:ids"  # ids, by key of the pixels
    pixels: str = "guard:{review}:pixels"  # keys of the pixels, by id
    counts: str = "guard:{review}:counts"  # how often the pixels came, by id
    images: str = "guard:{review}:images"
    bytes: str = "guard:{review}:bytes"  # total size of the images
    everything: str = "guard:{review}:all"  # ids, by time in microseconds
    open: str = "guard:{review}:open"
    ruled: str = "guard:{review}:ruled"  # ids, by time of the decision: the earliest go first
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
redis.call('ZADD', ruled, microseconds(0), id)
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
