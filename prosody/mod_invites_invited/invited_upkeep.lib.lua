-- What has to be set right later: reservations that nobody finished, and invites of users who are gone. Part of mod_invites.

local async = require "util.async";
local now = require "util.time".monotonic;
local accounts = module:require "invited_accounts";

local attempt_lasts = 30; -- seconds after which a reservation that nobody used is settled
local users_every = 3600; -- seconds after which it is asked again whose invites are open

-- As in mod_invites.lua
local open, asking, process = module:shared("open"), module:shared("asking"), module:shared("process");
local settle_as, new_token;
local stopped, users_due = false, 0;

local doubtful = {}; -- reservations of which was said that nobody can tell what became of them

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
		local exists = accounts.account_exists(item.username);
		if exists == nil then
			if not doubtful[item.reservation] then
				module:log("warn", "It cannot be told now whether the account %s@%s was made, so a use of its invite stays taken. "
					.."The log has more about storage or authentication; `invited doctor` says how to settle it by hand.",
					item.username, module.host);
			end
			doubtful[item.reservation] = true;
			return nil;
		end
		verdict = exists and "confirm" or "release";
	elseif refused or entry then -- what happened in this process was said at once
		verdict = "release";
	end
	doubtful[item.reservation] = nil;
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

-- Whether the account is no more, or not to be used any more. Who cannot be looked at is not gone.
local function is_gone(username)
	local exists = accounts.account_exists(username);
	return exists == false or exists and accounts.account_is_disabled(username);
end

-- The daemon may have been away when an account was deleted, and `prosodyctl deluser` tells a running Prosody nothing.
local function look_after_users()
	local after;
	repeat
		local answer = ask("creators", { after = after });
		if not answer then return; end
		for _, username in ipairs(answer.users) do
			if stopped then return; end
			if is_gone(username) and not ask("revoke_all", { username = username }) then return; end
		end
		after = answer.next;
	until not after;
	users_due = now() + users_every;
end

local function user_gone(event)
	if event.host ~= module.host then return; end
	-- Nobody waits for this; what fails is done by look_after_users.
	async.runner(function (username)
		if not ask("revoke_all", { username = username }) then users_due = 0; end
	end):run(event.username);
end

local function start(settling, making)
	settle_as, new_token = settling, making;
	local runner = async.runner(function ()
		settle();
		if now() >= users_due then look_after_users(); end
	end, {
		error = function (_, err) module:log("error", "Setting right what was left over failed: %s", err); end;
	});
	module:add_timer(1, function ()
		if runner.state == "ready" then runner:run(true); end
		return 5;
	end);
	module:hook_global("user-deleted", user_gone);
	module:hook_global("user-disabled", user_gone); -- Prosody 13
end

local function stop()
	stopped = true;
end

return { start = start; stop = stop };
