-- May this request pass? A gateway in Envoy's Lua filter, as somebody writes it who wants it fast, for the benchmark to compare with. It does
-- what the benchmark's policy does: a token of RS256 and its claims, a scope, a bucket for each subject, two claims as headers, and it
-- remembers the tokens that it has checked. What stands before this text is `local RULES = {…}` with issuer, audience, scope, limit (a second),
-- and keys (SubjectPublicKeyInfo in hexadecimal, by kid).
--
-- It is measured, and not for use. Each worker has buckets of its own, so a limit holds once for each of them. A script that fails lets the
-- request pass: that is how the filter is, and nothing here can change it.

local bit = require("bit")
local band, bor, lshift, rshift = bit.band, bit.bor, bit.lshift, bit.rshift
local byte, char, find, sub = string.byte, string.char, string.find, string.sub
local concat, floor = table.concat, math.floor

-- Tokens that are remembered, and buckets that are kept. When there are more, all are forgotten.
local KNOWN, BUCKETS = 4096, 65536
local known, known_count = {}, 0
local buckets, buckets_count = {}, 0

-- base64url (RFC 4648 §5) without padding. `nil` if it is none.

local DIGITS = {}
for value = 0, 63 do
  local alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
  DIGITS[byte(alphabet, value + 1)] = value
end

local function decoded(text)
  local out, length, at = {}, #text, 1
  while at + 3 <= length do
    local a, b, c, d = byte(text, at, at + 3)
    a, b, c, d = DIGITS[a], DIGITS[b], DIGITS[c], DIGITS[d]
    if not (a and b and c and d) then return nil end
    local word = bor(lshift(a, 18), lshift(b, 12), lshift(c, 6), d)
    out[#out + 1] = char(rshift(word, 16), band(rshift(word, 8), 255), band(word, 255))
    at = at + 4
  end
  local rest = length - at + 1
  if rest == 1 then return nil end
  if rest > 1 then
    local a, b, c = byte(text, at, length)
    a, b, c = DIGITS[a], DIGITS[b], rest == 3 and DIGITS[c] or 0
    if not (a and b and c) then return nil end
    local word = bor(lshift(a, 18), lshift(b, 12), lshift(c, 6))
    out[#out + 1] = char(rshift(word, 16))
    if rest == 3 then out[#out + 1] = char(band(rshift(word, 8), 255)) end
  end
  return concat(out)
end

-- JSON (RFC 8259), as deep as a token may nest. An error ends the reading: it is called by `pcall`.

local DEPTH = 16
local ESCAPES = { ['"'] = '"', ["\\"] = "\\", ["/"] = "/", b = "\b", f = "\f", n = "\n", r = "\r", t = "\t" }
local value_at

local function skipped(text, at)
  return find(text, "[^ \t\r\n]", at) or #text + 1
end

local function string_at(text, at)
  local from, parts = at + 1, nil
  while true do
    local stop = find(text, '["\\]', from)
    if not stop then error("a string has no end") end
    local piece = sub(text, from, stop - 1)
    if byte(text, stop) == 34 then
      if not parts then return piece, stop + 1 end
      parts[#parts + 1] = piece
      return concat(parts), stop + 1
    end
    parts = parts or {}
    parts[#parts + 1] = piece
    local letter = sub(text, stop + 1, stop + 1)
    -- `\u` stands for what no claim of ours holds.
    parts[#parts + 1] = ESCAPES[letter] or error("an escape is not known")
    from = stop + 2
  end
end

local function members_at(text, at, depth, closing, is_map)
  local members = {}
  at = skipped(text, at + 1)
  if byte(text, at) == closing then return members, at + 1 end
  while true do
    local name = #members + 1
    if is_map then
      if byte(text, at) ~= 34 then error("a name is missing") end
      name, at = string_at(text, at)
      at = skipped(text, at)
      if byte(text, at) ~= 58 then error("a colon is missing") end
      at = skipped(text, at + 1)
    end
    members[name], at = value_at(text, at, depth + 1)
    at = skipped(text, at)
    local mark = byte(text, at)
    if mark == closing then return members, at + 1 end
    if mark ~= 44 then error("a comma is missing") end
    at = skipped(text, at + 1)
  end
end

local LITERALS = { { "true", true }, { "false", false }, { "null", nil } }

function value_at(text, at, depth)
  if depth > DEPTH then error("too deep") end
  local first = byte(text, at)
  if first == 34 then return string_at(text, at) end
  if first == 123 then return members_at(text, at, depth, 125, true) end
  if first == 91 then return members_at(text, at, depth, 93, false) end
  for _, literal in ipairs(LITERALS) do
    if sub(text, at, at + #literal[1] - 1) == literal[1] then return literal[2], at + #literal[1] end
  end
  local from, to = find(text, "^-?%d+%.?%d*[eE]?[+-]?%d*", at)
  if not from then error("no value") end
  return tonumber(sub(text, from, to)), to + 1
end

local function json(part)
  local text = decoded(part)
  if not text then return nil end
  local fine, value, after = pcall(value_at, text, skipped(text, 1), 0)
  if fine and type(value) == "table" and skipped(text, after) > #text then return value end
  return nil
end

-- Keys, from hexadecimal.

local keys = {}
for kid, text in pairs(RULES.keys) do
  keys[kid] = text:gsub("%x%x", function(pair) return char(tonumber(pair, 16)) end)
end

-- What the token says, if its signature holds.
local function checked(handle, token)
  local signed, signature = token:match("^([^.]+%.[^.]+)%.([^.]+)$")
  if not signed then return nil end
  local head, payload = signed:match("^([^.]+)%.(.+)$")
  local header = json(head)
  if not header or header.alg ~= "RS256" then return nil end
  local key = keys[header.kid]
  signature = decoded(signature)
  if not key or not signature then return nil end
  -- A handle's keys end with it, so each request that checks a token reads the key anew.
  local imported = handle:importPublicKey(key, #key):get()
  local holds = handle:verifySignature("sha256", imported, signature, #signature, signed, #signed)
  if not holds then return nil end
  return json(payload)
end

local function has_scope(scopes, wanted)
  return type(scopes) == "string" and find(" " .. scopes .. " ", " " .. wanted .. " ", 1, true) ~= nil
end

-- The caller, or the status that refuses them.
local function learned(handle, token, now)
  local claims = checked(handle, token)
  if not claims or claims.iss ~= RULES.issuer or claims.aud ~= RULES.audience then return nil, "401" end
  if type(claims.sub) ~= "string" or type(claims.exp) ~= "number" or (claims.nbf or 0) > now then return nil, "401" end
  if not has_scope(claims.scope, RULES.scope) then return nil, "403" end
  local caller = { subject = claims.sub, department = claims.dept, expires = claims.exp }
  if known_count >= KNOWN then known, known_count = {}, 0 end
  known[token], known_count = caller, known_count + 1
  return caller
end

-- Takes one token of the subject's bucket, if there is one.
local function take(subject, now)
  local bucket = buckets[subject]
  if not bucket then
    if buckets_count >= BUCKETS then buckets, buckets_count = {}, 0 end
    buckets[subject], buckets_count = { left = RULES.limit - 1, seen = now }, buckets_count + 1
    return RULES.limit >= 1
  end
  bucket.left = math.min(bucket.left + (now - bucket.seen) * RULES.limit, RULES.limit)
  bucket.seen = now
  if bucket.left < 1 then return false end
  bucket.left = bucket.left - 1
  return true
end

local function refuse(handle, status)
  handle:respond({ [":status"] = status }, "")
end

function envoy_on_request(handle)
  local headers = handle:headers()
  local credential = headers:get("authorization")
  local token = credential and sub(credential, 1, 7) == "Bearer " and sub(credential, 8)
  if not token then return refuse(handle, "401") end
  local now = tonumber(handle:timestamp(EnvoyTimestampResolution.MILLISECOND)) / 1000
  local caller, status = known[token], nil
  if not caller then
    caller, status = learned(handle, token, floor(now))
    if not caller then return refuse(handle, status) end
  end
  if caller.expires <= now then return refuse(handle, "401") end
  if not take(caller.subject, now) then return refuse(handle, "429") end
  headers:remove("authorization")
  headers:replace("x-user", caller.subject)
  if caller.department then headers:replace("x-dept", caller.department) else headers:remove("x-dept") end
end
