-- mod_invites_api hands everything on: no key, no rule and no invite is its own.

local fake_prosody = dofile(debug.getinfo(1, "S").source:match("^@(.*)mod_invites_api_spec.lua$").."fake_prosody.lua");

for _, generation in ipairs(fake_prosody.generations) do
	describe("mod_invites_api on Prosody "..generation, function ()
		-- The module, and what it asks.
		local function api(answer, problem)
			local fake = fake_prosody.new(generation);
			local asked = {};
			fake.others = { invites = { ask = function (operation, question)
				table.insert(asked, { operation; question });
				return answer, problem;
			end } };
			return fake, asked;
		end

		local function request(fake, method, query, headers)
			local response = { headers = {} };
			local route = fake.module:get_host_items("http-provider")[1].route;
			local asked = { method = method; url = { query = query }; headers = headers or {} };
			return route[method]({ request = asked; response = response }), response.headers;
		end

		it("hands method, query and headers on, and answers what the daemon says", function ()
			local fake, asked = api({ status = 303; location = "https://page" });
			fake:load("mod_invites_api.lua");
			local status, headers = request(fake, "GET", "key=a/b&redirect=true", { authorization = "Bearer c/d"; purpose = "prefetch" });
			assert.same({ 303; "https://page"; "OPTIONS, GET" }, { status; headers.location; headers.access_control_allow_methods });
			assert.same({ { "api_create"; {
				method = "GET"; query = "key=a/b&redirect=true"; authorization = "Bearer c/d"; purpose = "prefetch";
			} } }, asked);
		end);

		it("asks for HEAD by name, so that Prosody does not take it for GET", function ()
			local fake, asked = api(nil, { status = 405 });
			fake:load("mod_invites_api.lua");
			local status, headers = request(fake, "HEAD", "key=a/b");
			assert.same({ 405; "OPTIONS, GET, POST" }, { status; headers.allow });
			assert.equal("HEAD", asked[1][2].method);
		end);

		it("asks nothing for OPTIONS", function ()
			local fake, asked = api();
			fake:load("mod_invites_api.lua");
			assert.equal("", (request(fake, "OPTIONS", "key=a/b")));
			assert.same({}, asked);
		end);

		it("passes refusals on, and answers 503 for faults of the set-up", function ()
			local fake = api(nil, { status = 429; retry_after = "60" });
			fake:load("mod_invites_api.lua");
			local status, headers = request(fake, "POST");
			assert.same({ 429; "60" }, { status; headers.retry_after });
			fake = api(nil, { code = "unreachable" });
			fake:load("mod_invites_api.lua");
			assert.equal(503, (request(fake, "POST")));
		end);

		it("does nothing at load under prosodyctl", function ()
			local fake = api();
			fake.prosody.process_type = "prosodyctl";
			fake:load("mod_invites_api.lua");
			assert.same({}, fake.items);
		end);
	end);
end
