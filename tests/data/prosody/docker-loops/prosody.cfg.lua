-- The style of images for 0.12: os.getenv, string functions, hosts made in loops.
local domain = os.getenv("DOMAIN")
local function env(name, default)
	local value = os.getenv(name)
	if value == nil or value == "" then return default end
	if value == "true" or value == "false" then return value == "true" end
	return tonumber(value) or value
end

modules_enabled = { "roster", "saslauth", "tls", "bosh", "websocket", "http_files" }
c2s_require_encryption = env("REQUIRE_TLS", true)
http_ports = { env("HTTP_PORT", 5280) }
https_ports = env("HTTPS_PORT") and { env("HTTPS_PORT") } or {}
http_default_host = "www." .. domain
default_storage = "sql"
sql = { driver = "SQLite3"; database = "club.sqlite"; password = env("DB_PASSWORD") }
trusted_proxies = { "127.0.0.1", "10.0.0.0/8" }
made_in = type(os.date("%Y")) == "string" and #os.date("%Y") == 4
ok, why = pcall(function () error({ code = 7 }) end)
why = nil
sizes = setmetatable({ 1, 2, 3 }, { __index = function () return 0 end })

VirtualHost(domain)
	http_host = ("www.%s"):format(domain)
for word in (os.getenv("SUBDOMAINS") or ""):gmatch("%S+") do
	VirtualHost(word .. "." .. domain) { site_name = "Club " .. word:upper(), number = #word }
end
after_the_loop = true
