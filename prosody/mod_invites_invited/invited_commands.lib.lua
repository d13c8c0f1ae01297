-- Commands of mod_invites: `prosodyctl mod_invites` and the section `invite` of the admin shell. Part of mod_invites, with
-- whose functions they work.

local jid = require "util.jid";
local nodeprep = require "util.encodings".stringprep.nodeprep;
local usermanager = require "core.usermanager";

local modern = usermanager.set_user_role ~= nil; -- COMPAT: as in mod_invites.lua

-- What each command takes beside an address, in the form that the shell of Prosody 13 asks for.
local flags = {
	create_account = {
		array_params = { role = true; group = true }; value_params = { expires_after = true }; kv_params = { admin = true };
	};
	create_contact = { value_params = { expires_after = true }; kv_params = { allow_registration = true } };
	create_reset = { value_params = { expires_after = true } };
};

-- The options of a call with their `ttl` in seconds, or nil and why there are none.
local function options_of(command, address, given)
	if given == nil then return {}; end
	if type(given) ~= "table" then return nil, "Unexpected argument: "..tostring(given); end
	local opts = {};
	for name, value in pairs(given) do
		local known;
		for _, params in pairs(flags[command]) do
			known = known or type(params) == "table" and params[name];
		end
		if known then
			opts[name] = value;
		elseif name ~= 1 or value ~= address then -- the shell of Prosody 13 leaves the address among them
			return nil, "Unexpected argument: "..tostring(type(name) == "number" and value or name);
		end
	end
	for name in pairs(flags[command].array_params or {}) do
		if type(opts[name]) == "string" then opts[name] = { opts[name] }; end
	end
	if opts.expires_after then
		local parse = require "util.human.io".parse_duration; -- Prosody 13
		opts.ttl = parse and parse(opts.expires_after);
		if not opts.ttl then return nil, "Unable to parse duration: "..tostring(opts.expires_after); end
	end
	return opts;
end

-- The name of an account that is there, or nil and what is wrong, in the words of Prosody 13.
local function existing_account(address, purpose)
	local username = jid.node(address);
	if not username then
		return nil, "Supply the JID of the account you want "..purpose;
	elseif not usermanager.user_exists(username, module.host) then
		return nil, "The specified user account does not exist: "..username;
	end
	return username;
end

local function describe(invite)
	if invite.type == "roster" then return "Contact with "..invite.jid; end
	local reset = invite.additional_data.allow_reset;
	if reset then return "Password reset for "..reset.."@"..module.host; end
	local username = jid.node(invite.jid or module.host);
	return "Register on "..module.host..(username and " with username "..username or "");
end

local shell_commands = {
	create_account = "Create an invitation for the given JID, or for any username if given a hostname";
	create_contact = "Create an invitation to become a contact of the given user";
	create_reset = "Create a password reset link for the given user";
	delete = "Revoke an invitation"; list = "List pending invitations"; show = "Show an invitation";
};
shell = {};

function shell:create_account(address, given) --luacheck: ignore 212/self
	local opts, wrong = options_of("create_account", address, given);
	if not opts then return nil, wrong; end
	local roles = opts.role or {};
	if opts.admin then table.insert(roles, 1, "prosody:admin"); end
	local invite, err = create_account(jid.node(address), { roles = roles; groups = opts.group }, opts.ttl);
	if not invite then return nil, err; end
	return true, invite.landing_page or invite.uri;
end

function shell:create_contact(address, given) --luacheck: ignore 212/self
	-- COMPAT: in Prosody 0.12.3 the second argument is allow_registration itself
	if given ~= nil and type(given) ~= "table" then given = { allow_registration = given }; end
	local opts, wrong = options_of("create_contact", address, given);
	if not opts then return nil, wrong; end
	local username, missing = existing_account(address, "the recipient to become a contact of");
	if not username then return nil, missing; end
	local invite, err = create_contact(username, opts.allow_registration, nil, opts.ttl);
	if not invite then return nil, err; end
	return true, invite.landing_page or invite.uri;
end

function shell:create_reset(address, given)
	local opts, wrong = options_of("create_reset", address, given);
	if not opts then return nil, wrong; end
	local username, missing = existing_account(address, "to generate a password reset for");
	if not username then return nil, missing; end
	local invite, err = create_account_reset(username, opts.ttl);
	if not invite then return nil, err; end
	self.session.print(invite.landing_page or invite.uri);
	return true, ("Password reset link for %s valid until %s"):format(address, os.date("%Y-%m-%d %H:%M:%S", invite.expires));
end

function shell:delete(_, token) --luacheck: ignore 212/self
	local ok, err = delete_account_invite(token);
	if not ok then return nil, err; end
	return true, "Invitation deleted";
end

function shell:list()
	local count = 0;
	local row = "%-24s | %-20s | %s";
	self.session.print(row:format("Token", "Expires", "Description"));
	for token, invite in pending_account_invites() do
		count = count + 1;
		self.session.print(row:format(token, os.date("%Y-%m-%dT%H:%M:%S", invite.expires), describe(invite)));
	end
	return true, ("%d pending invites"):format(count);
end

function shell:show(_, token)
	local invite, err = get_account_invite_info(token);
	if not invite then return nil, err; end
	local data, print = invite.additional_data, self.session.print;
	print(describe(invite));
	print("Created:", os.date("%Y-%m-%d %H:%M:%S", invite.created_at));
	print("Expires:", os.date("%Y-%m-%d %H:%M:%S", invite.expires));
	print("XMPP URI:", invite.uri);
	if invite.landing_page then print("Web link:", invite.landing_page); end
	if invite.inviter then print("Creator:", invite.inviter); end
	if data.roles then
		local roles = {}; -- a list, or in Prosody 0.12 a map
		for k, v in pairs(data.roles) do table.insert(roles, type(k) == "number" and v or k); end
		print("Roles:", table.concat(roles, ", "));
	end
	if data.groups then print("Groups:", table.concat(data.groups, ", ")); end
	if data.note then print("Comment:", data.note); end
	return true, "Invitation valid";
end

local function offer_shell_commands()
	-- COMPAT: the shell of Prosody 0.12.3 has one table for all hosts
	local env = not modern and module:shared("/*/admin_shell/env");
	if env then env.invite = {}; end
	for name, description in pairs(shell_commands) do
		local takes_host = name == "delete" or name == "list" or name == "show";
		if env then
			env.invite[name] = function (self, address, option)
				local _, host = jid.split(tostring(address));
				local invites = host and prosody.hosts[host] and prosody.hosts[host].modules.invites;
				if not invites then return nil, "mod_invites not loaded on this host"; end
				return invites.shell[name](self, address, option);
			end;
		else
			local args = { { name = takes_host and "host" or "user_jid"; type = "string" } };
			if takes_host and name ~= "list" then args[2] = { name = "token"; type = "string" }; end
			module:add_item("shell-command", {
				section = "invite"; section_desc = "Create and manage invitations"; name = name; desc = description;
				args = args; host_selector = args[1].name; handler = shell[name]; flags = flags[name];
			});
		end
	end
end

local usage = "usage: prosodyctl mod_invites generate example.com";
local help = [[
usage: prosodyctl mod_invites generate DOMAIN --reset USERNAME
usage: prosodyctl mod_invites generate DOMAIN [--admin] [--role ROLE] [--group GROUPID]...

    --reset USERNAME  a password reset link, with no other option
    --admin           make the new user an admin, as --role prosody:admin
    --role ROLE       give the new user this role; the last one wins
    --group GROUPID   add the new user to this group; may be given several times]];

local function usage_error(message)
	print(message);
	return 2;
end

local function run(arg)
	local host = arg[2];
	if arg[1] ~= "generate" or not host then return usage_error(usage); end
	if host == "--help" or arg[3] == "--help" then return usage_error(help); end
	if not prosody.hosts[host] then
		print("Host "..host.." does not exist");
		return 1;
	end
	local reset, role;
	local groups = {};
	local at = 3;
	while arg[at] do
		local option, value = arg[at], arg[at + 1];
		if option == "--admin" then
			role, at = "prosody:admin", at - 1;
		elseif option == "--role" then
			if not value then return usage_error("Please supply a role name"); end
			role = value;
		elseif option == "--group" or option == "-g" then
			if not value then return usage_error("Please supply a group ID"); end
			table.insert(groups, value);
		elseif option == "--reset" then
			reset = value and nodeprep(value);
			if not reset or reset == "" then
				return usage_error("Please supply a valid username to generate a reset link for");
			end
		elseif option == "--help" then
			return usage_error(help);
		else
			return usage_error("unexpected argument: "..option);
		end
		at = at + 2;
	end
	if reset and role then
		return usage_error("--role/--admin and --reset are mutually exclusive");
	elseif reset and groups[1] then
		return usage_error("--group and --reset are mutually exclusive");
	end

	require "core.storagemanager".initialize_host(host);
	if prosody.hosts[host].users.name == "null" then usermanager.initialize_host(host); end
	module.host = host; --luacheck: ignore 122/module
	-- A community module that sets landing pages, for those who keep it
	local pages = module:get_option_string("invites_page_module", "invites_page");
	if require "core.modulemanager".get_modules_for_host(host):contains(pages) then module:depends(pages); end

	local invite, why;
	if reset then
		invite, why = create_account_reset(reset);
	else
		invite, why = create_account(nil, { roles = { role }; groups = groups });
	end
	if not invite then
		print("Error: "..why);
		return 1;
	end
	print(invite.landing_page or invite.uri);
	return 0;
end

return { offer_shell_commands = offer_shell_commands; run = run };
