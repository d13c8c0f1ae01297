-- Invites kept by the invited daemon, behind the interface of Prosody's own mod_invites.
--
-- This module holds no invites and no policy: it asks the daemon (docs/bridge.md). What it adds is the order of
-- events inside Prosody: one use of the invite is reserved before the account is made, confirmed after, and a
-- reservation that nobody finished is settled by looking whether the account exists.

local async = require "util.async";
local cache = require "util.cache";
local errors = require "util.error";
local http = require "net.http";
local jid = require "util.jid";
local json = require "util.json";
local random = require "util.random";
local st = require "util.stanza";
local stringprep = require "util.encodings".stringprep;
local timer = require "util.timer";
local now = require "util.time".monotonic;
local usermanager = require "core.usermanager";

local deadline = 2.5; -- seconds for one question; a slow daemon must not hold up whole s2s streams
local max_outstanding = 256;
local unknown_for = 3; -- seconds for which an unknown token is not asked about again
local attempt_lasts = 30; -- seconds after which a reservation that nobody used is settled
local never = 253402300799; -- COMPAT: callers in Prosody 0.12.3 and 13 take `expires` for a number

-- COMPAT: Prosody 0.12.3 has roles as a map and shell commands in a shared table; 13 has lists and items
local modern = usermanager.set_user_role ~= nil;

-- Shared tables outlive a reload of this module, and attempts under way must.
local open = module:shared("open"); -- reservation -> { at, holder, verdict }
local asking = module:shared("asking"); -- username -> number of reserve questions without an answer yet
local process = module:shared("process");
process.since = process.since or now();

local unknown = cache.new(1000);
local outstanding, stopped, complaint = 0, false, nil;
local base_url, secret;

local function trouble(code, detail, condition)
	return { code = code; detail = detail; type = "wait"; condition = condition or "remote-server-timeout" };
end

local function refusal(kind, condition, detail, code)
	return { code = code; detail = detail; type = kind; condition = condition };
end

local function configure()
	local url = (module:get_option_string("invited_url") or "http://127.0.0.1:5282"):gsub("/+$", "");
	if not url:match("^https?://[^/]") then
		return nil, "invited_url is not an http:// or https:// address";
	end
	local value, why = module:get_option_string("invited_secret"), "neither invited_secret_file nor invited_secret is set";
	local failures = {};
	if not value and module:get_option_string("invited_secret_file") then
		for _, parent in ipairs({ "config"; "data" }) do
			local file, err = io.open(module:get_option_path("invited_secret_file", nil, parent));
			if file then
				value, why = file:read("*a"), "the file named by invited_secret_file is empty or not a file";
				file:close();
				break;
			end
			table.insert(failures, err);
			why = "invited_secret_file cannot be read ("..table.concat(failures, "; ")..")";
		end
	end
	value = value and value:match("^%s*(%S+)%s*$");
	if not value then
		return nil, why.."; give Prosody the secret that invited keeps in its [bridge] secret_file";
	end
	base_url, secret = url, value;
	return true;
end

-- Returns the answer, or nil and a problem { code, detail, type, condition }. Problems of type "wait" say nothing
-- about whether the daemon did what was asked.
local function ask(operation, question)
	if not async.ready() then
		return nil, trouble("cannot_wait", "Invites cannot be checked for this kind of connection.");
	elseif not secret and not configure() then
		return nil, trouble("not_configured", "The invite service is not set up.", "internal-server-error");
	elseif outstanding >= max_outstanding then
		return nil, trouble("busy", "Too many invites are being checked. Try again later.", "resource-constraint");
	end

	question.host = module.host;
	local wait, done = async.waiter();
	local finished, body, status, request = false, nil, 0, nil;
	local function finish(content, code)
		if finished then return; end
		finished, body, status = true, content, code;
		done();
	end
	outstanding = outstanding + 1;
	-- net.http has no deadline of its own. Not module:add_timer: that one falls silent when the module is unloaded.
	local timeout = timer.add_task(deadline, function ()
		if finished then return; end
		if request then http.destroy_request(request); end
		finish("timeout", 0);
	end);
	request = http.request(base_url.."/bridge/v1/"..operation, {
		method = "POST";
		body = json.encode(question);
		headers = { ["Content-Type"] = "application/json"; ["Authorization"] = "Bearer "..secret };
	}, finish);
	wait();
	outstanding = outstanding - 1;
	timer.stop(timeout);

	local answer = status ~= 0 and json.decode(body or "");
	if type(answer) ~= "table" then answer = nil; end
	if status == 200 and answer then
		if complaint then module:log("info", "invited answers again"); end
		complaint = nil;
		return answer;
	end
	local xmpp = answer and answer.xmpp;
	local code = answer and type(xmpp) == "table" and answer.code or "unreachable";
	local mine = { -- faults of the set-up, which are for the log and not for the client
		unauthorized = "invited refuses the secret; compare invited_secret_file with its [bridge] secret_file";
		unknown_host = ("invited does not know this host; add [hosts.%q] to its configuration"):format(module.host);
		unreachable = ("invited does not answer at invited_url (%s)"):format(status == 0 and body or status);
	};
	if status == 401 then secret = nil; end -- read it anew next time
	if mine[code] then
		if complaint ~= code then module:log("error", "%s", mine[code]); end
		complaint = code;
		return nil, trouble(code, "Invites cannot be checked now. Try again later.");
	end
	return nil, { code = code; detail = tostring(answer.detail); type = xmpp.type; condition = xmpp.condition };
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

local function new_invite(kind, username, allow_registration, additional_data, ttl, reusable)
	if username then
		username = stringprep.nodeprep(username, true);
		if not username or username == "" then return nil, "invalid-username"; end
	end
	-- COMPAT: Prosody 0.12.3 passes invite_expiry in seconds, 13 understands periods
	ttl = tonumber(ttl or (module.get_option_period or module.get_option_number)(module, "invite_expiry") or nil);
	ttl = ttl and ttl < math.huge and math.floor(ttl) or nil;
	local token, created_at = new_token(), os.time();
	local address = username and username:gsub("[^%w._~-]", function (c) return ("%%%02X"):format(c:byte()); end);
	local invite = {
		type = kind; jid = jid.join(username, module.host); token = token; allow_registration = allow_registration;
		additional_data = copy(additional_data or {}); reusable = reusable;
		uri = ("xmpp:%s%s?%s;preauth=%s%s"):format(address and address.."@" or "", module.host, kind, token,
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
		return nil, as_string(problem);
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
	return setmetatable({
		token = invite.token; type = invite.type; uri = invite.uri; additional_data = invite.additional_data;
		reusable = invite.reusable; inviter = inviter; username = inviter or invite.username; holder = holder;
		-- COMPAT: mod_invites_register_api (community) takes the node of `jid` for the new name
		jid = invite.type == "register" and invite.jid or nil;
	}, invite_mt);
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
	elseif event.password ~= nil and (stringprep.saslprep(event.password) or "") == "" then
		return refuse(event, refusal("modify", "not-acceptable", "This password cannot be used. Choose another one."));
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
	if not gone and (reset or not usermanager.user_exists(username, module.host)) then return; end
	refuse(event, refusal("cancel", "conflict", "The requested username already exists."));
	local reservation = invite.reservation;
	invite.reservation, invite.holder.id = nil, new_token();
	settle_as("release", reservation);
end

-- What became of a reservation that nobody confirmed or released: "confirm", "release", or nil for "ask again later".
local function judge(item)
	local entry = open[item.reservation];
	if entry and (entry.verdict or entry.holder.busy or now() - entry.at < attempt_lasts) then
		return entry.verdict;
	elseif asking[item.username] then
		return nil; -- perhaps this one, with its answer still on the way
	end
	-- Made by this process, but unknown to it: the answer was lost, and the attempt was refused.
	local refused = not entry and (item.age or math.huge) < now() - process.since - 2;
	local verdict = "confirm"; -- a reset or contact of an earlier process may have happened
	if item.kind == "account" then
		local _, err = module:open_store("accounts"):get(item.username);
		if err then return nil; end -- user_exists() would take a broken store for a missing account
		verdict = usermanager.user_exists(item.username, module.host) and "confirm" or "release";
	elseif refused or entry and item.kind == "contact" then
		verdict = "release";
	end
	if entry then entry.holder.id = new_token(); end -- its session cannot reserve this use again while it is settled
	return verdict;
end

local function settle()
	local left = {};
	for reservation, entry in pairs(open) do left[reservation] = entry; end
	for reservation, entry in pairs(left) do
		if entry.verdict and not settle_as(entry.verdict, reservation) and open[reservation] then return; end
	end
	local min_age = math.floor(math.min(10, now() - process.since));
	local answer = ask("open", { min_age = min_age });
	if not answer then return; end
	for _, item in ipairs(answer.reservations or {}) do
		local verdict = not stopped and judge(item);
		if verdict and not settle_as(verdict, item.reservation) and open[item.reservation] then return; end
		left[item.reservation] = nil;
	end
	for reservation, entry in pairs(left) do -- settled by somebody else, or lapsed
		if not entry.verdict and now() - entry.at > 2 * attempt_lasts then open[reservation] = nil; end
	end
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

-- COMPAT: mod_invites_adhoc of Prosody 0.12.3 and 13 raises an error without an invite, and the client gets no reply
local command_nodes = {
	["urn:xmpp:invite#create-account"] = true;
	["urn:xmpp:invite#invite"] = true;
	["xmpp:prosody.im/mod_invites_adhoc#password-reset"] = true;
};
local function guard_command(handlers, name, event)
	local origin, stanza = event.origin, event.stanza;
	if not command_nodes[stanza.tags[1].attr.node] then return handlers(name, event); end
	if ask("health", {}) then
		local ok, handled = pcall(handlers, name, event);
		if ok then return handled; end
		module:log("error", "An invite command failed: %s", handled);
	end
	origin.send(st.error_reply(stanza, "wait", "service-unavailable", "Invites cannot be created now. Try again later."));
	return true;
end

local function seconds(opts)
	local given = type(opts) == "table" and opts.expires_after;
	if not given then return nil; end
	local parse = require "util.human.io".parse_duration; -- Prosody 13
	local span = parse and parse(given);
	if not span then return nil, "Unable to parse duration: "..tostring(given); end
	return span;
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

function shell:create_account(address, opts) --luacheck: ignore 212/self
	local ttl, why = seconds(opts);
	if why then return nil, why; end
	opts = type(opts) == "table" and opts or {};
	local roles = copy(opts.role or {});
	if opts.admin then table.insert(roles, 1, "prosody:admin"); end
	local invite, err = create_account(jid.node(address), { roles = roles; groups = opts.group }, ttl);
	if not invite then return nil, err; end
	return true, invite.landing_page or invite.uri;
end

function shell:create_contact(address, opts) --luacheck: ignore 212/self
	local ttl, why = seconds(opts);
	if why then return nil, why; end
	local allow = opts;
	if type(opts) == "table" then allow = opts.allow_registration; end
	local invite, err = create_contact(jid.node(address), allow, nil, ttl);
	if not invite then return nil, err; end
	return true, invite.landing_page or invite.uri;
end

function shell:create_reset(address, opts)
	local ttl, why = seconds(opts);
	if why then return nil, why; end
	local invite, err = create_account_reset(jid.node(address), ttl);
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
	if data.roles then print("Roles:", table.concat(role_list(data.roles), ", ")); end
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
				args = args; host_selector = args[1].name; handler = shell[name];
				flags = not takes_host and {
					array_params = { role = true; group = true }; value_params = { expires_after = true };
					kv_params = { allow_registration = true };
				} or nil;
			});
		end
	end
end

local usage = [[
usage: prosodyctl mod_invites generate HOST --reset USERNAME
usage: prosodyctl mod_invites generate HOST [--admin] [--role ROLE] [--group GROUPID]...

    --reset USERNAME  a password reset link, with no other option
    --admin           make the new user an admin, as --role prosody:admin
    --role ROLE       give the new user this role; the last one wins
    --group GROUPID   add the new user to this group; may be given several times]];

local function usage_error(message)
	print(message);
	return 2;
end

function module.command(arg)
	if arg[1] ~= "generate" or not arg[2] or arg[2] == "--help" then return usage_error(usage); end
	local host = arg[2];
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
			role, at = "prosody:admin", at + 1;
		elseif option == "--reset" or option == "--role" or option == "--group" or option == "-g" then
			if not value then return usage_error(option.." needs a value"); end
			if option == "--reset" then reset = value;
			elseif option == "--role" then role = value;
			else table.insert(groups, value); end
			at = at + 2;
		else
			return usage_error(option == "--help" and usage or "unexpected argument: "..option);
		end
	end
	if reset and (role or groups[1]) then
		return usage_error("--reset cannot be combined with other options");
	end

	require "core.storagemanager".initialize_host(host);
	module.host = host; --luacheck: ignore 122/module
	-- A community module that sets landing pages, for those who keep it
	local pages = module:get_option_string("invites_page_module", "invites_page");
	if require "core.modulemanager".get_modules_for_host(host):contains(pages) then module:depends(pages); end

	local ok, why = configure();
	local invite;
	if ok and reset then
		invite, why = create_account_reset(reset);
	elseif ok then
		invite, why = create_account(nil, { roles = { role }; groups = groups });
	end
	if not invite then
		print("Error: "..why);
		return 1;
	end
	print(invite.landing_page or invite.uri);
	return 0;
end

if prosody.process_type == "prosody" and module.host ~= "*" then
	local ok, why = configure();
	if not ok then module:log("error", "No invite works: %s", why); end
	offer_shell_commands();
	module:hook("stanza/iq/urn:xmpp:pars:0:preauth", preauth, 10);
	module:wrap_event("iq-set/host/http://jabber.org/protocol/commands:command", guard_command);
	-- Wrapped, not hooked: this runs after every handler even if one of them ends the event early.
	module:wrap_event("user-registering", function (handlers, name, event)
		local ret = handlers(name, event);
		if event.allowed ~= false then claim(event); end
		return ret;
	end);
	-- COMPAT: mod_register_ibr of Prosody 0.12.3 and 13 resets a password without this event, which ends open sessions
	module:hook("user-password-reset", function (event)
		if type(event) ~= "table" then return; end -- COMPAT: mod_invites_register_api (community) sends a text
		prosody.events.fire_event("user-password-changed", { username = event.username; host = module.host });
	end);
	if module:get_host_type() == "local" then
		local runner = async.runner(settle, {
			error = function (_, err) module:log("error", "Settling reservations failed: %s", err); end;
		});
		module:add_timer(1, function ()
			if runner.state == "ready" then runner:run(true); end
			return 5;
		end);
	end
end

function module.unload()
	stopped = true;
end
