-- The rules that mod_invites must obey beside any Prosody, checked without a server on both generations of its interface.

local fake_prosody = dofile(debug.getinfo(1, "S").source:match("^@(.*)mod_invites_spec.lua$").."fake_prosody.lua");

local deep_copy = fake_prosody.deep_copy;
local token = "7Hq2mZc4XwTn9BvKd1Ry5LpA";

local function account_invite(more)
	local invite = {
		type = "register"; kind = "account"; jid = "chat.example"; token = token; uri = "xmpp:chat.example?register";
		allow_registration = true; reusable = false; created_at = 1000; expires = 2000; additional_data = {};
	};
	for k, v in pairs(more or {}) do invite[k] = v; end
	return invite;
end

for _, generation in ipairs(fake_prosody.generations) do
	describe("mod_invites on Prosody "..generation, function ()
		local function desk(invite, options)
			local fake = fake_prosody.new(generation, options);
			fake.daemon = fake_prosody.friendly(invite or account_invite());
			return fake:load();
		end

		local function complaint(fake)
			for _, line in ipairs(fake.logged) do
				if line.level == "error" then return line.text; end
			end
		end

		describe("loads and denies", function ()
			local function assert_denies(fake)
				local session = {};
				local answer = fake:present(session, token);
				assert.equal("wait", answer.kind);
				assert.is_nil(session.validated_invite);
				local event = fake:register({ username = "theo"; validated_invite = account_invite({ holder = { id = "h" } }) });
				assert.is_false(event.allowed);
			end

			it("without a secret", function ()
				local fake = fake_prosody.new(generation, {}):load();
				assert.truthy(complaint(fake):find("invited_secret", 1, true));
				assert_denies(fake);
			end);

			it("with an address that is none", function ()
				assert_denies(fake_prosody.new(generation, { invited_url = "nonsense"; invited_secret = "s" }):load());
			end);

			it("with a daemon that says nothing", function ()
				assert_denies(fake_prosody.new(generation):load());
			end);

			it("at a host that the daemon does not know, which is an error unless it is the one that Debian brings", function ()
				for host, expected in pairs({ ["chat.example"] = "error", localhost = "info" }) do
					local fake = fake_prosody.new(generation);
					fake.module.host = host;
					fake.daemon = function ()
						return 404, {
							code = "unknown_host"; detail = "There is no such host";
							xmpp = { type = "cancel"; condition = "item-not-found" };
						};
					end;
					assert_denies(fake:load());
					local level;
					for _, line in ipairs(fake.logged) do
						if line.text:find("does not know this host", 1, true) then level = line.level; end
					end
					assert.equal(expected, level);
				end
			end);

			local parts = {
				"invited_accounts"; "invited_adhoc"; "invited_bridge"; "invited_commands"; "invited_connection";
				"invited_questions"; "invited_upkeep";
			};
			for _, part in ipairs(parts) do
				it("without its file "..part, function ()
					local fake = fake_prosody.new(generation);
					fake.missing[part] = true;
					fake:load();
					assert.truthy(complaint(fake):find(part, 1, true));
					assert_denies(fake);
				end);
			end
		end);

		describe("takes a garbled answer for none", function ()
			local whole = {
				create = account_invite(); lookup = account_invite(); claim_contact = account_invite({ reservation = "r" });
				reserve = { reservation = "r" };
				open = { reservations = { { reservation = "r"; username = "theo"; kind = "account"; age = 60 } } };
				pending = { invites = { account_invite() }; next = "n" };
				creators = { users = { "nora" }; next = "n" };
				key_create = { key = "a/b" };
				key_list = { keys = { { id = "a"; name = "b" } } };
				api_create = { status = 201; location = "https://page" };
				confirm = {}; release = {}; check_name = {}; revoke = {}; revoke_all = {}; key_delete = {};
			};
			local may_lack = {
				id = true; username = true; landing_page = true; reusable = true; created_at = true; expires = true;
				additional_data = true; next = true; age = true; name = true; location = true; token = true;
			};
			local may_not_lack = { ["open.username"] = true; ["key_list.id"] = true };
			local wrong = {
				string = { {}, 0.5, true, "\255", "\27[2J" }; number = { {}, 0.5, "7" }; boolean = { {}, 1, "true" };
				table = { "text", 7, true };
			};

			-- A function that gives the problem of an answer, or nil if it was taken.
			local function asker()
				local fake = fake_prosody.new(generation):load();
				return function (operation, status, answer)
					fake.daemon = function () return status, answer; end;
					local taken, problem = fake.env.ask(operation, {});
					return not taken and problem or nil;
				end
			end

			-- Calls `change` for every member of every table inside `value`, and undoes it.
			local function each_member(value, change)
				for name, member in pairs(deep_copy(value)) do
					if type(member) == "table" then each_member(value[name], change); end
					change(value, name, member);
					value[name] = member;
				end
			end

			local function assert_garbled(problem, what)
				assert.same({ "garbled"; "wait" }, problem and { problem.code; problem.type }, what);
			end

			for operation, answer in pairs(whole) do
				it("to "..operation, function ()
					local problem_of = asker();
					assert.is_nil(problem_of(operation, 200, answer), "as it should be");
					for _, other in ipairs(wrong.table) do assert_garbled(problem_of(operation, 200, other)); end
					each_member(answer, function (value, name, member)
						if name == "kind" and operation ~= "open" then return; end -- nothing reads it
						for _, other in ipairs(wrong[type(member)]) do
							value[name] = other;
							assert_garbled(problem_of(operation, 200, answer), name);
						end
						value[name] = nil;
						local optional = may_lack[name] and not may_not_lack[operation.."."..name];
						if optional or type(name) == "number" then
							assert.is_nil(problem_of(operation, 200, answer), name);
						else
							assert_garbled(problem_of(operation, 200, answer), name);
						end
					end);
				end);
			end

			it("and so a refusal that is none", function ()
				local problem_of = asker();
				local refusal = { code = "invite_unknown"; detail = "No."; xmpp = { type = "cancel"; condition = "item-not-found" } };
				assert.equal("cancel", problem_of("lookup", 404, refusal).type);
				assert_garbled(problem_of("lookup", 200, refusal));
				each_member(refusal, function (value, name, member)
					for _, other in ipairs(wrong[type(member)]) do
						value[name] = other;
						assert_garbled(problem_of("lookup", 404, refusal), name);
					end
					value[name] = nil;
					assert_garbled(problem_of("lookup", 404, refusal), name);
				end);
			end);

			it("and says so in the log", function ()
				local fake = desk();
				fake.daemon = function () return 200, {}; end;
				assert.equal("wait", fake:present({}, token).kind);
				assert.truthy(complaint(fake):find("status 200 to lookup", 1, true));
			end);

			it("and denies where one use should have been reserved", function ()
				local fake = desk();
				local session = {};
				fake:present(session, token);
				fake.daemon = function () return 200, {}; end;
				local event = fake:register({ username = "theo"; session = session });
				assert.same({ false; "wait" }, { event.allowed; event.error_type });
			end);
		end);

		it("asks nothing when it is loaded, and nothing directly from its timer", function ()
			local fake = desk();
			assert.same({}, fake.asked);
			assert.is_number(fake.timer.callback());
			assert.equal(1, fake:count("open"), "asked from a runner");
		end);

		it("does nothing at load under prosodyctl", function ()
			local fake = fake_prosody.new(generation);
			fake.prosody.process_type = "prosodyctl";
			fake.module.host = "*";
			fake:load();
			assert.same({}, fake.hooks);
			assert.same({}, fake.items);
			assert.is_function(fake.module.command);
		end);

		it("shows its secret and speaks to loopback", function ()
			local fake = desk();
			fake.env.get(token);
			assert.equal("http://127.0.0.1:5282/bridge/v1/lookup", fake.asked[1].url);
			assert.equal("Bearer the-secret", fake.asked[1].headers.Authorization);
			assert.equal("chat.example", fake.asked[1].question.host);
		end);

		it("advertises nothing", function ()
			assert.is_nil(desk().hooks["stream-features"]);
		end);

		describe("answers a presented token", function ()
			it("that is good with the invite", function ()
				local session = {};
				local fake = desk();
				assert.equal("result", fake:present(session, token).kind);
				assert.equal(token, session.validated_invite.token);
			end);

			it("that is unknown with item-not-found", function ()
				local session = {};
				local answer = desk():present(session, "another-token-of-some-kind");
				assert.same({ "cancel"; "item-not-found" }, { answer.kind; answer.condition });
				assert.is_nil(session.validated_invite);
			end);

			it("with remote-server-timeout if the daemon is silent", function ()
				local fake = desk();
				fake.daemon = function () end;
				local answer = fake:present({}, token);
				assert.same({ "wait"; "remote-server-timeout" }, { answer.kind; answer.condition });
				assert.is_true(fake.destroyed, "the request is ended");
			end);

			it("with service-unavailable after signing in", function ()
				local answer = desk():present({ type = "c2s" }, token);
				assert.equal("service-unavailable", answer.condition);
			end);
		end);

		it("asks with a deadline of at most three seconds", function ()
			local fake = desk();
			fake.env.get(token);
			assert.is_true(fake.timers[1].seconds <= 3);
			assert.is_true(fake.timers[1].stopped);
		end);

		it("does not ask about a token of the wrong shape, nor soon again about an unknown one", function ()
			local fake = desk();
			for _, odd in ipairs({ ""; "short"; ("x"):rep(300); "a token with blanks"; "<xml>aaaaaaaaaaaa" }) do
				assert.is_nil((fake.env.get(odd)));
			end
			assert.equal(0, fake:count("lookup"));
			for _ = 1, 3 do assert.is_nil((fake.env.get("unknown-token-unknown"))); end
			assert.equal(1, fake:count("lookup"));
			fake.clock = fake.clock + 10;
			fake.env.get("unknown-token-unknown");
			assert.equal(2, fake:count("lookup"));
		end);

		it("answers at once where waiting is not possible", function ()
			local fake = desk();
			fake.ready = false;
			local invite, problem = fake.env.get(token);
			assert.is_nil(invite);
			assert.is_string(problem);
			assert.same({}, fake.asked);
		end);

		it("gives errors as text and every caller a table of its own", function ()
			local fake = desk(account_invite({ additional_data = { note = "x" } }));
			local _, problem = fake.env.get(nil);
			assert.equal("no-token", problem);
			_, problem = fake.env.get("unknown-token-unknown");
			assert.equal("token-invalid", problem);
			local one, two = fake.env.get(token), fake.env.get(token);
			one.additional_data.note = nil;
			assert.equal("x", two.additional_data.note);
		end);

		it("hands roles on in the form of this Prosody", function ()
			local fake = desk(account_invite({ additional_data = { roles = { "prosody:admin"; "b" } } }));
			local roles = fake.env.get(token).additional_data.roles;
			if generation == "13" then
				assert.same({ "prosody:admin"; "b" }, roles);
			else
				assert.same({ ["prosody:admin"] = true; b = true }, roles);
			end
		end);

		it("gives the fixed name of an account invite, and the inviter of a contact invite", function ()
			local named = desk(account_invite({ username = "theo"; jid = "theo@chat.example" })).env.get(token);
			assert.same({ "theo" }, { named.username; named.inviter });
			local contact = desk(account_invite({ type = "roster"; jid = "nora@chat.example"; inviter = "nora" })).env.get(token);
			assert.same({ "nora"; "nora" }, { contact.username; contact.inviter });
			assert.is_nil(contact.jid, "callers take its node for the new name");
		end);

		it("makes whoever asked for it a contact of the new account", function ()
			local data = { roster_subscription = "nora" };
			local invite = desk(account_invite({ username = "theo"; additional_data = data })).env.get(token);
			assert.same({ "theo"; "nora" }, { invite.username; invite.inviter });
		end);

		describe("creates", function ()
			it("after handlers have changed the invite", function ()
				local fake = desk();
				fake.module:hook("invite-created", function (invite)
					assert.equal(0, fake:count("create"));
					assert.truthy(invite.uri:find(invite.token, 1, true));
					invite.landing_page = "https://elsewhere";
					invite.additional_data.groups = { "default" };
				end);
				local invite = fake.env.create_account("Theo", { source = "x" }, 60);
				local asked = fake:question("create");
				assert.same({ "default" }, asked.additional_data.groups);
				assert.same({ "https://elsewhere"; "theo"; 60; "register" },
					{ asked.landing_page; asked.username; asked.ttl; asked.type });
				assert.truthy(asked.token:match("^%w+$") and #asked.token == 24);
				assert.equal("https://elsewhere", invite.landing_page);
			end);

			it("in the form that every caller uses", function ()
				local fake = desk();
				fake.accounts.theo, fake.accounts.nora = {}, {};
				fake.env.create_account_reset("theo", 60);
				assert.same({ "theo"; 60 }, { fake:question("create").additional_data.allow_reset; fake:question("create").ttl });
				fake.env.create_account_reset("theo", { source = "x" }, 70);
				assert.same({ "x"; 70 }, { fake:question("create").additional_data.source; fake:question("create").ttl });
				fake.env.create_contact("nora", "false");
				assert.is_false(fake:question("create").allow_registration);
				fake.env.create_group({ "a" }, nil, 60);
				assert.is_true(fake:question("create").reusable);
				local invite, problem = fake.env.create_account("a b");
				assert.is_nil(invite);
				assert.is_string(problem);
			end);

			it("unless nobody could use it", function ()
				local fake = desk();
				fake.accounts.theo = {};
				for _, made in ipairs({
					{ fake.env.create_account("Theo") };
					{ fake.env.create_account(("n"):rep(250)) };
					{ fake.env.create_account_reset("nobody") };
					{ fake.env.create_contact("nobody", true) };
				}) do
					assert.is_nil(made[1]);
					assert.is_string(made[2]);
				end
				assert.equal(0, fake:count("create"));
				fake.broken_store = true;
				assert.is_table(fake.env.create_account_reset("nobody"), "nobody can tell");
			end);

			it("with a role that there is, where Prosody knows", function ()
				local fake = desk();
				local invite, why = fake.env.create_account(nil, { roles = { "prosody:operatr" } });
				if generation == "13" then
					assert.is_nil(invite);
					assert.truthy(why:find("a, prosody:admin", 1, true));
				else
					assert.is_table(invite);
				end
			end);

			it("with roles as a list", function ()
				local fake = desk();
				fake.env.create_account(nil, { roles = { ["prosody:admin"] = true } });
				assert.same({ "prosody:admin" }, fake:question("create").additional_data.roles);
			end);
		end);

		describe("claims in user-registering", function ()
			local function shown(fake, more)
				local session = more or {};
				assert.equal("result", fake:present(session, token).kind);
				return session;
			end

			it("with the holder of the stream and the prepared name", function ()
				local fake = desk();
				local session = shown(fake);
				assert.is_true(fake:register({ username = "Theo"; session = session }).allowed);
				local first = fake:question("reserve");
				assert.same({ "theo"; token }, { first.username; first.token });
				assert.is_true(fake:register({ username = "thea"; session = session }).allowed);
				assert.equal(first.holder, fake:question("reserve").holder, "the same use under another name");
			end);

			it("only if everybody else agreed", function ()
				local fake = desk();
				local session = shown(fake);
				fake:register({ username = "theo"; session = session }, function (event) event.allowed = false; end);
				assert.equal(0, fake:count("reserve"));
			end);

			it("and refuses with a reason and a stanza error", function ()
				local fake = desk();
				local session = shown(fake);
				fake.daemon = function ()
					return 403, { code = "name_mismatch"; detail = "This invite is for another name.";
						xmpp = { type = "cancel"; condition = "not-allowed" } };
				end;
				local event = fake:register({ username = "theo"; session = session });
				assert.same({ false; "This invite is for another name."; "not-allowed"; "not-allowed" },
					{ event.allowed; event.reason; event.error.condition; event.error_condition });
			end);

			it("but leaves conflict to Prosody, with the invite untouched", function ()
				local fake = desk();
				fake.accounts.theo = {};
				assert.is_true(fake:register({ username = "theo"; session = shown(fake) }).allowed);
				assert.equal(0, fake:count("reserve"));
			end);

			it("only a name that can be stored", function ()
				local fake = desk();
				local session, long = shown(fake), ("n"):rep(250);
				local event = fake:register({ username = long; session = session });
				assert.same({ false; "modify"; "not-acceptable" }, { event.allowed; event.error_type; event.error_condition });
				assert.is_false(fake:register({ username = long }).allowed);
				assert.same({ 0; 0 }, { fake:count("reserve"); fake:count("check_name") });
				assert.is_true(fake:register({ username = ("n"):rep(249); session = session }).allowed);
				fake.driver = "sql";
				assert.is_true(fake:register({ username = long; session = session }).allowed);
			end);

			it("for a caller without a session", function ()
				local fake = desk();
				assert.is_true(fake:register({ username = "theo"; validated_invite = fake.env.get(token) }).allowed);
				assert.equal(1, fake:count("reserve"));
			end);

			it("after the name was asked for, if there is no invite", function ()
				local fake = desk();
				assert.is_true(fake:register({ username = "theo" }).allowed);
				assert.equal(1, fake:count("check_name"));
			end);

			it("and a new holder after use, so that the next account is another use", function ()
				local fake = desk();
				local session = shown(fake);
				fake:register({ username = "theo"; session = session });
				local holder = fake:question("reserve").holder;
				assert.is_true(session.validated_invite:use());
				assert.equal("r-"..holder, fake:question("confirm").reservation);
				fake:register({ username = "thea"; session = session });
				assert.are_not.equal(holder, fake:question("reserve").holder);
			end);
		end);

		describe("resets a password", function ()
			local function reset_desk()
				return desk(account_invite({ username = "theo"; kind = "reset"; additional_data = { allow_reset = "theo" } }));
			end

			it("of that account and no other, and makes none", function ()
				local fake = reset_desk();
				fake.accounts.theo, fake.accounts.nora = {}, {};
				for _, name in ipairs({ "nora"; "newcomer" }) do
					assert.is_false(fake:register({ username = name; validated_invite = fake.env.get(token) }).allowed);
				end
				assert.equal(0, fake:count("reserve"));
				assert.is_true(fake:register({ username = "theo"; validated_invite = fake.env.get(token) }).allowed);
			end);

			it("and ends the open sessions", function ()
				local fake = reset_desk();
				fake.hooks["user-password-reset"]({ username = "theo" });
				local last = fake.fired[#fake.fired];
				assert.same({ "user-password-changed"; { username = "theo"; host = "chat.example" } }, { last.name; last.event });
			end);

			it("and ends them once, also where Prosody tells of the new password itself", function ()
				local fake = reset_desk();
				fake.accounts.theo = {};
				local function told()
					local count = 0;
					for _, event in ipairs(fake.fired) do
						if event.name == "user-password-changed" then count = count + 1; end
					end
					return count;
				end
				local function reset(itself)
					assert.is_true(fake:register({ username = "theo"; validated_invite = fake.env.get(token) }).allowed);
					if itself then fake.hooks["user-password-changed"]({ username = "theo"; host = "chat.example" }); end
					fake.hooks["user-password-reset"]({ username = "theo" });
				end
				fake.hooks["user-password-changed"]({ username = "theo"; host = "chat.example" }); -- by theo, before
				reset();
				assert.equal(1, told());
				reset(true);
				assert.equal(1, told());
				reset();
				assert.equal(2, told());
			end);

			it("and uses the token up also if only a name is sent", function ()
				local fake = reset_desk();
				fake.accounts.theo = {};
				fake.env.get(token);
				fake.hooks["user-password-reset"]("nora");
				assert.equal(0, fake:count("confirm"));
				fake.hooks["user-password-reset"]("theo");
				assert.same({ 1; 1 }, { fake:count("reserve"); fake:count("confirm") });
			end);
		end);

		it("claims a contact token as soon as it is asked for", function ()
			local fake = desk(account_invite({ type = "roster"; jid = "nora@chat.example"; inviter = "nora" }));
			assert.is_nil((fake.env.get(token, "nora")), "an inviter without an account");
			fake.accounts.nora = {};
			local invite = fake.env.get(token, "nora");
			assert.equal(1, fake:count("claim_contact"));
			assert.is_true(invite:use());
			assert.equal("r0", fake:question("confirm").reservation);
		end);

		describe("waits for questions of the daemon", function ()
			-- A daemon that answers the polls one after the other, the last one by its silence.
			local function asking(polls)
				local fake = desk();
				local friendly, at = fake.daemon, 0;
				fake.daemon = function (operation, question)
					if operation ~= "questions" then return friendly(operation, question); end
					at = at + 1;
					fake.clock = fake.clock + 2;
					if polls[at] then return 200, { questions = polls[at] }; end
				end;
				return fake;
			end

			it("and says what Prosody knows, and nothing of what it does not", function ()
				local asked = { "theo"; "off"; "nobody"; ("n"):rep(250) };
				local fake = asking({ { { id = "q1"; accounts = asked; roles = true; groups = true } } });
				fake.accounts.theo, fake.accounts.off = {}, "disabled";
				fake.prosody.hosts["chat.example"] = { modules = { groups_internal = {
					groups = function () return pairs({ readers = true }); end;
				} } };
				fake.module_timers[1].callback();
				assert.same({
					id = "q1"; host = "chat.example"; groups = { "readers" };
					roles = generation == "13" and { "a"; "prosody:admin" } or nil;
					accounts = {
						theo = "exists"; off = generation == "13" and "disabled" or "exists"; nobody = "missing";
						[("n"):rep(250)] = "unusable";
					};
				}, fake:question("answers"));
				assert.equal(2, fake:count("questions"), "the next one is asked for at once");

				fake = asking({ { { id = "q2"; accounts = { "theo" }; roles = false; groups = true } } });
				fake.broken_store = true;
				fake.prosody.hosts["chat.example"] = { modules = {} };
				fake.module_timers[1].callback();
				assert.same({ id = "q2"; host = "chat.example"; accounts = {} }, fake:question("answers"));
			end);

			it("with a longer deadline than others, and leaves a silent daemon in peace", function ()
				local fake = asking({});
				fake.module_timers[1].callback();
				assert.is_true(fake.timers[#fake.timers].seconds > 20);
				fake.module_timers[1].callback();
				assert.equal(1, fake:count("questions"));
				for _ = 1, 10 do
					fake.clock = fake.clock + 31;
					fake.module_timers[1].callback();
				end
				assert.equal(11, fake:count("questions"));
				assert.is_nil(complaint(fake), "others say so");
			end);

			it("and does not ask at once again when nothing was asked at once", function ()
				local fake = desk();
				local friendly = fake.daemon;
				fake.daemon = function (operation, question)
					if operation == "questions" then return 200, { questions = {} }; end
					return friendly(operation, question);
				end;
				fake.module_timers[1].callback();
				assert.equal(1, fake:count("questions"));
			end);

			it("until it is unloaded, or Prosody ends", function ()
				for _, ending in ipairs({ "unload"; "server-stopping" }) do
					local fake = asking({});
					if ending == "unload" then fake.module.unload(); else fake.hooks[ending](); end
					assert.is_nil(fake.module_timers[1].callback());
					assert.equal(0, fake:count("questions"));
				end
			end);
		end);

		describe("sets right later", function ()
			local function tick(fake)
				fake.timer.callback();
				fake.clock = fake.clock + 5;
			end

			it("by whether the account exists", function ()
				local fake = desk();
				local friendly = fake.daemon;
				fake.accounts.made = {};
				fake.clock = 1000;
				fake.shared.process.since = 0;
				fake.daemon = function (operation, question)
					if operation ~= "open" then return friendly(operation, question); end
					return 200, { reservations = {
						{ reservation = "a"; username = "made"; kind = "account"; age = 60 };
						{ reservation = "b"; username = "not-made"; kind = "account"; age = 60 };
					} };
				end;
				tick(fake);
				assert.equal("a", fake:question("confirm").reservation);
				assert.equal("b", fake:question("release").reservation);
			end);

			it("what is known not to have happened in this process", function ()
				for _, kind in ipairs({ "account"; "contact"; "reset" }) do
					local fake = desk();
					local friendly = fake.daemon;
					fake.shared.open.a = { at = fake.clock; holder = { id = "h" } };
					fake.accounts.theo = kind ~= "account" and {} or nil;
					fake.daemon = function (operation, question)
						if operation ~= "open" then return friendly(operation, question); end
						return 200, { reservations = { { reservation = "a"; username = "theo"; kind = kind; age = 60 } } };
					end;
					tick(fake);
					assert.equal(0, fake:count("release"), "the attempt may be under way");
					fake.clock = fake.clock + 30;
					tick(fake);
					assert.same({ 1; 0 }, { fake:count("release"); fake:count("confirm") }, kind);
				end
			end);

			it("an attempt at a name that cannot be stored, since no account came of it", function ()
				local fake = desk();
				local friendly = fake.daemon;
				fake.clock, fake.shared.process.since, fake.broken_store = 1000, 0, true;
				fake.daemon = function (operation, question)
					if operation ~= "open" then return friendly(operation, question); end
					return 200, { reservations = { { reservation = "a"; username = ("n"):rep(250); kind = "account"; age = 60 } } };
				end;
				tick(fake);
				assert.equal("a", fake:question("release").reservation);
			end);

			it("nothing without saying so, once", function ()
				local fake = desk();
				local friendly = fake.daemon;
				fake.clock, fake.shared.process.since, fake.broken_store = 1000, 0, true;
				fake.daemon = function (operation, question)
					if operation ~= "open" then return friendly(operation, question); end
					return 200, { reservations = { { reservation = "a"; username = "theo"; kind = "account"; age = 60 } } };
				end;
				tick(fake);
				tick(fake);
				local said = 0;
				for _, line in ipairs(fake.logged) do
					if line.text:find("theo@chat.example", 1, true) then said = said + 1; end
				end
				assert.equal(1, said);
			end);

			local faults = { "broken_store"; "no_authentication"; "provider" };
			for _, fault in ipairs(faults) do it("nothing that is hidden by "..fault, function ()
				local fake = desk();
				local friendly = fake.daemon;
				fake[fault] = fault == "provider" and "ldap" or true;
				fake.daemon = function (operation, question)
					if operation == "open" then
						return 200, { reservations = { { reservation = "a"; username = "x"; kind = "account"; age = 60 } } };
					elseif operation == "creators" then
						return 200, { users = { "nora" } };
					end
					return friendly(operation, question);
				end;
				tick(fake);
				assert.same({ 0; 0; 0 }, { fake:count("confirm"); fake:count("release"); fake:count("revoke_all") });
			end); end

			it("invites of the gone, page by page, at start and hourly", function ()
				local fake = desk();
				local friendly = fake.daemon;
				fake.accounts.there, fake.accounts.off = {}, "disabled";
				local revoked = {};
				fake.daemon = function (operation, question)
					if operation == "creators" and not question.after then
						return 200, { users = { "gone"; "off" }; next = "off" };
					elseif operation == "creators" then
						assert.equal("off", question.after);
						return 200, { users = { "there" } };
					elseif operation == "revoke_all" then
						table.insert(revoked, question.username);
					end
					return friendly(operation, question);
				end;
				tick(fake);
				assert.same(generation == "13" and { "gone"; "off" } or { "gone" }, revoked);
				assert.equal(2, fake:count("creators"));
				tick(fake);
				assert.equal(2, fake:count("creators"));
				fake.clock = fake.clock + 3600;
				tick(fake);
				assert.equal(4, fake:count("creators"));
			end);

			it("at once when an account is deleted or disabled, and later if the daemon was away", function ()
				local fake = desk();
				tick(fake);
				for _, event in ipairs({ "user-deleted"; "user-disabled" }) do
					fake.hooks[event]({ username = "gone"; host = "elsewhere.example" });
				end
				assert.equal(0, fake:count("revoke_all"));
				fake.hooks["user-disabled"]({ username = "off"; host = "chat.example" });
				assert.equal("off", fake:question("revoke_all").username);

				local friendly = fake.daemon;
				fake.daemon = function () end;
				fake.hooks["user-deleted"]({ username = "gone"; host = "chat.example" });
				fake.daemon = friendly;
				local before = fake:count("creators");
				tick(fake);
				assert.equal(before + 1, fake:count("creators"));
			end);
		end);

		describe("offers commands of the shell", function ()
			local function shell()
				local fake = desk();
				fake.accounts.theo = {};
				local found, flags = {}, {};
				for _, entry in ipairs(fake.items) do
					if entry.kind == "shell-command" then
						found[entry.item.name], flags[entry.item.name] = entry.item.handler, entry.item.flags;
					end
				end
				if generation == "0.12" then
					found = fake.shared["/*/admin_shell/env"].invite;
					fake.prosody.hosts["chat.example"] = { modules = { invites = fake.env } };
				end
				local session = { session = { print = function () end } };
				return fake, function (name, ...) return found[name](session, ...); end, found, flags;
			end

			it("under Prosody's names", function ()
				local fake, run, found = shell();
				for _, name in ipairs({ "create_account"; "create_contact"; "create_reset"; "delete"; "list"; "show" }) do
					assert.is_function(found[name], name);
				end
				assert.same({ true; "https://page" }, { run("create_account", "lena@chat.example") });
				assert.equal("lena", fake:question("create").username);
				assert.is_true((run("create_reset", "theo@chat.example")));
				assert.equal("theo", fake:question("create").additional_data.allow_reset);
			end);

			it("with the options that each of them has", function ()
				local fake, run, _, flags = shell();
				if generation == "13" then
					assert.same({ role = true; group = true }, flags.create_account.array_params);
					assert.same({ admin = true }, flags.create_account.kv_params);
					assert.same({ allow_registration = true }, flags.create_contact.kv_params);
					assert.is_nil(flags.create_reset.array_params or flags.create_reset.kv_params);
					assert.is_nil(flags.list);
				end
				assert.is_true((run("create_account", "chat.example", {
					"chat.example"; admin = true; role = { "a" }; group = { "g" }; })));
				local data = fake:question("create").additional_data;
				assert.same({ { "prosody:admin"; "a" }; { "g" } }, { data.roles; data.groups });
				assert.is_true((run("create_account", "chat.example", { role = "a" })));
				assert.same({ "a" }, fake:question("create").additional_data.roles);
				assert.is_true((run("create_contact", "theo@chat.example", { allow_registration = true })));
				assert.is_true(fake:question("create").allow_registration);
			end);

			it("and refuses what it does not understand", function ()
				local fake, run = shell();
				for _, call in ipairs({
					{ "Unexpected argument: role"; "create_reset"; "theo@chat.example"; { role = { "a" } } };
					{ "Unexpected argument: --role"; "create_reset"; "theo@chat.example"; "--role" };
					{ "Unexpected argument: --admin"; "create_account"; "chat.example"; "--admin" };
					{ "Unexpected argument: true"; "create_contact"; "theo@chat.example"; { "theo@chat.example"; "true" } };
					{ "Unable to parse duration: soon"; "create_reset"; "theo@chat.example"; { expires_after = "soon" } };
					{ "Supply the JID of the account you want to generate a password reset for"; "create_reset"; "chat.example" };
					{ "Supply the JID of the account you want the recipient to become a contact of"; "create_contact"; "chat.example" };
					{ "The specified user account does not exist: lena"; "create_reset"; "lena@chat.example" };
					{ "The specified user account does not exist: lena"; "create_contact"; "lena@chat.example" };
				}) do
					local ok, why = run(call[2], call[3], call[4]);
					assert.same({ nil, call[1] }, { ok, why });
				end
				assert.equal(0, fake:count("create"));
			end);
		end);

		it("says that invites_page has no effect, unless the module of that name is there", function ()
			local function warned(enabled)
				local fake = fake_prosody.new(generation, { invited_secret = "s"; invites_page = "https://elsewhere/{invite.token}" });
				fake.enabled = enabled;
				fake:load();
				for _, line in ipairs(fake.logged) do
					if line.text:find("invites_page", 1, true) then return line.level; end
				end
			end
			assert.equal("warn", warned({}));
			assert.is_nil(warned({ invites_page = true }));
		end);

		describe("mends the commands of chat apps", function ()
			local node = "urn:xmpp:invite#create-account";

			local function with_command(fake, named, handler)
				local item = { node = named; handler = handler };
				fake.module:add_item("adhoc-provider", item);
				return item;
			end

			it("so that a handler that fails is answered", function ()
				local fake = desk();
				local item = with_command(fake, "urn:xmpp:invite#invite", function () error("no invite"); end);
				local answer = item:handler({}, nil);
				assert.same({ "error"; "wait"; "service-unavailable" },
					{ answer.status; answer.error.type; answer.error.condition });
			end);

			it("and gives their handlers back", function ()
				local fake = desk();
				local own = function () end;
				local item = with_command(fake, node, own);
				assert.are_not.equal(own, item.handler);
				fake.module.unload();
				assert.equal(own, item.handler);
			end);

			it("and leaves others alone", function ()
				local own = function () end;
				assert.equal(own, with_command(desk(), "something:else", own).handler);
			end);

			it("with the reset command where Prosody has none", function ()
				local fake = desk();
				with_command(fake, node, function () end);
				local own = 0;
				for _, entry in ipairs(fake.items) do
					if entry.item.node == "xmpp:prosody.im/mod_invites_adhoc#password-reset" then own = own + 1; end
				end
				assert.equal(generation == "0.12" and 1 or 0, own);
			end);

			it("with the fields of the form", function ()
				local fake = desk();
				local item = with_command(fake, node, function () end);
				local asked, state = item:handler({ action = "execute"; from = "nora@chat.example/desk" }, nil);
				assert.same({ "executing"; "asked" }, { asked.status; state });
				fake.accounts.nora = {};
				local form = { username = "Theo"; ["roster-subscription"] = true };
				local made = item:handler({ action = "complete"; from = "nora@chat.example/desk"; form = form }, state);
				assert.equal("completed", made.status);
				local question = fake:question("create");
				assert.same({ "theo"; "nora"; "nora@chat.example/desk" },
					{ question.username; question.additional_data.roster_subscription; question.additional_data.source });
			end);
		end);
	end);
end
