-- Prosody's own reading of a configuration, as JSON: lua5.4 read.lua SOURCEDIR FILE
-- What each host sets, and the modules that Prosody's module manager would load there.
local source, file = ...;
package.path = source.."/?.lua;"..package.path;
package.cpath = source.."/?.so;"..package.cpath;
if not pcall(require, "prosody.loader") then pcall(require, "loader"); end

prosody = {
	hosts = {}; platform = "posix"; process_type = "prosodyctl"; paths = { source = source };
	events = require "util.events".new();
};
-- Of a running server only.
package.loaded["core.moduleapi"], package.loaded["prosody.core.moduleapi"] = {}, {};
local config = require "core.configmanager";
local credentials = os.getenv("CREDENTIALS_DIRECTORY");
if credentials and config.set_credentials_directory then config.set_credentials_directory(credentials); end

local loaded, _, why = config.load(file, "lua");
if not loaded then
	io.stderr:write(tostring(why), "\n");
	os.exit(1);
end

local json;
local function quoted(text)
	return '"'..text:gsub('[%c"\\]', function (c) return ("\\u%04x"):format(c:byte()); end)..'"';
end
function json(value)
	if type(value) == "table" then
		local count, keys, parts = 0, {}, {};
		for key in pairs(value) do
			count = count + 1;
			keys[count] = key;
		end
		if count > 0 and count == #value then
			for i = 1, count do parts[i] = json(value[i]); end
			return "["..table.concat(parts, ",").."]";
		end
		for i, key in ipairs(keys) do parts[i] = quoted(tostring(key))..":"..json(value[key]); end
		return "{"..table.concat(parts, ",").."}";
	elseif type(value) == "string" then
		return quoted(value);
	elseif math.type(value) == "float" then
		return ("%.17g"):format(value);
	elseif type(value) == "function" or type(value) == "userdata" then
		return "null";
	end
	return tostring(value);
end

local hosts, modules = {}, {};
for host, options in pairs(config.getconfig()) do
	hosts[host] = {};
	for name, value in pairs(options) do hosts[host][name] = value; end
	if host ~= "*" then
		modules[host] = {};
		for module in require "core.modulemanager".get_modules_for_host(host) do table.insert(modules[host], module); end
	end
end
print(json { hosts = hosts; modules = modules });
