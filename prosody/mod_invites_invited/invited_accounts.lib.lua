-- What Prosody knows of its accounts. Part of mod_invites.

local datamanager = require "util.datamanager";
local lfs = require "lfs";
local storagemanager = require "core.storagemanager";
local usermanager = require "core.usermanager";

-- Those that keep accounts in Prosody's own store, where a look tells for certain. Others (LDAP, a database elsewhere) answer
-- "no such user" during an outage, too.
local certain = { internal_hashed = true; internal_plain = true };

-- Whether what belongs to an account of this name can be stored. Files are named after the account, and the file system says how
-- long such a name may be; a database takes every name.
local function can_be_stored(username)
	for _, store in ipairs({ "accounts"; "roster" }) do
		local _, driver = storagemanager.get_driver(module.host, store);
		if driver == "internal" then
			-- The longest end that there is, that of a list being written.
			local path = datamanager.getpath(username, module.host, store, "list~", true);
			local _, why = lfs.attributes(path);
			if why and why:find("too long", 1, true) then return false; end
		end
	end
	return true;
end

-- Whether the account exists; nil if Prosody cannot tell now. user_exists() alone would take a broken store, and a host whose
-- authentication module did not load, for a missing account.
local function account_exists(username)
	if not can_be_stored(username) then return false; end
	local _, broken = module:open_store("accounts"):get(username);
	local exists, why = usermanager.user_exists(username, module.host);
	if exists then return true; end
	local provider = usermanager.get_provider(module.host);
	if broken or why == "method not implemented" or not (provider and certain[provider.name]) then return nil; end
	return false;
end

-- Whether the account is disabled, which Prosody 13 knows.
local function account_is_disabled(username)
	return usermanager.user_is_enabled ~= nil and not usermanager.user_is_enabled(username, module.host);
end

return { account_exists = account_exists; account_is_disabled = account_is_disabled; can_be_stored = can_be_stored };
