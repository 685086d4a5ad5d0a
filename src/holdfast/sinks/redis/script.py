"""What runs inside Redis: a part of a batch, and the inputs' positions, as one.

Redis does nothing else while a script runs, and hands what it did to its replicas and its file as one
transaction. So a part is there with its positions or not at all, on every server that holds a copy. A script
cannot be rolled back, though, so it looks first, and writes afterwards:

    the tokens and positions of all partitions -> the new positions -> the commands of each record

The positions are the first that is written: a server that takes no writes (a replica, one without memory, or
without replicas) says so there, and not in between: it looks at its own state before a script's first write
only. From then on only what a record says can be wrong. What Redis refuses of a record is noted beside the
positions until Kafka has its dead letter, and what was done of that record before is taken back. Where a
refused record stops its shard, the positions end at it instead.
"""

from __future__ import annotations

from typing import Final

from holdfast.sinks.redis.judge import DECLARED_WRONGLY

_SOURCE: Final = """
local positions, wrong = KEYS[1], {%s}

local function word(text)  -- without what is said of this script
    return (string.gsub(string.gsub(text, ' script: .*$', ''), ', on @user_script:%%d+%%.?', ''))
end

local function is_wrong(text)
    text = string.lower(text)
    for _, part in ipairs(wrong) do
        if string.find(text, part, 1, true) then return true end
    end
    return false
end

local function failed(reply)
    return type(reply) == 'table' and reply.err
end

local function remember_key(undo, key)
    local held = redis.pcall('DUMP', key)
    if failed(held) then return held.err end
    local left = held and redis.pcall('PTTL', key)
    if failed(left) then return left.err end
    undo[#undo + 1] = held and {'RESTORE', key, math.max(left, 0), held, 'REPLACE'} or {'DEL', key}
end

local function remember(undo, kind, from, to)
    local key = ARGV[from + 1]
    if kind == 'key' then return remember_key(undo, key) end
    if kind == 'keys' then
        for i = from + 1, to do
            local error = remember_key(undo, ARGV[i])
            if error then return error end
        end
    elseif kind == 'fields' then
        for i = from + 2, to, 2 do
            local held = redis.pcall('HGET', key, ARGV[i])
            if failed(held) then return held.err end
            undo[#undo + 1] = held and {'HSET', key, ARGV[i], held} or {'HDEL', key, ARGV[i]}
        end
    elseif kind == 'members' then
        for i = from + 3, to, 2 do
            local held = redis.pcall('ZSCORE', key, ARGV[i])
            if failed(held) then return held.err end
            undo[#undo + 1] = held and {'ZADD', key, held, ARGV[i]} or {'ZREM', key, ARGV[i]}
        end
    end
end

local function take_back(undo)
    for i = #undo, 1, -1 do redis.pcall(unpack(undo[i])) end
end

-- Look.
local count, stops, at = tonumber(ARGV[1]), ARGV[2] == '1', 3
local places, fields = {}, {}
for i = 1, count do
    places[i] = {
        field = ARGV[at], begin = tonumber(ARGV[at + 1]), ending = tonumber(ARGV[at + 2]),
        token = ARGV[at + 3], topic = ARGV[at + 4], floor = tonumber(ARGV[at + 5]), known = ARGV[at + 6],
    }
    fields[i], at = ARGV[at], at + 7
end
local rows = redis.call('HMGET', positions, unpack(fields))
for i, place in ipairs(places) do
    place.row = rows[i] and cjson.decode(rows[i])
    -- First, and whatever the topic: a later owner's token is larger also when the topic was made anew.
    if place.row and tonumber(place.row.fencing_token) > tonumber(place.token) then
        return {'fenced', i, place.row.fencing_token}
    end
end
local behind = {}
for i, place in ipairs(places) do
    local row = place.row
    local is_anew = row and row.topic_id ~= '' and place.topic ~= '' and row.topic_id ~= place.topic
    if row and not is_anew then
        place.position, place.origin, place.refused = tonumber(row.position), row.origin, {}
        for offset, why in pairs(row.refused) do
            if tonumber(offset) >= place.floor then place.refused[offset] = why end
        end
    else
        -- It was never here; or it was, and is not any more. The batch's own beginning counts, and not this
        -- part's: what the parts before this one have written would be here.
        local is_lost = place.known ~= '' and not is_anew and tonumber(place.known) < place.floor
        place.position = is_lost and tonumber(place.known) or place.floor
        place.origin, place.refused = string.format('%%.0f', place.floor), {}
    end
    if place.position < place.begin then
        behind[#behind + 1] = i
        behind[#behind + 1] = string.format('%%.0f', place.position)
    end
end
if #behind > 0 then return {'behind', behind} end

local function store(is_done)
    local pairs_ = {}
    for _, place in ipairs(places) do
        local position = is_done and math.max(place.position, place.ending) or place.reached
        pairs_[#pairs_ + 1] = place.field
        pairs_[#pairs_ + 1] = cjson.encode({
            position = string.format('%%.0f', position), fencing_token = place.token, topic_id = place.topic,
            origin = place.origin, refused = place.refused,
        })
    end
    return redis.pcall('HSET', positions, unpack(pairs_))
end

-- Write.
local stored = store(true)
if failed(stored) then return {'not taken', word(stored.err)} end
local refused, has_new, last = {}, false, #ARGV
for _, place in ipairs(places) do place.reached = place.position end
while at <= last do
    local index, offset, commands = tonumber(ARGV[at]), ARGV[at + 1], tonumber(ARGV[at + 2])
    local place, number = places[index], tonumber(offset)
    at = at + 3
    local unsent = commands < 0 and ARGV[at]  -- why it cannot be sent at all
    if unsent then at = at + 1 end
    if number < place.position then
        for _ = 1, commands do at = at + 2 + tonumber(ARGV[at + 1]) end
        if place.refused[offset] then
            refused[#refused + 1] = {index, offset, place.refused[offset]}
        end
    else
        local undo, error, name = {}, unsent, nil
        for c = 1, commands do
            local kind, from = ARGV[at], at + 2
            at = from + tonumber(ARGV[at + 1])
            if not error and c < commands then error = remember(undo, kind, from, at - 1) end
            if not error then error = failed(redis.pcall(unpack(ARGV, from, at - 1))) end
            if error and not name then name = ARGV[from] end
        end
        if error then
            take_back(undo)
            error = unsent or name .. ': ' .. word(error)
            local wrong_ = not unsent and is_wrong(error)
            if stops or wrong_ then
                place.reached = number
                store(false)
                return {wrong_ and 'wrong' or 'stopped', index, offset, error}
            end
            place.refused[offset], has_new = error, true
            refused[#refused + 1] = {index, offset, error}
        end
        place.reached = number + 1
    end
end
if has_new then store(true) end
local origins = {}
for i, place in ipairs(places) do origins[i] = place.origin end
return {'written', origins, refused}
"""

SCRIPT: Final = (_SOURCE % ", ".join(f"'{part}'" for part in DECLARED_WRONGLY)).strip()
