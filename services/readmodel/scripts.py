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

_ORDER = """
-- `promoted` holds `<ordinal>@<generation>`.
local function promoted_in(key)
  local ordinal, generation = string.match(redis.call('GET', key) or '', '^(%d+)@(.*)$')
  return tonumber(ordinal or 0), generation or ''
end
local function superseded(generation)
  return redis.error_reply('SUPERSEDED by generation ' .. generation)
end
-- An error when a generation that was registered later has answered, else false.
local function refusal(key, generation, ordinal)
  local newest, name = promoted_in(key)
  return name ~= generation and newest > tonumber(ordinal) and superseded(name)
end
"""

REGISTER = (
    _ORDER
    + """
-- Notes that a generation holds data, and gives it its ordinal if it has none.
-- KEYS: generations, superseded, promoted, positions. ARGV: generation, the ordinal the caller had
-- for it before (0: none), '1' if one that was superseded may begin anew. Returns the ordinal.
-- An ordinal is the time, so that it says who is newer after a flush, too; the caller's holds then.
local found = redis.call('ZSCORE', KEYS[1], ARGV[1]) or redis.call('ZSCORE', KEYS[2], ARGV[1])
local ordinal = math.max(tonumber(found or 0), tonumber(ARGV[2]))
local newest, name = promoted_in(KEYS[3])
if name == ARGV[1] then
  ordinal = math.max(ordinal, newest)
elseif newest > ordinal and (found or ordinal > 0) then
  if ARGV[3] == '' or ARGV[2] ~= '0' then return superseded(name) end
  -- What is left of its data is right, but no longer whole.
  redis.call('UNLINK', KEYS[4])
  ordinal = 0
end
if ordinal == 0 then
  local now = redis.call('TIME')
  local highest = redis.call('ZREVRANGE', KEYS[1], 0, 0, 'WITHSCORES')[2] or 0
  ordinal = math.max(now[1] * 1000000 + now[2], newest + 1, highest + 1)
end
redis.call('ZREM', KEYS[2], ARGV[1])
redis.call('ZADD', KEYS[1], string.format('%.0f', ordinal), ARGV[1])
return string.format('%.0f', ordinal)
"""
)

BEGIN_WRITE = (
    _RUN
    + _ORDER
    + """
-- Marks that a write began. KEYS: its mark, promoted. ARGV: seconds after which nobody can go on
-- with it, generation, ordinal.
local refused = refusal(KEYS[2], ARGV[2], ARGV[3])
if refused then return refused end
redis.call('SET', KEYS[1], run_of_redis(), 'EX', ARGV[1])
return redis.status_reply('OK')
"""
)

ADVANCE = (
    _RUN
    + _ORDER
    + """
-- Moves one position if it is where the caller thinks, and Redis still holds all that was written
-- since the write began: the mark is gone after a flush, and names another run after a restart.
-- KEYS: positions, serving, mark of the write, promoted. ARGV: generation, field, expected position
-- ('' = none), new position, done ('1' or ''), META (or ''), ordinal. Returns false, or when it was
-- not moved the position found ('' = none).
local refused = refusal(KEYS[4], ARGV[1], ARGV[7])
if refused then return refused end
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
    + _ORDER
    + """
-- Writes the heads of one partition if its positions are where the caller thinks.
-- KEYS: positions, serving, promoted. ARGV: generation, ordinal, heads field, heads, then field and
-- expected position. Returns the first field that differs, or false.
local refused = refusal(KEYS[3], ARGV[1], ARGV[2])
if refused then return refused end
for i = 5, #ARGV, 2 do
  local found = redis.call('HGET', KEYS[1], ARGV[i]) or ''
  if found ~= ARGV[i + 1] then
    if found == '' and generation_of(redis.call('GET', KEYS[2])) == ARGV[1] then
      redis.call('DEL', KEYS[2])
    end
    return ARGV[i]
  end
end
redis.call('HSET', KEYS[1], ARGV[3], ARGV[4])
return false
"""
)

PROMOTE = (
    _RUN
    + _ORDER
    + """
-- Lets a generation answer once every mark of completeness is set, in this run of Redis, unless one
-- that was registered later ever did: the data of older ones goes.
-- KEYS: positions, serving, promoted, then what was called serving for earlier forms of records:
-- who still reads those is told that nothing is complete. A projection of an earlier release that
-- still runs may set its own of these again; only readers of that release follow it. ARGV:
-- generation, ordinal, then all fields of marks. Returns 1 when it serves (now or already), else 0.
local refused = refusal(KEYS[3], ARGV[1], ARGV[2])
if refused then return refused end
local run = run_of_redis()
for i = 3, #ARGV do
  if redis.call('HGET', KEYS[1], ARGV[i]) ~= run then return 0 end
end
redis.call('SET', KEYS[2], ARGV[1] .. '@' .. run)
local newest, name = promoted_in(KEYS[3])
local ordinal = tonumber(ARGV[2])
if name == ARGV[1] then ordinal = math.max(ordinal, newest) end
redis.call('SET', KEYS[3], string.format('%.0f@', ordinal) .. ARGV[1])
for i = 4, #KEYS do redis.call('DEL', KEYS[i]) end
return 1
"""
)

_IF_OVER = """
-- KEYS: generations, promoted. ARGV: an old generation, its ordinal, what promoted must be. In the
-- same step as what is deleted: the old one may have been begun anew since the caller looked.
local ordinal = redis.call('ZSCORE', KEYS[1], ARGV[1])
if not ordinal or tonumber(ordinal) ~= tonumber(ARGV[2]) then return 0 end
if redis.call('GET', KEYS[2]) ~= ARGV[3] then return 0 end
"""

DROP = (
    _IF_OVER
    + """
-- Deletes keys (the other KEYS) and members of indexes (further ARGV: index, member, ...) of a
-- generation that is over. Returns 1, or 0 when it is not over.
for i = 3, #KEYS do redis.call('UNLINK', KEYS[i]) end
for i = 4, #ARGV, 2 do redis.call('ZREM', ARGV[i], ARGV[i + 1]) end
return 1
"""
)

FORGET = (
    _IF_OVER
    + """
-- Notes that nothing is left of a generation that is over. KEYS[3]: superseded.
redis.call('ZREM', KEYS[1], ARGV[1])
redis.call('ZADD', KEYS[3], ordinal, ARGV[1])
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
