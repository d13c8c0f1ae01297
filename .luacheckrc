-- The Lua in this repository is for Prosody (prosody/), which gives each module its own environment.
std = "lua54"
max_line_length = 130
cache = false
codes = true

files["prosody/mod_*/*.lua"] = {
	read_globals = { "prosody" },
	globals = {
		"module", "ask",
		-- The interface of mod_invites: other modules call these.
		"create_account", "create_account_reset", "create_contact", "create_group", "delete_account_invite", "get",
		"get_account_invite_info", "pending_account_invites", "shell", "use",
	},
}

files["prosody/spec/*_spec.lua"] = { std = "+busted" }
