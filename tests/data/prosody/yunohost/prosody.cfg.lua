-- The style of YunoHost's and other panels' packages: many hosts, each with components of its own.
daemonize = true
use_libevent = true
modules_enabled = {
	"roster", "saslauth", "tls", "dialback", "disco", "private", "vcard", "version", "uptime", "time", "ping", "pep",
	"register", "admin_adhoc", "posix", "http_upload_external",
}
modules_disabled = { "offline" }
allow_registration = false
authentication = "ldap2"
ldap = { hostname = "localhost", user = { basedn = "ou=users,dc=panel,dc=example", filter = "(&(permission=chat)(uid=%s))" } }
bosh_max_inactivity = 30
consider_bosh_secure = true
cross_domain_bosh = true
ports = { 5222 }
http_ports = { 5290 }
http_interfaces = { "127.0.0.1", "::1" }
https_ports = { 5291 }
http_max_content_size = 1024 * 1024
Include "conf.d/*.cfg.lua"
