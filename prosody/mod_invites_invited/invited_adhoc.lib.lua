-- The commands of mod_invites_adhoc with the forms of XEP-0401 0.6.0. Part of mod_invites.
--
-- mod_adhoc knows who may run a command, lists the commands and keeps their steps; mod_invites_adhoc registers them. Only
-- their handlers are replaced or mended here, so permissions and options hold as they do without this module.

local dataforms = require "util.dataforms";
local datetime = require "util.datetime";
local jid = require "util.jid";
local nodeprep = require "util.encodings".stringprep.nodeprep;
local usermanager = require "core.usermanager";

local modern = usermanager.set_user_role ~= nil; -- COMPAT: as in mod_invites.lua

local account_node = "urn:xmpp:invite#create-account";
local contact_node = "urn:xmpp:invite#invite";
local reset_node = "xmpp:prosody.im/mod_invites_adhoc#password-reset";

-- XEP-0401 §3.2: the first answer is the form. Without it, Prosody's one step: an invite for any name at once.
local form_first = module:get_option_boolean("invites_create_account_form", true);

local account_form = dataforms.new({
	title = "Create an account invite";
	instructions = "Leave the name empty to let the new user choose one.";
	{ name = "username"; type = "text-single"; label = "Name of the account" };
	{ name = "roster-subscription"; type = "boolean"; label = "Add the new user to my contacts, and me to theirs" };
});

local reset_form = dataforms.new({
	title = "Create a password reset link";
	{ name = "accountjid"; type = "jid-single"; required = true; label = "Address of the account" };
});

-- XEP-0401 §3.1.1. Fields without a value are left out.
local function result_of(values)
	local layout = {
		title = "Your invite has been created";
		{ name = "FORM_TYPE"; type = "hidden"; value = "urn:xmpp:invite#invitation" };
	};
	local function field(name, value, label)
		if value then table.insert(layout, { name = name; type = "text-single"; value = value; label = label }); end
	end
	field("uri", values.uri, "Invite URI");
	field("landing-url", values.url, "Invite web page");
	field("expire", values.expire, "Invite valid until");
	return { status = "completed"; result = { layout = dataforms.new(layout) } };
end

local function refused(kind, condition, text)
	return { status = "error"; error = { type = kind; condition = condition; text = text } };
end

local function answer(invite, err, problem)
	if invite then
		return result_of({ uri = invite.uri; url = invite.landing_page; expire = datetime.datetime(invite.expires) });
	elseif not problem then
		return refused("modify", "not-acceptable", err);
	elseif problem.type == "wait" then
		return refused("wait", "service-unavailable", "Invites cannot be created now. Try again later.");
	end
	return refused(problem.type, problem.condition, problem.detail);
end

-- The account in a field, or nil and why there is none.
local function existing_account(address)
	local username, host = jid.prepped_split(address);
	if not username or host ~= module.host then
		return nil, refused("modify", "not-acceptable", "That is no account of "..module.host..".");
	elseif not usermanager.user_exists(username, host) then
		return nil, refused("cancel", "item-not-found", "There is no such account.");
	end
	return username;
end

local function create_account_command(_, data, asked)
	if data.action == "cancel" then return { status = "canceled" }; end
	if form_first and not (asked or data.form or data.action == "complete") then
		local actions = { "complete"; default = "complete" };
		return { status = "executing"; actions = actions; form = { layout = account_form } }, "asked";
	end
	local fields, problems = {}, nil;
	if data.form then fields, problems = account_form:data(data.form); end
	if problems then
		local name, problem = next(problems);
		return refused("modify", "not-acceptable", name..": "..problem);
	end
	local username = fields.username;
	if username == "" then username = nil; end
	if username then
		username = nodeprep(username, true);
		if not username or username == "" then
			return refused("modify", "not-acceptable", "username: this name cannot be used.");
		elseif usermanager.user_exists(username, module.host) then
			return refused("cancel", "conflict", "username: this account exists already.");
		end
	end
	local details = { source = data.from };
	if fields["roster-subscription"] then
		local inviter, problem = existing_account(jid.bare(data.from));
		if not inviter then return problem; end
		details.roster_subscription = inviter;
	end
	return answer(create_account(username, details));
end

local function reset_command(_, data, asked)
	if data.action == "cancel" then return { status = "canceled" }; end
	if not (asked or data.form) then
		local actions = { "complete"; default = "complete" };
		return { status = "executing"; actions = actions; form = { layout = reset_form } }, "asked";
	end
	local fields, problems = {}, nil;
	if data.form then fields, problems = reset_form:data(data.form); end
	if problems or not fields.accountjid then
		return refused("modify", "not-acceptable", "accountjid: "..(problems and problems.accountjid or "a value is missing"));
	end
	local username, problem = existing_account(fields.accountjid);
	if not username then return problem; end
	return answer(create_account_reset(username, { source = data.from }, nil));
end

-- Prosody's own handler knows who may invite newcomers; what it answers is put into the form of the XEP.
local function mended(handler)
	return function (...)
		-- COMPAT: mod_invites_adhoc of Prosody 0.12.3 and 13 raises an error without an invite, and the client gets no reply
		local ok, data, state = pcall(handler, ...);
		if not ok then
			module:log("error", "An invite command failed: %s", data);
			return refused("wait", "service-unavailable", "Invites cannot be created now. Try again later.");
		end
		local form = data.form or data.result;
		local values = data.status == "completed" and form and form.values;
		return values and result_of(values) or data, state;
	end;
end

local own_reset;

local function added(event)
	local item = event.item;
	if item == own_reset or item.invited_handler then return; end
	local handler = item.node == account_node and create_account_command
		or item.node == reset_node and reset_command
		or item.node == contact_node and mended(item.handler);
	if not handler then return; end
	item.handler, item.invited_handler = handler, item.handler;
	if item.node == account_node and not modern then
		own_reset = module:require("adhoc").new("Create password reset link", reset_node, reset_command, "admin");
		module:add_item("adhoc-provider", own_reset);
	end
end

local function removed(event)
	local item = event.item;
	if item.invited_handler then item.handler, item.invited_handler = item.invited_handler, nil; end
	if own_reset and item.node == account_node then
		module:remove_item("adhoc-provider", own_reset);
		own_reset = nil;
	end
end

local function mend_commands()
	module:handle_items("adhoc-provider", added, removed);
end

local function restore_commands()
	for _, item in ipairs(module:get_host_items("adhoc-provider")) do
		if item.invited_handler then item.handler, item.invited_handler = item.invited_handler, nil; end
	end
end

return { mend_commands = mend_commands; restore_commands = restore_commands };
