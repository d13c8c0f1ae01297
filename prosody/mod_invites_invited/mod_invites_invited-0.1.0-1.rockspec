package = "mod_invites_invited"
version = "0.1.0-1"
source = {
	url = "https://example.org/invited/mod_invites_invited-0.1.0.tar.gz",
	dir = "mod_invites_invited",
}
description = {
	summary = "Invites for Prosody, kept by the invited daemon",
	detailed = "Takes the place of Prosody's own mod_invites. mod_invites_register and mod_invites_adhoc stay as they are.",
	license = "MIT OR Apache-2.0",
}
dependencies = {
	"lua >= 5.2",
}
build = {
	type = "builtin",
	modules = {
		["mod_invites.invited_accounts"] = "invited_accounts.lib.lua",
		["mod_invites.invited_adhoc"] = "invited_adhoc.lib.lua",
		["mod_invites.invited_bridge"] = "invited_bridge.lib.lua",
		["mod_invites.invited_commands"] = "invited_commands.lib.lua",
		["mod_invites.invited_connection"] = "invited_connection.lib.lua",
		["mod_invites.invited_questions"] = "invited_questions.lib.lua",
		["mod_invites.invited_upkeep"] = "invited_upkeep.lib.lua",
		["mod_invites.mod_invites"] = "mod_invites.lua",
		["mod_invited_tokens.mod_invited_tokens"] = "mod_invited_tokens.lua",
		["mod_invites_api.mod_invites_api"] = "mod_invites_api.lua",
	},
}
