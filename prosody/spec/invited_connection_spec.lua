-- Questions share connections, and none is put to one that may be gone.

local file = debug.getinfo(1, "S").source:match("^@(.*)spec/invited_connection_spec.lua$")
	.."mod_invites_invited/invited_connection.lib.lua";

-- The file, on a network whose other end a test plays: `net.conns` are the connections made so far.
local function load_file()
	local net = { conns = {}; clock = 0; https = {} };
	function net.response(body, headers, version)
		headers = headers or { ["content-length"] = tostring(#body) };
		return { body = body; code = 200; httpversion = version or "1.1"; headers = headers };
	end
	local fakes = {};
	fakes["net.connect"] = { connect = function (target, listener, _, data)
		local conn = { target = target; sent = {} };
		function conn.write(_, text) table.insert(conn.sent, text); end
		function conn.close()
			if conn.closed then return; end
			conn.closed = true;
			listener.ondisconnect(conn);
		end
		function conn.open() listener.onattach(conn, data); listener.onconnect(conn); end
		function conn.fail(why) listener.onfail(data, why); end
		function conn.receive(...) listener.onincoming(conn, { ... }); end
		function conn.answer(body, headers, version) conn.receive(net.response(body, headers, version)); end
		table.insert(net.conns, conn);
		if not net.slow then conn.open(); end
	end };
	fakes["net.http"] = {
		request = function (url) table.insert(net.https, url); return {}; end;
		destroy_request = function () net.destroyed = true; end;
	};
	fakes["net.http.parser"] = { new = function (success, failure)
		return { feed = function (_, responses)
			for _, response in ipairs(responses or {}) do
				if response == "rubbish" then return failure("invalid-status-line"); end
				success(response);
			end
		end };
	end };
	fakes["net.resolvers.basic"] = { new = function (host, port) return host.." "..port; end };
	fakes["util.time"] = { monotonic = function () return net.clock; end };
	fakes["socket.url"] = { parse = function (url)
		local scheme, authority, path = url:match("^(%w+)://([^/]+)(/.*)$");
		return {
			scheme = scheme; authority = authority; path = path;
			host = authority:gsub("^.*@", ""):match("^[^:]+"); port = authority:match(":(%d+)$");
		};
	end };
	local environment = setmetatable({ require = function (name) return fakes[name]; end }, { __index = _G });
	net.kept = assert(loadfile(file, "t", environment))();
	return net;
end

describe("connections to the daemon", function ()
	local net, answers;

	before_each(function ()
		net, answers = load_file(), {};
	end);

	local function ask(body, url)
		return net.kept.request(url or "http://127.0.0.1:5282/bridge/v1/lookup", {
			method = "POST"; headers = { Authorization = "Bearer s" }; body = body;
		}, function (content, code) table.insert(answers, { content; code }); end);
	end

	it("carry a request as HTTP wants it", function ()
		ask("{}");
		assert.equal("127.0.0.1 5282", net.conns[1].target);
		assert.equal("POST /bridge/v1/lookup HTTP/1.1\r\nHost: 127.0.0.1:5282\r\nContent-Length: 2\r\n"
			.."Authorization: Bearer s\r\n\r\n{}", net.conns[1].sent[1]);
	end);

	it("leave out who asks from the name of the host, and know port 80", function ()
		ask("", "http://user:word@daemon/x");
		assert.equal("daemon 80", net.conns[1].target);
		assert.truthy(net.conns[1].sent[1]:find("Host: daemon\r\n", 1, true));
	end);

	it("serve one question after another", function ()
		ask("1"); net.conns[1].answer("one");
		ask("2"); net.conns[1].answer("two");
		assert.same({ { "one"; 200 }; { "two"; 200 } }, answers);
		assert.equal(1, #net.conns);
		assert.equal(2, #net.conns[1].sent);
	end);

	it("serve one question at a time", function ()
		ask("1"); ask("2");
		assert.equal(2, #net.conns);
		net.conns[2].answer("two"); net.conns[1].answer("one");
		assert.same({ { "two"; 200 }; { "one"; 200 } }, answers);
	end);

	it("may be asked again from within an answer", function ()
		net.kept.request("http://d:1/a", { method = "POST"; headers = {}; body = "1" }, function () ask("2", "http://d:1/a"); end);
		net.conns[1].answer("one"); net.conns[1].answer("two");
		assert.same({ { "two"; 200 } }, answers);
		assert.equal(1, #net.conns);
	end);

	it("are not shared between addresses", function ()
		ask("1"); net.conns[1].answer("one");
		ask("2", "http://127.0.0.1:5283/bridge/v1/lookup");
		assert.equal(2, #net.conns);
	end);

	it("are given up after a second without a question, all of them", function ()
		ask("1"); ask("2");
		net.conns[1].answer("one"); net.conns[2].answer("two");
		net.clock = 1.5;
		ask("3");
		assert.same({ true; true; nil }, { net.conns[1].closed; net.conns[2].closed; net.conns[3].closed });
		assert.equal(3, #net.conns);
	end);

	for what, answer in pairs({
		["says that it closes"] = { { ["content-length"] = "3"; connection = "Close" } };
		["ends with the connection"] = { {} };
		["speaks HTTP/1.0"] = { { ["content-length"] = "3" }; "1.0" };
		["was not read to its end"] = { { ["content-length"] = "30" } };
	}) do
		it("end after an answer that "..what, function ()
			ask("1"); net.conns[1].answer("one", answer[1], answer[2]);
			assert.same({ { "one"; 200 } }, answers);
			assert.is_true(net.conns[1].closed);
		end);
	end

	it("fail the question that they carry when they break", function ()
		ask("1"); net.conns[1].close();
		assert.same({ { "closed"; 0 } }, answers);
		ask("2"); net.conns[2].answer("two");
		assert.same({ "two"; 200 }, answers[2]);
	end);

	it("are forgotten when the daemon hangs up between questions", function ()
		ask("1"); net.conns[1].answer("one"); net.conns[1].close();
		ask("2"); net.conns[2].answer("two");
		assert.same({ { "one"; 200 }; { "two"; 200 } }, answers);
	end);

	it("say why there is none", function ()
		net.slow = true;
		ask("1"); net.conns[1].fail("connection refused");
		assert.same({ { "connection refused"; 0 } }, answers);
	end);

	it("end when nobody waits for the answer any more", function ()
		net.kept.destroy_request(ask("1"));
		assert.is_true(net.conns[1].closed);
		assert.same({}, answers);
	end);

	it("send nothing that was given up before they were there", function ()
		net.slow = true;
		net.kept.destroy_request(ask("1"));
		net.conns[1].open();
		assert.same({}, net.conns[1].sent);
		ask("2"); net.conns[1].answer("two");
		assert.same({ { "two"; 200 } }, answers);
	end);

	it("do not take an answer to no question", function ()
		ask("1"); net.conns[1].answer("one"); net.conns[1].answer("more");
		assert.same({ { "one"; 200 } }, answers);
		assert.is_true(net.conns[1].closed);
	end);

	it("do not give the next question what came with the answer to this one", function ()
		net.kept.request("http://d:1/a", { method = "POST"; headers = {}; body = "1" }, function (content)
			table.insert(answers, content);
			ask("2", "http://d:1/a");
		end);
		net.conns[1].receive(net.response("one"), net.response("more"));
		assert.is_true(net.conns[1].closed);
		net.conns[2].answer("two");
		assert.same({ "one"; { "two"; 200 } }, answers);
	end);

	it("fail the question to which the answer is none", function ()
		ask("1"); net.conns[1].receive("rubbish");
		assert.same({ { "invalid-status-line"; 0 } }, answers);
		assert.is_true(net.conns[1].closed);
	end);

	it("wait for the next question sixteen at a time", function ()
		for _ = 1, 20 do ask("1"); end
		for _, conn in ipairs(net.conns) do conn.answer("one"); end
		local open = 0;
		for _, conn in ipairs(net.conns) do if not conn.closed then open = open + 1; end end
		assert.same({ 20; 16 }, { #answers; open });
	end);

	it("end with the module, but not before their answers", function ()
		ask("1"); ask("2"); net.conns[1].answer("one");
		net.kept.close();
		assert.same({ true; nil }, { net.conns[1].closed; net.conns[2].closed });
		net.conns[2].answer("two");
		assert.same({ "two"; 200 }, answers[2]);
		assert.is_true(net.conns[2].closed);
	end);

	it("leave https, and addresses that are none, to Prosody", function ()
		ask("1", "http://:5282/x");
		net.kept.destroy_request(ask("1", "https://daemon/x"));
		assert.same({ "http://:5282/x"; "https://daemon/x" }, net.https);
		assert.is_true(net.destroyed);
		assert.same({}, net.conns);
	end);
end);
