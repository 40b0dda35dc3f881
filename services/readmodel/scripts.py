"""The Lua scripts: what must happen in Redis in one step. Each runs in time bounded by its input.

No script looks anything up that it was not given a key for.
"""

_COMMON = """
local function offset_of(value) return struct.unpack('>I8', value) end
"""

PUT_RECORDS = (
    _COMMON
    + """
-- Replaces records by newer ones and moves their index terms along.
-- KEYS: record keys. ARGV[1]: prefix of index names; ARGV[2]: bytes of a header at most;
-- ARGV[2 + i]: new value of KEYS[i]. Returns how many were newer and thus written.
local function text_at(value, at)
  local ends = at + 1 + struct.unpack('>I2', value, at)
  return string.sub(value, at + 2, ends), ends + 1
end
local function terms_of(value)
  local terms, at = {}, 10
  for n = 1, string.byte(value, 9) do
    local index, member
    index, at = text_at(value, at)
    member, at = text_at(value, at)
    terms[n] = {index, member}
  end
  return terms
end
local written = 0
for i, key in ipairs(KEYS) do
  local new = ARGV[2 + i]
  local old = redis.call('GETRANGE', key, 0, ARGV[2])
  if old == '' or offset_of(old) < offset_of(new) then
    local kept, new_terms = {}, terms_of(new)
    for _, term in ipairs(new_terms) do kept[term[1] .. '\\0' .. term[2]] = true end
    if old ~= '' then
      for _, term in ipairs(terms_of(old)) do
        local name = term[1] .. '\\0' .. term[2]
        if kept[name] then kept[name] = false
        else redis.call('ZREM', ARGV[1] .. term[1], term[2]) end
      end
    end
    for _, term in ipairs(new_terms) do
      if kept[term[1] .. '\\0' .. term[2]] then
        redis.call('ZADD', ARGV[1] .. term[1], 0, term[2])
      end
    end
    -- Last, for it says that the record is known: one that fails half-way is put again.
    redis.call('SET', key, new)
    written = written + 1
  end
end
return written
"""
)

PUT_TIMELINE = """
-- Puts facts of ONE entity on its timeline; a fact known by a newer record stays as it is.
-- KEYS: timeline, offsets, newest, index of entities. ARGV[1]: entity key; ARGV[2]: how many newest
-- entries keep their bytes; then four per fact: entry hash, time, offset, bytes ('' = hidden).
-- Returns how many were newer.
local timeline, offsets, newest = KEYS[1], KEYS[2], KEYS[3]
local keep = tonumber(ARGV[2])
local written = 0
for i = 3, #ARGV, 4 do
  local hash, time, offset, bytes = ARGV[i], ARGV[i + 1], ARGV[i + 2], ARGV[i + 3]
  local place = redis.call('HGET', offsets, hash)
  if not place or struct.unpack('>I6', place, 7) < struct.unpack('>I6', offset) then
    if place then
      redis.call('ZREM', timeline, string.sub(place, 1, 6) .. hash .. string.sub(place, 7))
    end
    local rank = keep
    if bytes ~= '' then
      local pointer = time .. hash .. offset
      redis.call('ZADD', timeline, 0, pointer)
      rank = redis.call('ZREVRANK', timeline, pointer)
    end
    if rank < keep then
      redis.call('HSET', newest, hash, offset .. bytes)
      local pushed_out = redis.call('ZREVRANGE', timeline, keep, keep)[1]
      if pushed_out then redis.call('HDEL', newest, string.sub(pushed_out, 7, 14)) end
    else
      redis.call('HDEL', newest, hash)
    end
    -- Last, for it says that the fact is known: one that fails half-way is put again.
    redis.call('HSET', offsets, hash, time .. offset)
    written = written + 1
  end
end
redis.call('ZADD', KEYS[4], 0, ARGV[1])
return written
"""

_RUN = """
-- The run of this Redis: another one after every start, whatever it loaded from its disk.
local function run_of_redis()
  return string.match(redis.call('INFO', 'server'), 'run_id:(%x+)')
end
-- `serving` holds `<generation>@<run>`.
local function generation_of(serving) return serving and string.match(serving, '^[^@]*') end
"""

BEGIN_WRITE = (
    _RUN
    + """
-- Marks that a write began. KEYS: its mark. ARGV: seconds after which nobody can go on with it.
redis.call('SET', KEYS[1], run_of_redis(), 'EX', ARGV[1])
return redis.status_reply('OK')
"""
)

ADVANCE = (
    _RUN
    + """
-- Moves one position if it is where the caller thinks, and Redis still holds all that was written
-- since the write began: the mark is gone after a flush, and names another run after a restart.
-- KEYS: positions, serving, mark of the write. ARGV: generation, field, expected position ('' =
-- none), new position, done ('1' or ''), META (or ''). Returns false, or the position found ('' =
-- none) when it was not moved.
local found = redis.call('HGET', KEYS[1], ARGV[2]) or ''
if found ~= ARGV[3] then
  -- Positions that vanished took the data with them: what is left must not answer "not found".
  if found == '' and generation_of(redis.call('GET', KEYS[2])) == ARGV[1] then
    redis.call('DEL', KEYS[2])
  end
  return found
end
if redis.call('GET', KEYS[3]) ~= run_of_redis() then return found end
redis.call('HSET', KEYS[1], ARGV[2], ARGV[4])
if ARGV[5] ~= '' then redis.call('HSET', KEYS[1], ARGV[2] .. '|done', run_of_redis()) end
if ARGV[6] ~= '' then redis.call('HSET', KEYS[1], ARGV[2] .. '|meta', ARGV[6]) end
return false
"""
)

BEAT = (
    _RUN
    + """
-- Writes the heads of one partition if its positions are where the caller thinks.
-- KEYS: positions, serving. ARGV: generation, heads field, heads, then field and expected position.
-- Returns the first field that differs, or false.
for i = 4, #ARGV, 2 do
  local found = redis.call('HGET', KEYS[1], ARGV[i]) or ''
  if found ~= ARGV[i + 1] then
    if found == '' and generation_of(redis.call('GET', KEYS[2])) == ARGV[1] then
      redis.call('DEL', KEYS[2])
    end
    return ARGV[i]
  end
end
redis.call('HSET', KEYS[1], ARGV[2], ARGV[3])
return false
"""
)

PROMOTE = (
    _RUN
    + """
-- Lets a generation answer once every mark of completeness is set, in this run of Redis.
-- KEYS: positions, serving, then what was called so for earlier forms of records: who still reads
-- those is told that nothing is complete, for their data goes. ARGV: generation, then all fields of
-- marks. Returns 1 when the generation serves (now or already), else 0.
local run = run_of_redis()
for i = 2, #ARGV do
  if redis.call('HGET', KEYS[1], ARGV[i]) ~= run then return 0 end
end
redis.call('SET', KEYS[2], ARGV[1] .. '@' .. run)
for i = 3, #KEYS do redis.call('DEL', KEYS[i]) end
return 1
"""
)

SERVING = """
-- KEYS: serving. Returns its value if it was set in this run of Redis, else false: what a Redis
-- loads when it starts may be older than what it held, and than what callers were told.
local serving = redis.call('GET', KEYS[1])
local run = string.match(redis.call('INFO', 'server'), 'run_id:(%x+)')
if serving and string.sub(serving, -#run - 1) == '@' .. run then return serving end
return false
"""
