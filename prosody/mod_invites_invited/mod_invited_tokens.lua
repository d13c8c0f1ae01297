-- Tells the invited daemon whether one of Prosody's own access tokens (mod_tokenauth) is good, and whether its owner
-- may administer the host. The daemon asks (its option `prosody_url`) when a portal shows such a token on /admin_api.
--
-- One address answers for all hosts that load the module, whatever the Host header says: the question names the host.

module:set_global();

local hashes = require "util.hashes";
local jid = require "util.jid";
local json = require "util.json";
local usermanager = require "core.usermanager";

local hosts = {}; -- host -> the module's side of that host
local max_token = 4096; -- bytes

-- The same options as mod_invites has.
local function secret_of(host)
	local secret = host:get_option_string("invited_secret");
	if not secret and host:get_option_string("invited_secret_file") then
		for _, parent in ipairs({ "config"; "data" }) do
			local file = io.open(host:get_option_path("invited_secret_file", nil, parent));
			if file then
				secret = file:read("*a");
				file:close();
				break;
			end
		end
	end
	return secret and secret:match("^%s*(%S+)%s*$");
end

local function may_ask(request, host)
	local secret, shown = secret_of(host), (request.headers.authorization or ""):match("^Bearer (%S+)$");
	if not secret then
		host:log("error", "Neither invited_secret nor a readable invited_secret_file is set, so the daemon is refused");
		return false;
	end
	return shown and hashes.equals(hashes.sha256(shown), hashes.sha256(secret));
end

-- COMPAT: tokens of Prosody 0.12 have no role but a scope, which in mod_http_oauth2 was such a word or a role's name.
local admin_scopes = { ["prosody:scope:admin"] = true; ["prosody:admin"] = true };

-- A token without a scope is as good as its owner.
local function scope_admits(scope)
	if scope == nil then return true; end
	for word in tostring(scope):gmatch("%S+") do
		if admin_scopes[word] then return true; end
	end
	return false;
end

-- The owner of a good token, and whether the token lets the owner administer the host.
local function bearer(host, token)
	local tokens = host:depends("tokenauth");
	if tokens.get_token_session then
		local session = tokens.get_token_session(token);
		if not session then return nil; end
		session.type, session.full_jid = "c2s", jid.join(session.username, session.host, session.resource);
		return session.username, host:may(":access-admin-api", { session = session }) == true;
	end

	local info = tokens.get_token_info(token);
	local username, token_host = jid.split(info and info.jid);
	if token_host ~= host.host or not username or not usermanager.user_exists(username, token_host) then
		return nil;
	end
	local is_admin = usermanager.is_admin(jid.join(username, token_host), token_host);
	return username, is_admin == true and scope_admits(info.session and info.session.auth_scope);
end

local function answer(event)
	local question = json.decode(event.request.body or "");
	local host = type(question) == "table" and hosts[question.host];
	if not host then return 404; end
	if not may_ask(event.request, host) then return 401; end
	if type(question.token) ~= "string" or #question.token > max_token then return 400; end

	local username, is_admin = bearer(host, question.token);
	event.response.headers.content_type = "application/json";
	return json.encode(username and { username = username; admin = is_admin } or {});
end

function module.add_host(host)
	hosts[host.host] = host;
	host:depends("tokenauth");
	if host.default_permission then -- roles have permissions since Prosody 13
		host:default_permission("prosody:admin", ":access-admin-api");
	end
	function host.unload()
		hosts[host.host] = nil;
	end
end

module:provides("http", {
	name = "invited";
	cors = { enabled = false };
	route = { POST = answer };
});
