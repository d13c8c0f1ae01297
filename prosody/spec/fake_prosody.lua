-- A Prosody of two generations, as small as the module allows: it loads a file of ../mod_invites_invited with everything
-- that the file requires, and answers for the daemon as a test says. Waiting takes no time.

local folder = debug.getinfo(1, "S").source:match("^@(.*)spec/[^/]*$").."mod_invites_invited/";

local fake_prosody = { generations = { "0.12"; "13" } };

local function deep_copy(value)
	if type(value) ~= "table" then return value; end
	local t = {};
	for k, v in pairs(value) do t[k] = deep_copy(v); end
	return t;
end
fake_prosody.deep_copy = deep_copy;

-- What is known of a Prosody: `asked` are the questions to the daemon, in order; `daemon` answers
-- them with (status, table), or with nothing and stays silent; `logged`, `items`, `hooks` are what the module left.
function fake_prosody.new(generation, options)
	options = options or { invited_secret = "the-secret" };
	local modern = generation == "13";
	local fake = {
		asked = {}; logged = {}; items = {}; hooks = {}; wraps = {}; timers = {}; shared = {}; fired = {};
		accounts = {}; ready = true; clock = 100; missing = {}; broken_store = false;
		daemon = function () end;
	};

	local fakes = {};
	fakes["util.async"] = {
		ready = function () return fake.ready; end;
		waiter = function ()
			local done = false;
			return function ()
				for _, task in ipairs(fake.timers) do
					if not done and not task.stopped then task.callback(); end
				end
				assert(done, "waiting for ever");
			end, function () done = true; end;
		end;
		runner = function (callback)
			return { state = "ready"; run = function (_, ...) callback(...); end };
		end;
	};
	fakes["util.timer"] = {
		add_task = function (seconds, callback)
			local task = { seconds = seconds; callback = callback };
			table.insert(fake.timers, task);
			return task;
		end;
		stop = function (task) task.stopped = true; end;
	};
	fakes["net.http"] = {
		request = function (url, request, callback)
			local operation = url:match("/bridge/v1/([%w_]+)$");
			local question = deep_copy(request.body);
			table.insert(fake.asked, { operation = operation; question = question; url = url; headers = request.headers });
			local status, answer = fake.daemon(operation, question);
			if status then callback(answer, status, { headers = {} }); end
			return {};
		end;
		destroy_request = function () fake.destroyed = true; end;
		close = function () end;
	};
	local null = setmetatable({}, { __tostring = function () return "null"; end });
	fakes["util.json"] = {
		null = null;
		encode = function (value) return value; end;
		decode = function (value) return type(value) == "table" and value or nil; end;
	};
	fakes["util.cache"] = {
		new = function ()
			local t = {};
			return { get = function (_, k) return t[k]; end; set = function (_, k, v) t[k] = v; end };
		end;
	};
	fakes["util.error"] = { new = function (e) return e; end };
	fakes["util.random"] = {
		bytes = function (n)
			return (("x"):rep(n):gsub("x", function () return string.char(math.random(0, 255)); end));
		end;
	};
	fakes["util.time"] = { monotonic = function () return fake.clock; end };
	local jid = {};
	function jid.split(address)
		if not address or address == "" then return nil; end
		local node, host = address:match("^([^@/]+)@([^/]+)");
		return node, host or address:match("^[^/]+");
	end
	jid.prepped_split = jid.split;
	function jid.node(address) return (jid.split(address)); end
	function jid.bare(address) return (address:gsub("/.*", "")); end
	function jid.join(node, host) return node and node.."@"..host or host; end
	fakes["util.jid"] = jid;
	local function nodeprep(name)
		return type(name) == "string" and not name:find("[ @/:\"&'<>]") and name:lower() or nil;
	end
	fakes["util.encodings"] = {
		stringprep = { nodeprep = nodeprep; saslprep = function (s) return s; end };
		utf8 = { valid = function (s) return not s:find("\255", 1, true); end };
	};
	fakes["util.stanza"] = {
		reply = function () return { kind = "result" }; end;
		error_reply = function (_, kind, condition, text)
			return { kind = kind; condition = condition; text = text };
		end;
	};
	fakes["util.datetime"] = { datetime = function (at) return ("time %d"):format(at); end };
	fakes["util.dataforms"] = {
		new = function (layout)
			layout.data = function (_, form) return form; end;
			return layout;
		end;
	};
	fakes["util.human.io"] = { parse_duration = modern and function (s) return s == "1h" and 3600 or nil; end or nil };
	-- Files whose names may have as many bytes as `fake.longest_file` says.
	fakes["util.datamanager"] = { getpath = function (name, host, store, ext) return host.."/"..store.."/"..name.."."..ext; end };
	fakes["lfs"] = { attributes = function (path)
		local file = path:match("[^/]*$");
		if #file > (fake.longest_file or 255) then return nil, "cannot obtain information from '"..path.."': File name too long"; end
		return nil, "cannot obtain information from '"..path.."': No such file or directory";
	end };
	fakes["core.storagemanager"] = { get_driver = function () return {}, fake.driver or "internal"; end };
	fakes["core.usermanager"] = {
		user_exists = function (name)
			if fake.no_authentication then return nil, "method not implemented"; end
			return fake.accounts[name] ~= nil;
		end;
		get_provider = function () return { name = fake.provider or "internal_hashed" }; end;
		get_all_roles = modern and function () return { ["prosody:admin"] = {}; a = {} }; end or nil;
		user_is_enabled = modern and function (name) return fake.accounts[name] ~= "disabled"; end or nil;
		set_user_role = modern and function () end or nil;
	};

	local prosody = { process_type = "prosody"; hosts = {}; events = {} };
	function prosody.events.fire_event(name, event) table.insert(fake.fired, { name = name; event = event }); end
	fake.prosody = prosody;

	local module = { host = "chat.example"; name = "invites" };
	fake.module = module;
	local environment = setmetatable({
		module = module; prosody = prosody;
		require = function (name) return assert(fakes[name], "not faked: "..name); end;
	}, { __index = _G });
	fake.module, fake.env = module, environment;

	local function option(_, name, default)
		if options[name] == nil then return default; end
		return options[name];
	end
	module.get_option_string, module.get_option_number, module.get_option_boolean = option, option, option;
	module.get_option_path, module.get_option = option, option;
	function module.get_option_inherited_set()
		return { contains = function (_, name) return fake.enabled and fake.enabled[name]; end };
	end
	if modern then module.get_option_period = option; end
	function module.log(_, level, text, ...)
		table.insert(fake.logged, { level = level; text = text:format(...) });
	end
	function module.get_host_type() return "local"; end
	function module.shared(_, name)
		fake.shared[name] = fake.shared[name] or {};
		return fake.shared[name];
	end
	function module.hook(_, name, handler) fake.hooks[name] = handler; end
	module.hook_global = module.hook;
	function module.wrap_event(_, name, handler) fake.wraps[name] = handler; end
	function module.fire_event(_, name, event)
		prosody.events.fire_event(name, event);
		local handler = fake.hooks[name];
		return handler and handler(event);
	end
	fake.module_timers = {}; -- that of the questions, then that of the upkeep
	function module.add_timer(_, seconds, callback)
		fake.timer = { seconds = seconds; callback = callback };
		table.insert(fake.module_timers, fake.timer);
	end
	function module.add_item(_, kind, item)
		table.insert(fake.items, { kind = kind; item = item });
		module:fire_event("item-added/"..kind, { item = item });
	end
	function module.remove_item(_, kind, item) module:fire_event("item-removed/"..kind, { item = item }); end
	function module.handle_items(_, kind, added, removed)
		module:hook("item-added/"..kind, added);
		module:hook("item-removed/"..kind, removed);
	end
	function module.get_host_items(_, kind)
		local found = {};
		for _, entry in ipairs(fake.items) do
			if entry.kind == kind then table.insert(found, entry.item); end
		end
		return found;
	end
	function module.open_store()
		return { get = function (_, name)
			if fake.broken_store then return nil, "cannot be read"; end
			return fake.accounts[name];
		end };
	end
	function module.depends(_, name) return fake.others and fake.others[name]; end
	function module.provides(_, kind, item) module:add_item(kind.."-provider", item); end
	function module.require(_, name)
		if name == "adhoc" then
			return { new = function (title, node, handler, permission)
				return { name = title; node = node; handler = handler; permission = permission };
			end };
		end
		assert(not fake.missing[name], "Failed to load plugin library '"..name.."'");
		if name == "invited_connection" then return fakes["net.http"]; end
		return assert(loadfile(folder..name..".lib.lua", "t", environment))();
	end

	function fake:load(file)
		assert(loadfile(folder..(file or "mod_invites.lua"), "t", environment))();
		return self;
	end

	-- What the last question of this kind was.
	function fake:question(operation)
		for at = #self.asked, 1, -1 do
			if self.asked[at].operation == operation then return self.asked[at].question; end
		end
	end

	function fake:count(operation)
		local count = 0;
		for _, asked in ipairs(self.asked) do
			if asked.operation == operation then count = count + 1; end
		end
		return count;
	end

	-- One stanza with a token; what was sent back.
	function fake:present(session, token)
		local sent;
		session.send = function (stanza) sent = stanza; end;
		session.type = session.type or "c2s_unauthed";
		local stanza = { tags = { { attr = { token = token } } } };
		assert(self.hooks["stanza/iq/urn:xmpp:pars:0:preauth"]({ origin = session; stanza = stanza }));
		return sent;
	end

	-- One registration after all other handlers agreed, or did what `handler` does.
	function fake:register(event, handler)
		event.allowed = event.allowed ~= false;
		self.wraps["user-registering"](function (_, e) if handler then handler(e); end end, "user-registering", event);
		return event;
	end

	return fake;
end

-- A daemon that knows one invite and says yes to everything about it.
function fake_prosody.friendly(invite)
	return function (operation, question)
		if operation == "lookup" or operation == "claim_contact" then
			if question.token ~= invite.token then
				return 404, { code = "invite_unknown"; detail = "There is no such invite.";
					xmpp = { type = "cancel"; condition = "item-not-found" } };
			end
			local answer = deep_copy(invite);
			answer.reservation = operation == "claim_contact" and "r0" or nil;
			return 200, answer;
		elseif operation == "reserve" then
			return 200, { reservation = "r-"..question.holder };
		elseif operation == "create" then
			local answer = deep_copy(question);
			answer.uri, answer.jid, answer.landing_page = "xmpp:x", "chat.example", question.landing_page or "https://page";
			answer.expires, answer.created_at = 2000, 1000;
			return 200, answer;
		elseif operation == "open" then
			return 200, { reservations = {} };
		elseif operation == "creators" then
			return 200, { users = {} };
		end
		return 200, {};
	end;
end

return fake_prosody;
