-- luacheck: read globals module

-- Stands for whatever hands out Prosody's access tokens, such as mod_http_oauth2; 0.12 has no command for it.

local json = require "util.json";
local tokens = module:depends("tokenauth");

module:depends("http");
module:provides("http", {
	name = "e2e_tokens";
	route = {
		POST = function (event)
			local asked = json.decode(event.request.body);
			if asked.revoke then
				return tokens.revoke_token(asked.revoke) and 200 or 500;
			end
			return (tokens.create_jid_token(asked.jid, asked.jid, asked.scope, asked.ttl));
		end;
	};
});
