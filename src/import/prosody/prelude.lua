-- What of Lua and of Prosody a configuration may use. `host` is what Rust lends it; whatever would act on the world is
-- refused. Returns the globals, a function that makes the readers of files of Prosody 13, and one that gives an option as
-- its configurations see it.

local host = ...;
local real_load, real_pcall, real_xpcall, real_setmetatable = load, pcall, xpcall, setmetatable;

local function nothing() end

-- A limit that was reached ends everything, also what is protected.
local function unless_spent(...)
	host.unless_spent();
	return ...;
end

local function refused(name)
	return function () host.refuse(name); end;
end

local G = { _VERSION = _VERSION; unpack = table.unpack; print = nothing; warn = nothing; log = nothing };
G._G = G;
for _, name in ipairs {
	"assert"; "error"; "getmetatable"; "ipairs"; "math"; "next"; "pairs"; "rawequal"; "rawget"; "rawlen"; "rawset"; "select";
	"string"; "table"; "tonumber"; "tostring"; "type"; "utf8";
} do
	G[name] = _ENV[name];
end

function G.pcall(f, ...) return unless_spent(real_pcall(f, ...)); end
function G.xpcall(f, handler, ...) return unless_spent(real_xpcall(f, handler, ...)); end
function G.collectgarbage() return 0; end

function G.setmetatable(t, metatable)
	-- Finalizers run where no limit holds.
	if type(metatable) == "table" and rawget(metatable, "__gc") ~= nil then host.refuse("__gc"); end
	return real_setmetatable(t, metatable);
end

function G.load(chunk, name, _, env) return real_load(chunk, name, "t", env or G); end
G.loadstring = G.load;

-- An open file: its whole content and a place in it.
local function file(text)
	local at, methods = 1, {};

	local function read(form)
		if type(form) ~= "number" then
			form = tostring(form):gsub("^%*", ""):sub(1, 1);
			if form == "a" then form = math.huge; end
		end
		if form == math.huge then
			local rest = text:sub(at);
			at = #text + 1;
			return rest;
		elseif at > #text then
			return nil;
		elseif type(form) == "number" then
			local part = text:sub(at, at + form - 1);
			at = at + #part;
			return part;
		elseif form == "n" then
			local from, to = text:find("^%s*[%w.+-]+", at);
			at = (to or #text) + 1;
			return from and tonumber(text:sub(from, to)) or nil;
		end
		local stop = text:find("\n", at, true) or #text + 1;
		local line = text:sub(at, form == "L" and stop or stop - 1);
		at = stop + 1;
		return line;
	end

	function methods.read(_, ...)
		local first, more = ...;
		if more ~= nil then return read(first), read(more); end
		return read(first or "l");
	end
	function methods.lines(_, form) return function () return read(form or "l"); end; end
	function methods.seek(_, whence, offset)
		local from = whence == "set" and 0 or whence == "end" and #text or at - 1;
		at = from + (offset or 0) + 1;
		return at - 1;
	end
	function methods.close() return true; end
	methods.setvbuf = methods.close;
	methods.write = refused("writing to a file");
	return methods;
end

local no_output = { write = nothing; flush = nothing; setvbuf = nothing };
G.io = {
	write = nothing; stdout = no_output; stderr = no_output; stdin = file("");
	read = nothing; popen = refused("io.popen"); output = refused("io.output"); input = refused("io.input");
	tmpfile = refused("io.tmpfile");
};
function G.io.open(name, mode)
	if mode and mode:find("[wa+]") then host.refuse("opening "..tostring(name).." for writing"); end
	local text, why = host.read("", name);
	if not text then return nil, why, 2; end
	return file(text);
end
function G.io.lines(name, form)
	local opened, why = G.io.open(name);
	if not opened then error(why, 2); end
	return opened:lines(form);
end
function G.io.type(value) return type(value) == "table" and value.read and "file" or nil; end

G.os = { getenv = host.getenv; date = os.date; time = os.time; clock = os.clock; difftime = os.difftime };
for _, name in ipairs { "execute"; "exit"; "remove"; "rename"; "setlocale"; "tmpname" } do
	G.os[name] = refused("os."..name);
end

function G.loadfile(name)
	local text, why = host.read("", name);
	if not text then return nil, why; end
	return real_load(text, "@"..name, "t", G);
end
function G.dofile(name) return assert(G.loadfile(name))(); end

G.debug = { traceback = function (message) return message; end };
function G.debug.getinfo()
	local source, line = host.place():match("^(.*):(%d+)$");
	return { source = "@"..(source or ""); short_src = source or ""; currentline = tonumber(line); what = "main" };
end

G.package = { path = ""; cpath = ""; config = "/\n;\n?\n!\n-\n"; loaded = {}; preload = {} };
G.prosody = {
	process_type = "prosodyctl"; config_loaded = false; platform = "posix"; installed = true; version = "unknown";
	paths = {
		source = "/usr/lib/prosody"; plugins = "/usr/lib/prosody/modules"; config = "/etc/prosody"; data = "/var/lib/prosody";
	};
	hosts = {}; arg = {}; log = nothing; events = { add_handler = nothing; fire_event = nothing };
};

local libraries = {
	lfs = { attributes = host.attributes; currentdir = function () return "."; end };
	socket = {
		gettime = os.time; sleep = nothing;
		dns = { gethostname = function () return host.uname().nodename; end };
	};
	["util.json"] = { decode = host.decode };
	["util.pposix"] = { uname = host.uname };
};
function libraries.lfs.dir(path)
	local names, at = host.names(path), 0;
	return function ()
		at = at + 1;
		return names[at];
	end;
end
function G.require(name)
	local library = libraries[tostring(name):gsub("^prosody%.", "")];
	if library then return library; end
	host.refuse("require "..tostring(name));
end

-- COMPAT: what Prosody 13 gives instead of an option that is a table; it can only be added to.
local proxy = { __index = {} };
function proxy.__index:value() return rawget(self, "option"); end
function proxy.__index:values()
	local list, key, value = self:value();
	return function ()
		key, value = next(list, key);
		return value;
	end;
end
function proxy.__index:append(more)
	if type(more) ~= "table" then error("append expects a list", 2); end
	local list = self:value();
	if more[1] ~= nil then
		for _, value in ipairs(more) do list[#list + 1] = value; end
	else
		for key, value in pairs(more) do list[key] = value; end
	end
	return self;
end
function proxy:__call(more)
	if type(more) ~= "table" then error("Invalid syntax - missing '=' perhaps?", 2); end
	return self:append(more);
end
local function option(value)
	if type(value) ~= "table" then return value; end
	return setmetatable({ option = value }, proxy);
end

-- COMPAT: Prosody gives up when a file is not there; here the option stays empty and the file is named.
local function reader(folder, form)
	return function (name, mode)
		local text, why = host.read(folder, name);
		if not text then
			host.note(why);
			return nil;
		end
		if form == "run" then return assert(real_load(text, "@"..name, "t", G))(); end
		if form ~= "lines" then return file(text):read(mode or form); end
		local lines = {};
		for line in file(text):lines() do lines[#lines + 1] = line; end
		return lines;
	end;
end

return G, reader, option;
