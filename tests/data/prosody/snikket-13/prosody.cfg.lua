-- The style of Snikket: one domain out of the environment, guards for what runs when, values of 13.
local DOMAIN = Lua.assert(ENV_HOUSE_DOMAIN, "Set HOUSE_DOMAIN")
local DAYS = Lua.tonumber(ENV_HOUSE_DAYS) or 7;

if Lua.prosody.process_type == "prosody" and not Lua.prosody.config_loaded then
	local lfs, socket = Lua.require "lfs", Lua.require "socket";
	while not lfs.attributes("/etc/prosody/certs/"..DOMAIN..".crt", "mode") do
		Lua.print("Waiting for certificates...");
		socket.sleep(5);
	end
	Lua._G.ltn12 = Lua.require "ltn12";
end

admin_shell_prompt = ("prosody [%s]> "):format(DOMAIN)
admins = FileLines("admins")
oauth2_registration_key = FileLine("secret")
whole_secret = FileContents("secret")
turn_external_secret = Credential("turn")
network_settings = Lua.require "prosody.util.json".decode(ENV_HOUSE_NETWORK or [[{"read_timeout": 300, "list": [1, "two"]}]])
modules_enabled = {
	"roster"; "saslauth"; "bosh"; "websocket"; "http_files"; "invites"; "invites_api"; "invites_register_api"; "rest";
}
if ENV_HOUSE_TURN then modules_enabled: append { "turn_external"; } end
contact_info = { abuse = ENV_HOUSE_ABUSE and { ENV_HOUSE_ABUSE } or nil; }
http_ports = { ENV_HOUSE_HTTP_PORT or 5280 }
https_ports = {};
c2s_direct_tls_ports = { 5223 }
use_ipv6 = (ENV_HOUSE_IPV6 ~= "0")
trusted_proxies = { "172.16.0.0/12" }
archive_expires_after = ("%dd"):format(DAYS)
invite_expiry = "1 month"
invites_page = ENV_HOUSE_URL or ("https://"..DOMAIN.."/invite/{invite.token}/");
http_default_host = DOMAIN
http_host = DOMAIN
http_external_url = "https://"..DOMAIN.."/"
site_name = ENV_HOUSE_NAME or DOMAIN

VirtualHost (DOMAIN)
	modules_enabled = { "house_things"; }
	modules_enabled: append { "more_things"; }
	http_paths = { files = "/"; invites_page = "/invite"; }
	Lua.print "done"
Component ("groups."..DOMAIN) "muc"
	modules_enabled = { "muc_mam" }
Component ("share."..DOMAIN) "http_file_share"
	http_file_share_expires_after = 60 * 60 * 24 * DAYS
