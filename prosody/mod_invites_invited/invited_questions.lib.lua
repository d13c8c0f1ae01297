-- What the daemon asks: a request of ours stays open at the bridge until it wants to know something. Part of mod_invites.

local async = require "util.async";
local now = require "util.time".monotonic;
local usermanager = require "core.usermanager";
local accounts = module:require "invited_accounts";
local bridge = module:require "invited_bridge"; -- one of our own: what waits here takes no place of other questions

local patience = 30; -- seconds; the daemon answers after 20 at the latest
local longest_pause = 30; -- seconds between attempts while the daemon is away

local stopped, pause, due = false, 1, 0;

local function standing(username)
	if not accounts.can_be_stored(username) then return "unusable"; end
	local exists = accounts.account_exists(username);
	if exists then return accounts.account_is_disabled(username) and "disabled" or "exists"; end
	return exists == false and "missing" or nil;
end

-- Prosody 13 has roles of its own and takes no others; 0.12 stores any name.
local function known_roles()
	local roles = usermanager.get_all_roles and usermanager.get_all_roles(module.host);
	if not roles then return nil; end
	local names = {};
	for name in pairs(roles) do table.insert(names, name); end
	table.sort(names);
	return names;
end

-- Those of the community's mod_groups_internal. Without it, nobody here knows what a group is.
local function known_groups()
	local groups = prosody.hosts[module.host].modules.groups_internal;
	if not groups or not groups.groups then return nil; end
	local ids = {};
	for id in groups.groups() do table.insert(ids, id); end
	table.sort(ids);
	return ids;
end

local function answer(question)
	local told = { id = question.id; accounts = {} };
	for _, username in ipairs(question.accounts or {}) do
		told.accounts[username] = standing(username);
	end
	if question.roles then told.roles = known_roles(); end
	if question.groups then told.groups = known_groups(); end
	return told;
end

-- Asks and answers until something goes wrong; then when to try again.
local function serve()
	while not stopped do
		local began = now();
		local asked = bridge.ask("questions", {}, patience);
		local questions = asked and asked.questions or {};
		for _, question in ipairs(questions) do
			if stopped then return; end
			bridge.ask("answers", answer(question));
		end
		-- A daemon that is away, or one that answers at once without a question, is left in peace for a while.
		if not asked or not questions[1] and now() - began < 1 then
			due, pause = now() + pause, math.min(2 * pause, longest_pause);
			return;
		end
		pause = 1;
	end
end

local function stop()
	stopped = true;
	bridge.end_all();
end

local function start()
	bridge.be_silent(); -- others say that the daemon is away
	local runner = async.runner(serve, {
		error = function (_, err)
			module:log("error", "A question of invited could not be answered: %s", err);
			due = now() + longest_pause;
		end;
	});
	module:add_timer(1, function ()
		if stopped then return nil; end
		if runner.state == "ready" and now() >= due then runner:run(true); end
		return 1;
	end);
	module:hook_global("server-stopping", stop);
end

return { answer = answer; start = start; stop = stop };
