-- Small kernels, one line of result each. Sizes are arguments of the calls at
-- the end. Nothing here raises an error or yields: see ../src/lua_wasi.h.

local function fib(n)
  if n < 2 then return n end
  return fib(n - 1) + fib(n - 2)
end

local function nbody(steps)
  local bodies = {}
  for i = 0, 4 do
    local angle = i * 1.25
    bodies[i + 1] = {
      x = i * math.cos(angle) * 3, y = i * math.sin(angle) * 3, z = i * 0.1,
      vx = -math.sin(angle) * 0.8, vy = math.cos(angle) * 0.8, vz = 0.0,
      mass = i == 0 and 39.5 or 0.01 * i,
    }
  end
  local dt = 0.001
  for _ = 1, steps do
    for i = 1, #bodies do
      local a = bodies[i]
      for j = i + 1, #bodies do
        local b = bodies[j]
        local dx, dy, dz = a.x - b.x, a.y - b.y, a.z - b.z
        local d2 = dx * dx + dy * dy + dz * dz + 0.01
        local pull = dt / (d2 * math.sqrt(d2))
        local ma, mb = a.mass * pull, b.mass * pull
        a.vx, a.vy, a.vz = a.vx - dx * mb, a.vy - dy * mb, a.vz - dz * mb
        b.vx, b.vy, b.vz = b.vx + dx * ma, b.vy + dy * ma, b.vz + dz * ma
      end
    end
    for _, b in ipairs(bodies) do
      b.x, b.y, b.z = b.x + dt * b.vx, b.y + dt * b.vy, b.z + dt * b.vz
    end
  end
  local energy = 0.0
  for _, b in ipairs(bodies) do
    energy = energy + 0.5 * b.mass * (b.vx * b.vx + b.vy * b.vy + b.vz * b.vz)
  end
  return string.format("%.9f", energy)
end

local function spectral_norm(n)
  local function entry(i, j)
    local k = i + j - 1
    return 1.0 / (k * (k - 1) / 2 + i)
  end
  local function multiply(v, transposed)
    local out = {}
    for i = 1, n do
      local sum = 0.0
      for j = 1, n do
        sum = sum + (transposed and entry(j, i) or entry(i, j)) * v[j]
      end
      out[i] = sum
    end
    return out
  end
  local u, v = {}, nil
  for i = 1, n do u[i] = 1.0 end
  for _ = 1, 6 do
    v = multiply(multiply(u, false), true)
    u = multiply(multiply(v, false), true)
  end
  local uv, vv = 0.0, 0.0
  for i = 1, n do
    uv = uv + u[i] * v[i]
    vv = vv + v[i] * v[i]
  end
  return string.format("%.9f", math.sqrt(uv / vv))
end

local function random_source(seed)
  return function(bound)
    seed = (seed * 1664525 + 1013904223) & 0xffffffff
    return (seed >> 8) % bound
  end
end

local function sort_numbers(n)
  local random, list = random_source(1), {}
  for i = 1, n do list[i] = random(1000000) end
  table.sort(list)
  local sum = 0
  for i = 1, n do sum = (sum * 31 + list[i]) % 1000003 end
  return sum
end

local function sort_records(n)
  local random, list = random_source(2), {}
  for i = 1, n do
    list[i] = { key = string.format("%c%c", 97 + random(26), 97 + random(26)), id = i }
  end
  table.sort(list, function(a, b)
    if a.key ~= b.key then return a.key < b.key end
    return a.id > b.id
  end)
  local sum = 0
  for i, record in ipairs(list) do sum = (sum + record.id * i) % 1000003 end
  return list[1].key .. " " .. list[n].key .. " " .. sum
end

local function strings(n)
  local random, words = random_source(3), {}
  for i = 1, n do
    local letters = {}
    for j = 1, 3 + random(6) do letters[j] = string.char(97 + random(26)) end
    words[i] = table.concat(letters)
  end
  local text = table.concat(words, " ")
  local counts, distinct = {}, 0
  for word in text:gmatch("%a+") do
    if not counts[word] then distinct = distinct + 1 end
    counts[word] = (counts[word] or 0) + 1
  end
  local swapped, swaps = text:gsub("(%a)(%a)", "%2%1")
  local upper = swapped:upper():reverse()
  local vowels = select(2, upper:gsub("[AEIOU]", ""))
  local position, found = 1, 0
  while true do
    local s, e = upper:find("AB", position, true)
    if not s then break end
    found, position = found + 1, e + 1
  end
  return string.format("%d %d %d %d %d", #text, distinct, swaps, vowels, found)
end

local function sieve(n)
  local composite, count = {}, 0
  for i = 2, n do
    if not composite[i] then
      count = count + 1
      for j = i * i, n, i do composite[j] = true end
    end
  end
  return count
end

local function queens(n)
  local columns, up, down, solutions = {}, {}, {}, 0
  local function place(row)
    if row > n then
      solutions = solutions + 1
      return
    end
    for c = 1, n do
      if not (columns[c] or up[row + c] or down[row - c + n]) then
        columns[c], up[row + c], down[row - c + n] = true, true, true
        place(row + 1)
        columns[c], up[row + c], down[row - c + n] = nil, nil, nil
      end
    end
  end
  place(1)
  return solutions
end

-- Objects, inheritance and closures over metatables.
local Shape = {}
Shape.__index = Shape
function Shape.new(class, w, h) return setmetatable({ w = w, h = h }, class) end
function Shape:area() return self.w * self.h end
function Shape.__add(a, b) return Shape.new(Shape, a.w + b.w, a.h + b.h) end
function Shape.__eq(a, b) return a.w == b.w and a.h == b.h end
local Triangle = setmetatable({}, { __index = Shape })
Triangle.__index = Triangle
Triangle.__add = Shape.__add
function Triangle:area() return Shape.area(self) // 2 end

local function objects(n)
  local total, sum = 0, Shape:new(0, 0)
  for i = 1, n do
    local shape = (i % 3 == 0 and Triangle or Shape):new(i % 17, i % 23)
    total = total + shape:area()
    sum = sum + shape
    if shape == Shape:new(5, 5) then total = total + 1 end
  end
  return total .. " " .. sum.w .. " " .. sum.h
end

local function binary_trees(depth)
  local function make(d)
    if d == 0 then return {} end
    return { make(d - 1), make(d - 1) }
  end
  local function count(node)
    if not node[1] then return 1 end
    return 1 + count(node[1]) + count(node[2])
  end
  local total = 0
  for d = 2, depth, 2 do
    for _ = 1, 1 << (depth - d) do total = total + count(make(d)) end
  end
  return total
end

local function pack(n)
  local parts, sum = {}, 0
  for i = 1, n do parts[i] = string.pack("<i4dz", i * 7, i / 3, "k" .. i) end
  local data, at = table.concat(parts), 1
  for _ = 1, n do
    local a, b, name
    a, b, name, at = string.unpack("<i4dz", data, at)
    sum = sum + a + math.floor(b) + #name
  end
  return #data .. " " .. sum
end

print(_VERSION)
print("fib", fib(27))
print("nbody", nbody(8000))
print("spectral norm", spectral_norm(90))
print("sort numbers", sort_numbers(40000))
print("sort records", sort_records(8000))
print("strings", strings(12000))
print("sieve", sieve(300000))
print("queens", queens(8))
print("objects", objects(60000))
print("binary trees", binary_trees(11))
print("pack", pack(15000))
print("integer", 7 // -2, 7 % -2, 1 << 62, math.maxinteger + 1 == math.mininteger)
print("float", 0.1 + 0.2, 1e308 * 10, -0.0, 2 ^ 53, 10 / 4)
