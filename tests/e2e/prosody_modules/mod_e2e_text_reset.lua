-- luacheck: read globals module

-- Resets a password as the community module mod_invites_register_api does: asks nobody, has no session, and sends a text.

local usermanager = require "core.usermanager";

local invites = module:depends("invites");
module:depends("http");

module:provides("http", {
	route = {
		["POST"] = function (event)
			local token, username, password = event.request.body:match("^(%S+) (%S+) (%S+)$");
			local invite = invites.get(token);
			if not invite then return 404; end
			if invite.additional_data.allow_reset ~= username then return 403; end
			if not usermanager.set_password(username, password, module.host) then return 500; end
			module:fire_event("user-password-reset", username);
			return 200;
		end;
	};
});
