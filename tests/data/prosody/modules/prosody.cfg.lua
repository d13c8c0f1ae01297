-- Modules that are switched off above or in a host, and on again.
modules_enabled = { "roster", "a", "b", "c", "tls", "invites_page" }
modules_disabled = { "b", "s2s", "invites_page" }

VirtualHost "plain.example"
VirtualHost "back.example"
	modules_enabled = { "b", "invites_page" }
VirtualHost "off.example"
	modules_disabled = { "a", "presence" }
VirtualHost "both.example"
	modules_enabled = { "b", "d", "e" }
	modules_disabled = { "d", "c" }
VirtualHost "nothing.example"
	modules_enabled = {}
	modules_disabled = {}
VirtualHost "gap.example"
	modules_enabled = { "x", nil, "y" }
VirtualHost "text.example"
	modules_enabled = "z"
Component "part.example" "muc"
	modules_enabled = { "b", "muc_mam" }
Component "bare.example"
