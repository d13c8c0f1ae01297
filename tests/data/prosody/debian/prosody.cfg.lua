-- The style of Debian's package: everything above, hosts in files of their own.
admins = { }
plugin_paths = { "/usr/local/lib/prosody/modules" }
modules_enabled = {
	"roster"; "saslauth"; "tls"; "dialback"; "disco";
	"carbons"; "pep"; "private"; "blocklist"; "vcard4"; "vcard_legacy"; "vcard"; "limits";
	"version"; "uptime"; "time"; "ping"; "register";
	"invites"; "invites_adhoc"; "invites_register"; "invites_page"; "invites_register_web"; "invites_api";
	"admin_adhoc"; "admin_shell"; "posix";
}
modules_disabled = {
	-- "offline";
}
pidfile = "/run/prosody/prosody.pid";
s2s_secure_auth = true
limits = { c2s = { rate = "10kb/s" }; s2sin = { rate = "30kb/s" } }
authentication = "internal_hashed"
storage = { archive = "internal"; accounts = "internal" }
archive_expires_after = "1w"
log = {
	info = "/var/log/prosody/prosody.log";
	{ levels = { "error" }; to = "syslog" };
}
certificates = "certs"
invite_expiry = 60 * 60 * 24 * 14

VirtualHost "localhost"

Include "conf.d/*.cfg.lua"
