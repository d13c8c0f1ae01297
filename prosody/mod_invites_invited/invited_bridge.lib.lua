-- The way to the daemon: one question, one answer, a deadline (docs/bridge.md). Part of mod_invites.

local async = require "util.async";
local http = module:require "invited_connection";
local json = require "util.json";
local timer = require "util.timer";
local is_utf8 = require "util.encodings".utf8.valid;

local deadline = 2.5; -- seconds for one question; a slow daemon must not hold up whole s2s streams
local max_outstanding = 256;

local on_command_line = prosody.process_type ~= "prosody"; -- then it is the operator who reads what went wrong

local outstanding, complaint, silent = 0, nil, false;
local under_way = {}; -- what ends each question that has no answer yet
local base_url, secret;

local function trouble(code, detail, condition)
	return { code = code; detail = detail; type = "wait"; condition = condition or "remote-server-timeout" };
end

-- What is used of each answer, and its type. Where something else comes, nothing was answered, so callers need not look.
local function text(value) -- that XML can carry
	return type(value) == "string" and is_utf8(value) and not value:find("[^%C\t\n\r]");
end
local function word(value) return type(value) == "string" and value:find("^%l[%l-]*$") ~= nil; end
local function flag(value) return type(value) == "boolean"; end
local function whole(value)
	return type(value) == "number" and value % 1 == 0 and value >= 0 and value < 253402300800; -- the year 10000
end
local function maybe(check)
	return function (value) return value == nil or value == json.null or check(value); end;
end
local function list_of(check)
	return function (value)
		if type(value) ~= "table" then return false; end
		for key, item in pairs(value) do
			if type(key) ~= "number" or not check(item) then return false; end
		end
		return true;
	end;
end
local function object(members)
	return function (value)
		if type(value) ~= "table" or value == json.null then return false; end
		for name, check in pairs(members) do
			if not check(value[name]) then return false; end
		end
		return true;
	end;
end

local function an_invite(reservation)
	return object({
		type = text; jid = text; uri = text; allow_registration = flag; reservation = reservation;
		id = maybe(text); token = maybe(text); username = maybe(text); inviter = maybe(text); landing_page = maybe(text);
		reusable = maybe(flag); created_at = maybe(whole); expires = maybe(whole);
		additional_data = maybe(object({
			allow_reset = maybe(text); roster_subscription = maybe(text); note = maybe(text);
			roles = maybe(list_of(text)); groups = maybe(list_of(text));
		}));
	});
end

local anything = object({});
local answers = {
	create = an_invite(maybe(text)); lookup = an_invite(maybe(text)); claim_contact = an_invite(text);
	reserve = object({ reservation = text });
	open = object({ reservations = list_of(object({
		reservation = text; username = text; kind = text; age = maybe(whole);
	})) });
	pending = object({ invites = list_of(an_invite(maybe(text))); next = maybe(text) });
	creators = object({ users = list_of(text); next = maybe(text) });
	questions = object({ questions = list_of(object({
		id = text; accounts = maybe(list_of(text)); roles = maybe(flag); groups = maybe(flag);
	})) });
	key_create = object({ key = text });
	key_list = object({ keys = list_of(object({ id = text; name = maybe(text) })) });
	api_create = object({ status = whole; location = maybe(text) });
};
local a_problem = object({ code = text; detail = text; xmpp = object({ type = word; condition = word }) });

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

-- Returns the answer, or nil and a problem { code, detail, type, condition, status, retry_after }. Problems of type "wait"
-- say nothing about whether the daemon did what was asked. The last two are HTTP's, and absent for faults of the set-up.
-- `patience` is another deadline, in seconds.
local function ask(operation, question, patience)
	if not async.ready() then
		return nil, trouble("cannot_wait", "Invites cannot be checked for this kind of connection.");
	end
	local configured, missing = secret, nil;
	if not configured then configured, missing = configure(); end
	if not configured then
		local detail = on_command_line and missing or "The invite service is not set up.";
		return nil, trouble("not_configured", detail, "internal-server-error");
	elseif outstanding >= max_outstanding then
		return nil, trouble("busy", "Too many invites are being checked. Try again later.", "resource-constraint");
	end

	question.host = module.host;
	local wait, done = async.waiter();
	local finished, body, status, retry_after, request = false, nil, 0, nil, nil;
	local function finish(content, code, response)
		if finished then return; end
		under_way[wait] = nil;
		finished, body, status = true, content, code;
		retry_after = code ~= 0 and response.headers["retry-after"] or nil;
		done();
	end
	outstanding = outstanding + 1;
	-- Requests have no deadline of their own. Not module:add_timer: that one falls silent when the module is unloaded.
	local function give_up(why)
		if finished then return; end
		if request then http.destroy_request(request); end
		finish(why, 0);
	end
	under_way[wait] = give_up;
	local timeout = timer.add_task(patience or deadline, function () give_up("timeout"); end);
	request = http.request(base_url.."/bridge/v1/"..operation, {
		method = "POST";
		body = json.encode(question);
		headers = { ["Content-Type"] = "application/json"; ["Authorization"] = "Bearer "..secret };
	}, finish);
	wait();
	outstanding = outstanding - 1;
	timer.stop(timeout);

	local read, answer = pcall(json.decode, status ~= 0 and body or ""); -- it raises an error where too much is nested
	if not read then answer = nil; end
	if status == 200 and (answers[operation] or anything)(answer) then
		if complaint and not silent then module:log("info", "invited answers again"); end
		complaint = nil;
		return answer;
	end
	local code = status ~= 200 and a_problem(answer) and answer.code or status == 0 and "unreachable" or "garbled";
	local mine = { -- faults of the set-up, which are for the log and not for the client
		unauthorized = "invited refuses the secret; compare invited_secret_file with its [bridge] secret_file";
		unknown_host = ("invited does not know this host; add [hosts.%q] to its configuration"):format(module.host);
		unreachable = ("invited does not answer at invited_url (%s)"):format(body);
		garbled = ("what answers at invited_url does not speak as invited does (status %s to %s); compare it with the [bridge] listen"
			.." of invited"):format(status, operation);
	};
	if status == 401 then secret = nil; end -- read it anew next time
	if mine[code] then
		if on_command_line then return nil, trouble(code, mine[code]); end
		-- COMPAT: Debian's configuration (12 and 13) comes with this host, which nobody uses.
		local level = code == "unknown_host" and module.host == "localhost" and "info" or "error";
		if complaint ~= code and not silent then module:log(level, "%s", mine[code]); end
		complaint = code;
		return nil, trouble(code, "Invites cannot be checked now. Try again later.");
	end
	return nil, {
		code = code; detail = answer.detail; type = answer.xmpp.type; condition = answer.xmpp.condition;
		status = status; retry_after = retry_after;
	};
end

-- Nothing more is asked, and nobody waits any longer.
local function end_all()
	http.close();
	local left = {};
	for _, give_up in pairs(under_way) do table.insert(left, give_up); end
	for _, give_up in ipairs(left) do give_up("closed"); end
end

local function be_silent()
	silent = true;
end

return { ask = ask; be_silent = be_silent; close = http.close; configure = configure; end_all = end_all };
