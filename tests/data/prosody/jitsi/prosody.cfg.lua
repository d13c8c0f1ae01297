-- The style of Jitsi: hosts without accounts, components by the dozen, modules of its own.
plugin_paths = { "/usr/share/jitsi-meet/prosody-plugins/" }
muc_mapper_domain_base = "meet.example";
external_services = {
	{ type = "stun", host = "meet.example", port = 3478 },
	{ type = "turn", host = "meet.example", port = 3478, transport = "udp", secret = true, ttl = 86400, algorithm = "turn" },
};
http_default_host = "meet.example"
consider_bosh_secure = true;
cross_domain_websocket = { "https://meet.example" };
smacks_max_unacked_stanzas = 5;
http_ports = { 5280 }
http_interfaces = { "*", "::" }
https_ports = { }
unlimited_jids = { "focus@auth.meet.example" }
Include "conf.d/*.cfg.lua"
