-- The style of images that are configured by the environment alone.
local unpack = Lua.table.unpack;
local function split(text, separator)
	if not text then return nil; end
	local parts = {};
	for part in text:gmatch("[^"..(separator or ",").."]+") do parts[#parts + 1] = part; end
	return parts;
end

admins = split(ENV_CHAT_ADMINS)
modules_enabled = { "roster"; "saslauth"; "tls"; "disco"; "invites"; "invites_register" }
if ENV_CHAT_MODULES then
	modules_enabled:append(split(ENV_CHAT_MODULES))
end
if ENV_CHAT_DAYS then modules_enabled:append { "watchregistrations" } end
modules_disabled = split(ENV_CHAT_DISABLED)

s2s_secure_auth = ENV_CHAT_S2S ~= "0"
limits = { c2s = { rate = ENV_CHAT_RATE or "10kb/s" } }
storage = ENV_CHAT_DRIVER and "sql" or "internal"
log = { [ENV_CHAT_LEVEL or "info"] = "*console" }
http_ports = { ENV_CHAT_HTTP or 5280 }
http_interfaces = { "0.0.0.0", "::" }
archive_expires_after = (ENV_CHAT_DAYS or "7").."d"
statistics_interval = Lua.tonumber(ENV_CHAT_INTERVAL) or ENV_CHAT_INTERVAL
registration_notification = "New: $username"

for _, host in Lua.ipairs(split(ENV_CHAT_HOSTS) or { Lua.require "prosody.util.pposix".uname().nodename }) do
	VirtualHost (host)
end
for _, definition in Lua.ipairs(split(ENV_CHAT_COMPONENTS) or {}) do
	local name, module = unpack(split(definition, ":"));
	Component (name) (module)
	if module == "http_file_share" then
		http_file_share_expires_after = 60 * 60 * 24 * Lua.tonumber(ENV_CHAT_DAYS or "7")
	end
end
