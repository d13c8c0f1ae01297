-- Whatever else of Lua people use.
local json = Lua.require "util.json"
local settings = json.decode(ENV_SETTINGS)
site_name = settings.name
deep = settings.deep
local defaults = Lua.setmetatable({}, { __index = function (_, key) return key .. "!" end })
greeting = defaults.hello
ok = Lua.pcall(Lua.error, "no")
caught = Lua.select(2, Lua.pcall(Lua.error, "text", 0))
list = {}
for i = 1, 3 do list[i] = "lost" end -- what a configuration of 13 reads of a list is no list
list { 16, 25 }
joined = Lua.table.concat({ "a", "b" }, "-")
upper = ("x"):rep(3):upper()
hex = Lua.string.format("%x", 255)
rounded = Lua.math.floor(2.5)
big = 2^31
char = "b\u{fc}cher"
missing = ENV_NOT_THERE
fallback = ENV_NOT_THERE or "default"
nested = { a = { b = { c = { 1, 2, { d = "e" } } } }, ["key with space"] = 1, [5] = "five" }
function helper(name) return name .. ".example" end
made = helper("made")
xlike = Lua.xpcall(function () return 1 end, function () end)
local t = Lua.os.time({ year = 2027, month = 1, day = 1, hour = 12 })
is_time = Lua.type(t) == "number"
no_file = Lua.io.open("/nowhere/at/all") == nil

VirtualHost "programs.example"
	copy = "own"
	Include "more.lua"
	still_here = true
