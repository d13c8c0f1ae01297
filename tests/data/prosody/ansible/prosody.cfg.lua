-- The style of roles that fill in a template: one value to a line, booleans, empty lists.
admins = {
	"ops@team.example",
}
modules_enabled = {
	"roster";
	"saslauth";
	"invites";
	"invites_page";
}
modules_disabled = {
	"s2s";
}
c2s_ports = {
	5222,
}
c2s_direct_tls_ports = {
	5223,
}
http_ports = {
}
https_ports = {
	5281,
}
https_interfaces = {
	"192.0.2.10",
}
local secret = (function ()
	local file = assert(io.open(os.getenv("HERE").."/passwords/sql"))
	local line = file:read("*l")
	file:close()
	return line
end)()
default_storage = "sql"
sql = {
	driver = "PostgreSQL";
	password = secret;
	port = 5432;
}
invite_expiry = 604800
site_name = [[Team "North"]]
Include "conf.d/10-team.cfg.lua"
Include "conf.d/empty-*.cfg.lua"
