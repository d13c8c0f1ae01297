-- luacheck: read globals module

-- Stands for whatever hands out Prosody's access tokens, such as mod_http_oauth2; 0.12 has no command for it.

local jid = require "util.jid";
local json = require "util.json";
local usermanager = require "core.usermanager";
local tokens = module:depends("tokenauth");

-- In 13 a token has one of its owner's roles in place of a scope.
local function role_of(username, scope)
	local role = usermanager.get_user_role(username, module.host).name;
	if scope and not scope:find("prosody:scope:admin", 1, true) then
		role = "prosody:registered";
		assert(usermanager.add_user_secondary_role(username, module.host, role));
	end
	return role;
end

local function create(asked)
	if tokens.create_jid_token then return (tokens.create_jid_token(asked.jid, asked.jid, asked.scope, asked.ttl)); end
	local grant = assert(tokens.create_grant(asked.jid, asked.jid, nil, {}));
	return (tokens.create_token(asked.jid, grant, role_of(jid.node(asked.jid), asked.scope), asked.ttl));
end

module:depends("http");
module:provides("http", {
	name = "e2e_tokens";
	route = {
		POST = function (event)
			local asked = json.decode(event.request.body);
			if asked.revoke then
				return tokens.revoke_token(asked.revoke) and 200 or 500;
			end
			return create(asked);
		end;
	};
});
