-- Keys and the address /invites_api as Prosody's community module mod_invites_api has them, over the invited daemon.
--
-- Keys are the daemon's: they work at its own address, too, and none is known to Prosody.

local methods = "OPTIONS, GET"; -- as the documented example has it

local function serve()
	local ask = module:depends("invites").ask;
	module:depends("http");

	local function handle(event)
		local request, response = event.request, event.response;
		local asked = request.headers;
		response.headers.access_control_allow_methods = methods; -- POST needs no mention (Fetch §3.3.6)
		if request.method == "OPTIONS" then return ""; end
		local answer, problem = ask("api_create", {
			method = request.method; query = request.url.query; authorization = asked.authorization;
			purpose = asked.sec_purpose or asked.purpose or asked.x_moz;
		});
		if answer then
			response.headers.location = answer.location;
			return answer.status;
		end
		response.headers.retry_after = problem.retry_after;
		if problem.status == 405 then response.headers.allow = "OPTIONS, GET, POST"; end
		return problem.status or 503;
	end

	-- HEAD by name: else Prosody runs the handler of GET, and so would a module that knows no better
	module:provides("http", { route = { GET = handle; HEAD = handle; OPTIONS = handle; POST = handle } });
end

local usage = [[
Usage:

 prosodyctl mod_invites_api create HOST [NAME]
 prosodyctl mod_invites_api delete HOST KEY_ID
 prosodyctl mod_invites_api list HOST
]];

local function fail(message)
	print(message);
	return 1;
end

function module.command(arg)
	local command, host, value = arg[1], arg[2], arg[3];
	local known = command == "create" or command == "delete" or command == "list";
	if not command or command == "--help" then
		print(usage);
		return 2;
	elseif not known then
		return fail("Unknown command - "..command);
	elseif not prosody.hosts[host] then
		if not host then print(usage); end
		return fail("Error: please supply a valid host");
	elseif arg[4] then
		return fail("Error: put quotes around a key name with spaces");
	elseif command == "delete" and not value then
		return fail("Error: key not found");
	end

	module.host = host; --luacheck: ignore 122/module
	local ask = module:depends("invites").ask;
	local answer, problem = ask("key_"..command, {
		name = command == "create" and value or nil; id = command == "delete" and value or nil;
	});
	if not answer then
		return fail("Error: "..(problem.code == "key_unknown" and "key not found" or problem.detail));
	elseif command == "create" then
		print(answer.key);
	elseif command == "list" then
		for _, key in ipairs(answer.keys) do print(key.id, key.name or "<unknown>"); end
	end
	return 0;
end

if prosody.process_type == "prosody" and module.host ~= "*" then
	serve();
end
