-- Invites kept by the invited daemon, behind the interface of Prosody's own mod_invites.
--
-- This module holds no invites and no policy: it asks the daemon (docs/bridge.md). What it adds is the order of
-- events inside Prosody: one use of the invite is reserved before the account is made, confirmed after, and a
-- reservation that nobody finished is settled by looking whether the account exists.

local async = require "util.async";
local cache = require "util.cache";
local errors = require "util.error";
local jid = require "util.jid";
local json = require "util.json";
local random = require "util.random";
local st = require "util.stanza";
local stringprep = require "util.encodings".stringprep;
local now = require "util.time".monotonic;
local usermanager = require "core.usermanager";

local unknown_for = 3; -- seconds for which an unknown token is not asked about again
local never = 253402300799; -- COMPAT: callers in Prosody 0.12.3 and 13 take `expires` for a number

-- COMPAT: Prosody 0.12.3 has roles as a map and shell commands in a shared table; 13 has lists and items
local modern = usermanager.set_user_role ~= nil;

-- Shared tables outlive a reload of this module, and attempts under way must.
local open = module:shared("open"); -- reservation -> { at, holder, verdict }
local asking = module:shared("asking"); -- username -> number of reserve questions without an answer yet
local process = module:shared("process");
process.since = process.since or now();

local unknown = cache.new(1000);
local resets = cache.new(100); -- username -> the reset of that account that was looked at last
local announced; -- whose change of password Prosody told of last, since a reset was allowed

local function refusal(kind, condition, detail, code)
	return { code = code; detail = detail; type = kind; condition = condition };
end

-- Without its other files this module must still load and deny: where it does not, mod_invites_register does not either, and
-- registration may be open to everybody.
local function part(name)
	local ok, found = pcall(module.require, module, name);
	if ok then return found; end
	module:log("error", "A file of this module is missing or broken: %s", found);
	return nil;
end

local bridge = part("invited_bridge");
local commands, adhoc, upkeep = part("invited_commands"), part("invited_adhoc"), part("invited_upkeep");
local accounts, questions = part("invited_accounts"), part("invited_questions");

-- Also for mod_invites_api, which is another module.
ask = bridge and bridge.ask or function ()
	return nil, refusal("wait", "internal-server-error", "The invite service is not installed completely.", "not_installed");
end

-- Letters and digits only: clients and link detection trip over anything else. 248 is the largest multiple of 62 in a
-- byte; larger bytes are thrown away so that every character is equally likely.
local alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
local function new_token()
	local token = "";
	while #token < 24 do
		local byte = random.bytes(1):byte();
		if byte < 248 then
			local at = byte % 62 + 1;
			token = token..alphabet:sub(at, at);
		end
	end
	return token;
end

local function new_holder()
	return { id = new_token() };
end

local function well_formed(token)
	return type(token) == "string" and #token >= 10 and #token <= 255 and not token:find("[^%w_-]");
end

local strings = {
	invite_expired = "token-expired"; invite_not_for_this = "token-invalid"; invite_revoked = "token-invalid";
	invite_unknown = "token-invalid"; invite_used_up = "token-invalid"; store_unavailable = "internal-server-error";
	no_token = "no-token"; unauthorized = "internal-server-error"; unknown_host = "internal-server-error";
};
local function as_string(problem)
	return strings[problem.code] or problem.detail;
end

local function copy(value)
	if type(value) ~= "table" then return value; end
	if value == json.null then return nil; end -- a table, and so true
	local t = {};
	for k, v in pairs(value) do t[k] = copy(v); end
	return t;
end

local function role_list(roles)
	local list = {};
	for _, role in ipairs(roles) do table.insert(list, role); end
	if list[1] then return list; end
	for role, given in pairs(roles) do
		if given then table.insert(list, role); end
	end
	table.sort(list);
	return list;
end

-- A fresh table each time, because callers change what they get.
local function from_answer(answer, token)
	local invite = copy(answer);
	invite.token = invite.token or token;
	invite.expires = invite.expires or never;
	invite.additional_data = invite.additional_data or {};
	local roles = invite.additional_data.roles;
	if roles and not modern then
		invite.additional_data.roles = {};
		for _, role in ipairs(roles) do invite.additional_data.roles[role] = true; end
	end
	return invite;
end

-- What Prosody knows against such an invite, which nobody could use; nothing if it cannot tell.
local function objection(kind, username, data)
	if not questions then return nil; end
	local name = data.allow_reset or username;
	local known = questions.answer({ accounts = { name }; roles = data.roles ~= nil });
	local standing, account = name and known.accounts[name], (name or "").."@"..module.host;
	if kind == "roster" or data.allow_reset then
		if standing == "missing" or standing == "unusable" then
			return refusal("cancel", "item-not-found", "There is no account "..account);
		end
	elseif standing == "unusable" then
		return refusal("modify", "not-acceptable", "This name is too long for this server");
	elseif standing == "exists" or standing == "disabled" then
		return refusal("cancel", "conflict", "The account "..account.." exists already");
	end
	for _, role in ipairs(known.roles and role_list(data.roles) or {}) do
		local is_known = false;
		for _, other in ipairs(known.roles) do is_known = is_known or other == role; end
		if not is_known then
			local names = table.concat(known.roles, ", ");
			return refusal("modify", "not-acceptable", ("There is no role %s; there are: %s"):format(role, names));
		end
	end
end

local function new_invite(kind, username, allow_registration, additional_data, ttl, reusable)
	if username then
		username = stringprep.nodeprep(username, true);
		if not username or username == "" then return nil, "invalid-username"; end
	end
	local against = objection(kind, username, additional_data or {});
	if against then return nil, as_string(against), against; end
	-- COMPAT: Prosody 0.12.3 passes invite_expiry in seconds, 13 understands periods
	ttl = tonumber(ttl or (module.get_option_period or module.get_option_number)(module, "invite_expiry") or nil);
	ttl = ttl and ttl < math.huge and math.floor(ttl) or nil;
	local token, created_at = new_token(), os.time();
	local address = jid.join(username, module.host):gsub("[^%w._~@-]", function (c) return ("%%%02X"):format(c:byte()); end);
	local invite = {
		type = kind; jid = jid.join(username, module.host); token = token; allow_registration = allow_registration;
		additional_data = copy(additional_data or {}); reusable = reusable;
		uri = ("xmpp:%s?%s;preauth=%s%s"):format(address, kind, token,
			kind == "roster" and allow_registration and ";ibr=y" or "");
		created_at = created_at; expires = created_at + (ttl or 604800); -- for handlers; the daemon decides
	};
	-- Handlers may add a landing page, groups and more, so the daemon is told afterwards.
	module:fire_event("invite-created", invite);

	local data = copy(invite.additional_data) or {};
	data.roles = data.roles and role_list(data.roles);
	for _, key in ipairs({ "groups"; "roles" }) do
		if data[key] and next(data[key]) == nil then data[key] = nil; end -- would be sent as an object
	end
	local answer, problem = ask("create", {
		token = token; type = kind; username = kind == "register" and username or nil;
		inviter = kind == "roster" and username or nil; allow_registration = allow_registration;
		reusable = reusable or false; ttl = ttl; landing_page = invite.landing_page;
		additional_data = data;
	});
	if not answer then
		module:log("warn", "No invite was created: %s", problem.detail);
		return nil, as_string(problem), problem;
	end
	for k, v in pairs(from_answer(answer, token)) do invite[k] = v; end
	return invite;
end

function create_account(username, additional_data, ttl)
	return new_invite("register", username, true, additional_data, ttl);
end

function create_account_reset(username, additional_data, ttl)
	-- COMPAT: Prosody 0.12.3 and 13 pass (username, ttl), some forks (username, additional_data, ttl)
	if type(additional_data) ~= "table" then additional_data, ttl = nil, additional_data; end
	username = username and stringprep.nodeprep(username, true);
	if not username or username == "" then return nil, "invalid-username"; end
	local data = copy(additional_data) or {};
	data.allow_reset = username;
	return new_invite("register", username, true, data, ttl or 86400);
end

function create_contact(username, allow_registration, additional_data, ttl)
	-- COMPAT: the shell of Prosody 0.12.3 passes every argument as text
	allow_registration = allow_registration and allow_registration ~= "false" or false;
	return new_invite("roster", username or "", allow_registration, additional_data, ttl);
end

function create_group(group_ids, additional_data, ttl)
	local data = copy(additional_data) or {};
	data.groups = copy(group_ids);
	return new_invite("register", nil, true, data, ttl, ttl ~= nil);
end

function pending_account_invites()
	local page, at, after, more = {}, 0, nil, true;
	return function ()
		at = at + 1;
		if not page[at] and more then
			local answer, problem = ask("pending", { after = after });
			if not answer then
				module:log("warn", "The list of invites ends early: %s", problem.detail);
				answer = {};
			end
			page, at, after = answer.invites or {}, 1, copy(answer.next);
			more = after ~= nil;
		end
		if not page[at] then return nil; end
		local invite = from_answer(page[at]);
		return invite.token or invite.id, invite;
	end;
end

local function look_up(operation, token, username)
	local key = (username or "").."/"..tostring(token);
	if not token then
		return nil, refusal("cancel", "item-not-found", "There is no token.", "no_token");
	elseif not well_formed(token) or (unknown:get(key) or 0) > now() then
		return nil, refusal("cancel", "item-not-found", "This invite is not known here.", "invite_unknown");
	end
	local answer, problem = ask(operation, { token = token; username = username });
	if not answer then
		if problem.code == "invite_unknown" then unknown:set(key, now() + unknown_for); end
		return nil, problem;
	elseif not username and answer.allow_registration ~= true then
		return nil, refusal("cancel", "item-not-found", "This invite does not allow registration.", "invite_not_for_this");
	end
	return from_answer(answer, token), answer.reservation;
end

function get_account_invite_info(token)
	local invite, problem = look_up("lookup", token);
	if not invite then return nil, as_string(problem); end
	return invite;
end

function delete_account_invite(token)
	if not token then return nil, "no-token"; end
	if not well_formed(token) then return true; end
	local answer, problem = ask("revoke", { token = token });
	if not answer then return nil, as_string(problem); end
	return true;
end

-- Tells the daemon what became of a reservation. If it cannot be reached, the settle loop goes on trying.
local function settle_as(verdict, reservation)
	local entry = open[reservation] or { at = now(); holder = new_holder() };
	entry.verdict = verdict;
	open[reservation] = entry;
	local answer, problem = ask(verdict, { reservation = reservation });
	if answer then
		open[reservation] = nil;
	elseif problem.type ~= "wait" then
		open[reservation] = nil;
		module:log("warn", "invited would not %s a reservation: %s", verdict, problem.code);
	end
	return answer, problem;
end

local function reserve(invite, username)
	local holder = invite.holder or new_holder();
	invite.holder = holder;
	holder.busy, asking[username] = true, (asking[username] or 0) + 1;
	local answer, problem = ask("reserve", { token = invite.token; username = username; holder = holder.id });
	asking[username] = asking[username] > 1 and asking[username] - 1 or nil;
	holder.busy = nil;
	if answer then
		invite.reservation = answer.reservation;
		open[answer.reservation] = { at = now(); holder = holder };
		return true;
	elseif problem.type == "wait" then
		-- It may have been reserved after all. Under a new name this session cannot get hold of that use again, so
		-- the settle loop may give it back without asking what the session does meanwhile.
		holder.id = new_token();
	end
	return nil, problem;
end

local invite_methods = {};
local invite_mt = { __index = invite_methods };

function invite_methods:use()
	if not self.reservation then -- the caller fired no user-registering
		local name = self.type == "register" and self.username;
		if not name then
			-- The daemon counts uses by name, and there is none. What was used must not work again.
			if self.reusable then return true; end
			return delete_account_invite(self.token);
		end
		local ok, problem = reserve(self, name);
		if not ok then return nil, as_string(problem); end
	end
	local reservation = self.reservation;
	self.reservation = nil;
	self.holder.id = new_token(); -- whatever this session registers next is another use
	-- Nobody waits for this: the caller goes on to set roles and rosters, and must be done before the new user logs in.
	async.runner(function (made) settle_as("confirm", made); end):run(reservation);
	return true;
end

local function find(token, holder)
	local invite, problem = look_up("lookup", token);
	if not invite then return nil, problem; end
	local inviter = invite.type == "roster" and (invite.inviter or jid.node(invite.jid)) or nil;
	local found = setmetatable({
		token = invite.token; type = invite.type; uri = invite.uri; additional_data = invite.additional_data;
		reusable = invite.reusable; username = inviter or invite.username; holder = holder;
		-- mod_invites_register puts the new account and this user on each other's roster (XEP-0401 §3.2)
		inviter = inviter or invite.additional_data.roster_subscription;
		-- COMPAT: mod_invites_register_api (community) takes the node of `jid` for the new name
		jid = invite.type == "register" and invite.jid or nil;
	}, invite_mt);
	if invite.additional_data.allow_reset then resets:set(invite.additional_data.allow_reset, found); end
	return found;
end

local function find_contact(token, username)
	if token and not usermanager.user_exists(username, module.host) then
		return nil, refusal("cancel", "item-not-found", "This invite is not known here.", "invite_unknown");
	end
	-- Callers approve the contact as soon as they have the invite, so this is where one of two must lose.
	local invite, reservation = look_up("claim_contact", token, username);
	if not invite then return nil, reservation; end
	local holder = new_holder();
	open[reservation] = { at = now(); holder = holder };
	return setmetatable({
		token = invite.token; type = "roster"; uri = invite.uri; additional_data = invite.additional_data;
		reusable = invite.reusable; username = username; holder = holder; reservation = reservation;
	}, invite_mt);
end

function get(token, username)
	local invite, problem;
	if username then
		invite, problem = find_contact(token, username);
	else
		invite, problem = find(token, new_holder());
	end
	if not invite then return nil, as_string(problem); end
	return invite;
end

function use(token)
	local invite = get(token);
	return invite and invite:use();
end

local function refuse(event, problem)
	event.allowed = false;
	event.reason = problem.detail;
	event.error = errors.new({ type = problem.type; condition = problem.condition; text = problem.detail });
	event.error_type, event.error_condition = problem.type, problem.condition;
end

-- XEP-0445 §3: the token counts as used by the registration that succeeds, and by no other.
local function claim(event)
	local session = event.session;
	local invite = event.validated_invite or session and session.validated_invite;
	local reset = invite and invite.additional_data and invite.additional_data.allow_reset;
	local username = stringprep.nodeprep(event.username or "", true);
	if not username or username == "" then
		return refuse(event, refusal("modify", "not-acceptable", "This name cannot be used."));
	end
	local exists = usermanager.user_exists(username, module.host);
	if reset and not (exists and reset == username) then
		return refuse(event, refusal("cancel", "not-allowed", "This invite is for another account."));
	elseif exists and not reset then
		return; -- Prosody answers conflict, and the client may try another name with its invite untouched
	elseif not exists and accounts and not accounts.can_be_stored(username) then
		return refuse(event, refusal("modify", "not-acceptable", "This name is too long for this server. Choose a shorter one."));
	elseif event.password ~= nil and (stringprep.saslprep(event.password) or "") == "" then
		return refuse(event, refusal("modify", "not-acceptable", "This password has characters that cannot be used. Choose another."));
	end
	if not invite then
		local free, problem = ask("check_name", { username = username });
		if not free then refuse(event, problem); end
		return;
	end
	local ok, problem = reserve(invite, username);
	if not ok then return refuse(event, problem); end

	-- The world may have changed while the daemon was asked. From here to Prosody's own check nothing waits.
	local gone = session and session.destroyed;
	if not gone and (reset or not usermanager.user_exists(username, module.host)) then
		announced = nil;
		return;
	end
	refuse(event, refusal("cancel", "conflict", "The requested username already exists."));
	local reservation = invite.reservation;
	invite.reservation, invite.holder.id = nil, new_token();
	settle_as("release", reservation);
end

local function preauth(event)
	local origin, stanza = event.origin, event.stanza;
	if origin.type ~= "c2s_unauthed" then
		origin.send(st.error_reply(stanza, "cancel", "service-unavailable"));
		return true;
	end
	local token, invite = stanza.tags[1].attr.token, origin.validated_invite;
	if not (invite and invite.reservation and invite.token == token) then -- else its use is this stream's already
		-- Not session.id: that is a table address, and Prosody gives it to a later session again.
		origin.invited_holder = origin.invited_holder or new_holder();
		local problem;
		invite, problem = find(token, origin.invited_holder);
		if not invite then
			origin.send(st.error_reply(stanza, problem.type, problem.condition, problem.detail));
			return true;
		end
	end
	origin.validated_invite = invite;
	origin.send(st.reply(stanza));
	return true;
end

function module.command(arg)
	return commands.run(arg);
end

if prosody.process_type == "prosody" and module.host ~= "*" then
	local ok, why = nil, "its files are not complete";
	if bridge then ok, why = bridge.configure(); end
	if not ok then module:log("error", "No invite works: %s", why); end
	if commands then commands.offer_shell_commands(); end
	if adhoc then adhoc.mend_commands(); end
	module:hook("stanza/iq/urn:xmpp:pars:0:preauth", preauth, 10);
	-- Wrapped, not hooked: this runs after every handler even if one of them ends the event early.
	module:wrap_event("user-registering", function (handlers, name, event)
		local ret = handlers(name, event);
		if event.allowed ~= false then claim(event); end
		return ret;
	end);
	module:hook("user-password-reset", function (event)
		if type(event) ~= "table" then
			-- COMPAT: mod_invites_register_api (community) sends the name alone, and asks nobody before
			local reset = resets:get(event);
			if reset then reset:use(); end
			return;
		end
		-- COMPAT: mod_register_ibr of Prosody 0.12.3 and 13.0.1 resets a password without this event, which ends open sessions;
		-- that of 13.0.7 does not
		if announced ~= event.username then
			prosody.events.fire_event("user-password-changed", { username = event.username; host = module.host });
		end
	end);
	module:hook_global("user-password-changed", function (event)
		if event.host == module.host then announced = event.username; end
	end);
	local modules = module:get_option_inherited_set("modules_enabled", {});
	if module:get_option("invites_page") ~= nil and not modules:contains("invites_page") then -- that module heeds it
		module:log("warn", "The option invites_page has no effect: invites link to the pages of invited. Take it out, or "
			.."redirect that page to theirs");
	end
	if questions and module:get_host_type() == "local" then questions.start(); end
	if upkeep and module:get_host_type() == "local" then upkeep.start(settle_as, new_token); end
end

function module.unload()
	if questions then questions.stop(); end
	if upkeep then upkeep.stop(); end
	if adhoc then adhoc.restore_commands(); end
	if bridge then bridge.close(); end
end
