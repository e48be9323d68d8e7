"""Lua script that remembers a query and finds its near relatives, in one step."""

LOOK = """
local base, rows_key, table_key, details_key = KEYS[1], KEYS[1] .. ':r', KEYS[1] .. ':t', KEYS[1] .. ':d'
local capacity, seconds, reach, edits = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local most_sequences, most_answers, most_callers = tonumber(ARGV[5]), tonumber(ARGV[6]), tonumber(ARGV[7])
local news = cjson.decode(ARGV[8])
local digest, sketch, windows, places, tags = ARGV[9], ARGV[10], ARGV[11], ARGV[12], ARGV[13]
local twins, caller, request, detail = tonumber(ARGV[14]), ARGV[15], ARGV[16], ARGV[17]

-- A row: number, time, digest, number of the sequence, label, confidence and alarm in its head, then
-- the id of the request (32 bytes), windows (64) and sketch (128).
local HEAD, ROW, REQUEST, WINDOWS, SKETCH = '<ddc8difB', 265, 42, 74, 138
-- Pages of rows and of buckets stay below 64 KiB, a size in which Redis' allocator deals.
local ROWS, BUCKETS, BUCKET = 247, 4095, 16
-- The latest queries have a row of their number and their detail besides, where that is not their sketch.
local DETAILS, DETAIL, DETAILED = 481, 136, math.max(math.floor(capacity / 16), 16)
-- A query is compared with so many, the latest first, until it has so many relatives.
local MOST_COMPARED, ENOUGH = 64, 4
-- Details of the latest queries of a sequence that are kept with it, in bytes.
local LATEST = 2048

-- What is remembered expires soon: it is neither written to the append-only file nor sent to replicas,
-- to which it would be some 4 KB a query.
redis.set_repl(redis.REPL_NONE)

local time = redis.call('TIME')
local now = time[1] + time[2] / 1e6
local life = math.ceil(seconds * 1000)

local function text(number) return string.format('%.0f', number) end

local function stamp(time) return string.format('%.3f', time) end

-- Key of the page that holds a place, and where in it that begins.
local function page_at(name, place, places, size)
    local page = math.floor(place / places)
    return name .. text(page), (place - page * places) * size
end

local function row_at(number) return page_at(rows_key, number % capacity, ROWS, ROW) end

local function detail_at(number) return page_at(details_key, number % DETAILED, DETAILS, DETAIL) end

-- Detail of a query, empty where it is not known.
local function detail_of(number)
    local key, at = detail_at(number)
    local row = redis.call('GETRANGE', key, at, at + DETAIL - 1)
    return #row == DETAIL and struct.unpack('<d', row) == number and string.sub(row, 9) or ''
end

local function write(key, at, value, size, there)
    -- A page is made in its full size at once: one that grows takes twice its size.
    if not there then redis.call('SETRANGE', key, size - 1, '\\0') end
    redis.call('SETRANGE', key, at, value)
    redis.call('PEXPIRE', key, life)
end

-- Row of a query, and what is in its head; nil where it is forgotten.
local function row_of(number)
    local key, at = row_at(number)
    local row = redis.call('GETRANGE', key, at, at + ROW - 1)
    if #row < ROW then return nil end
    local own, began, marks, sequence, label, confidence, alarm = struct.unpack(HEAD, row)
    if own ~= number or now - began > seconds then return nil end
    return row, {began = began, marks = marks, sequence = sequence, label = label, confidence = confidence,
        alarm = alarm}
end

local function sequence_key(number) return base .. ':s' .. text(number) end

-- Answers are counted by label and alarm; all but the first few kinds are left out.
local function count_answer(key, label, alarm, confidence)
    redis.call('HSETNX', key, 'first-label', label)
    redis.call('HSETNX', key, 'first-alarm', alarm)
    if alarm == 1 then redis.call('HINCRBY', key, 'alarms', 1) end
    local kind = text(label) .. ':' .. text(alarm)
    local known = redis.call('HMGET', key, 'n:' .. kind, 'l:' .. kind, 'h:' .. kind)
    if not known[1] then
        if redis.call('HINCRBY', key, 'kinds', 1) > most_answers then return end
    end
    local lowest, highest = tonumber(known[2] or 1), tonumber(known[3] or 0)
    redis.call('HSET', key, 'n:' .. kind, (known[1] or 0) + 1,
        'l:' .. kind, string.format('%.9g', math.min(lowest, confidence)),
        'h:' .. kind, string.format('%.9g', math.max(highest, confidence)))
end

-- What this replica learned since it last asked.
for _, new in ipairs(news) do
    local kind, number, sequence = new[1], new[2], new[3]
    local key = sequence_key(sequence)
    local there = redis.call('EXISTS', key) == 1
    if kind == 'told' then
        if there then redis.call('HSET', key, 'told', new[4]) end
    elseif kind == 'clue' then
        if there then
            if new[4] > tonumber(redis.call('HGET', key, 'halvings') or 0) then
                redis.call('HSET', key, 'halvings', new[4])
            end
            if new[5] > 0 then redis.call('HINCRBY', key, 'sampled', new[5]) end
        end
    else
        local _, head = row_of(number)
        if head then
            local row, at = row_at(number)
            redis.call('SETRANGE', row, at, struct.pack(HEAD, number, head.began, head.marks, head.sequence,
                new[4], new[6], new[5]))
        end
        if there then count_answer(key, new[4], new[5], new[6]) end
    end
end
if #digest == 0 then return 0 end

-- Buckets hold the latest four queries each, the tables of digests first: numbers modulo 2^24, and
-- above them a byte of the key, so that few strangers are compared.
local number = (redis.call('GET', base .. ':n') or 0) + 1 + 2 * capacity
local found, order, oldest = {}, {}, {}
local WRAP = 16777216
local count = #places / 4
for index = 1, count do
    local place = struct.unpack('<I', places, index * 4 - 3)
    local key, at = page_at(table_key, place, BUCKETS, BUCKET)
    local bucket = redis.call('GETRANGE', key, at, at + BUCKET - 1)
    local there = #bucket == BUCKET
    local kept = there and {struct.unpack('<IIII', bucket)} or {0, 0, 0, 0}
    local most, slot = -1, 0
    for entry = 1, 4 do
        local tag = math.floor(kept[entry] / WRAP)
        local age = (number - kept[entry]) % WRAP
        if age > most then most, slot = age, entry end
        if tag == string.byte(tags, index) and age >= 1 and age <= capacity then
            if index <= twins and not found[age] then
                local _, head = row_of(number - age)
                if head and head.marks == digest then
                    local known = redis.call('HGETALL', sequence_key(head.sequence))
                    return {1, text(number - age), text(head.sequence), known, stamp(head.began),
                        head.label, head.alarm, string.format('%.9g', head.confidence), ''}
                end
            end
            if not found[age] then found[age] = true; order[#order + 1] = age end
        end
    end
    oldest[index] = {key, at + slot * 4 - 4, there}
end

table.sort(order)
local own, mine = {string.byte(sketch, 1, 128)}, {}
for at = 1, #windows, 8 do mine[string.sub(windows, at, at + 7)] = true end
mine[string.rep('\\0', 8)] = nil
local nearest, relative, relatives, edited = math.huge, nil, 0, false
for rank = 1, math.min(#order, MOST_COMPARED) do
    local other = number - order[rank]
    local row, head = row_of(other)
    if row then
        local common = 0
        for at = WINDOWS, SKETCH - 8, 8 do
            if mine[string.sub(row, at, at + 7)] then common = common + 1 end
        end
        local gap = 0
        for part = 0, 112, 16 do
            local theirs = {string.byte(row, SKETCH + part, SKETCH + part + 15)}
            for at = 1, 16 do
                local step = theirs[at] - own[part + at]
                if step > 127 then step = step - 256 elseif step < -128 then step = step + 256 end
                gap = gap + step * step
            end
            if gap > reach then break end
        end
        if common >= edits then edited = true end
        if common >= edits or gap <= reach then relatives = relatives + 1 end
        -- One that has relatives is preferred, so that two sequences grow together.
        local rank_of = gap
        if gap <= reach and redis.call('EXISTS', sequence_key(head.sequence)) == 0 then rank_of = gap + reach + 1 end
        if gap <= reach and rank_of < nearest then
            nearest, relative = rank_of, {other, row, head}
        elseif common >= edits and not relative then
            relative = {other, row, head}
        end
    end
    if relatives == ENOUGH then break end
end

local sequence, known = number, {}
if relative then
    local other, row, head = unpack(relative)
    sequence = head.sequence
    local key = sequence_key(sequence)
    if redis.call('EXISTS', key) == 0 then
        -- The relative is alone, or the sequence that it was in is forgotten.
        sequence = other
        key = sequence_key(sequence)
        redis.call('DEL', key)
        local latest = #detail == 0 and string.sub(row, SKETCH) or detail_of(other)
        redis.call('HSET', key, 'related', 0, 'first', stamp(head.began),
            'first-request', string.sub(row, REQUEST, WINDOWS - 1), 'latest', latest)
        if head.label >= 0 then count_answer(key, head.label, head.alarm, head.confidence) end
        local at, place = row_at(other)
        redis.call('SETRANGE', at, place, struct.pack(HEAD, other, head.began, head.marks, sequence,
            head.label, head.confidence, head.alarm))
    end
    redis.call('HINCRBY', key, 'related', 1)
    if edited then redis.call('HINCRBY', key, 'edited', 1) end
    redis.call('HSET', key, 'last', stamp(now))
    if redis.call('HEXISTS', key, 'c:' .. caller) == 1 or redis.call('HINCRBY', key, 'callers', 1) <= most_callers then
        redis.call('HINCRBY', key, 'c:' .. caller, 1)
    end
    redis.call('PEXPIRE', key, life)
    local all = base .. ':all'
    redis.call('ZADD', all, text(number), text(sequence))
    redis.call('PEXPIRE', all, life)
    if redis.call('ZCARD', all) > most_sequences then
        local dropped = redis.call('ZPOPMIN', all)
        redis.call('DEL', base .. ':s' .. dropped[1])
    end
    known = redis.call('HGETALL', key)
    local latest = redis.call('HGET', key, 'latest') or ''
    redis.call('HSET', key, 'latest', string.sub(latest .. (#detail == 0 and sketch or detail), -LATEST))
end

redis.call('INCR', base .. ':n')
redis.call('PEXPIRE', base .. ':n', 2 * life)
local key, at = row_at(number)
write(key, at, struct.pack(HEAD, number, now, digest, sequence, -1, 0, 0)
    .. request .. windows .. sketch, ROWS * ROW, redis.call('EXISTS', key) == 1)
if #detail > 0 then
    key, at = detail_at(number)
    write(key, at, struct.pack('<d', number) .. detail, DETAILS * DETAIL, redis.call('EXISTS', key) == 1)
end
for index = 1, count do
    local page, place, there = unpack(oldest[index])
    local mark = struct.pack('<I', number % WRAP + WRAP * string.byte(tags, index))
    write(page, place, mark, BUCKETS * BUCKET, there)
end
return {0, text(number), text(sequence), known, stamp(now), -1, 0, '0', request}
"""
"""Script that takes in what a replica learned, remembers a query and returns what is known of it.

Its one key is the first part of the names of all keys of a memory: a counter, pages of rows, pages
of buckets and of details, a hash for each sequence, and a sorted set of the sequences. All of them expire.

Arguments: the number of queries that are remembered; for how many seconds; the largest sum of
squared steps between sketches of relatives; how many windows in common make one image the other with
a part replaced; how many sequences, kinds of answers and callers are kept; what the replica learned,
as JSON; the query's digest (8 bytes; empty for no query), sketch, windows and places of its buckets
(uint32), with a tag of each (a byte); how many of these are of the digest; its caller, the id
of its request (32 bytes), and its detail (empty where that is the sketch).

Returns: whether it is a repeat, its number, that of its sequence, the hash of the sequence, the time
at which the query (or the one it repeats) was first seen, with its label, alarm and confidence. In
the hash are the details of the queries before this one.
"""
