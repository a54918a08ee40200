-- A loop of @N@ rounds: a table that is filled and read, a call, floating point and integers. What is measured writes a number for the mark.
local rounds = @N@
local function step(x, y) return (x * 1103515245 + y) % 2147483648 end
local slots, x, sum = {}, 12345, 0.0
for i = 1, rounds do
  x = step(x, i)
  local at = x % 256 + 1
  sum = sum + (slots[at] or 0.5) / i
  slots[at] = i
end
print(rounds, x, string.format("%.9f", sum))
