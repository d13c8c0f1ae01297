-- HTTP requests over connections that stay open. Prosody's own net.http opens one for each request, which takes longer than all
-- the rest of a question. The interface is net.http's, which still serves https. Part of mod_invites.

local connect = require "net.connect".connect;
local http = require "net.http";
local new_parser = require "net.http.parser".new;
local new_resolver = require "net.resolvers.basic".new;
local now = require "util.time".monotonic;
local parse_url = require "socket.url".parse;

local idle_for = 1; -- seconds; the daemon waits for longer before it hangs up, so that no request crosses that
local most_idle = 16; -- connections; each holds one of the daemon's places

local links = {}; -- connection -> link { conn, parser, authority, request, since }; one without a request is idle
local idle = {}; -- authority -> idle links, the one that was used last at the end
local closed = false;

local function hang_up(link, why)
	links[link.conn] = nil;
	for at, other in ipairs(idle[link.authority]) do
		if other == link then table.remove(idle[link.authority], at); break; end
	end
	link.conn:close();
	local request = link.request;
	link.request = nil;
	if request then request.callback(why, 0, request); end
end

-- For the next question, unless enough of them wait for one.
local function keep(link)
	link.request = nil;
	if closed or #idle[link.authority] >= most_idle then return hang_up(link); end
	link.since = now();
	table.insert(idle[link.authority], link);
end

local function find_idle(authority)
	local link = table.remove(idle[authority]);
	if not link or now() - link.since < idle_for then return link; end
	-- The others have been idle for longer.
	hang_up(link);
	while idle[authority][1] do hang_up(idle[authority][1]); end
end

local function may_stay(link, response)
	local length = tonumber(response.headers["content-length"]);
	local last = (response.headers.connection or ""):lower() == "close" or response.httpversion ~= "1.1";
	-- COMPAT: the parser of Prosody 0.12.3 leaves the body of some answers (301) unread
	return not last and not link.failure and length == #(response.body or "");
end

-- Nobody hears of an answer while the parser is at work: who does may ask again at once, and would get what else came.
local function take_in(link, data)
	link.parser:feed(data);
	local request, response = link.request, link.response;
	link.response = nil;
	if request and response then
		link.request = nil;
		if may_stay(link, response) then keep(link); else hang_up(link); end
		request.callback(response.body, response.code, response);
	elseif link.failure then
		hang_up(link, link.failure);
	end
end

local listener = { default_mode = "*a" };

function listener.onattach(conn, request)
	local link = { conn = conn; authority = request.authority; request = request };
	link.parser = new_parser(function (response)
		if response.partial then return; end
		if link.response or not link.request then link.failure = "unexpected-answer"; end
		link.response = link.response or response;
	end, function (why)
		link.failure = why;
	end, "client");
	links[conn], request.link = link, link;
end

function listener.onconnect(conn)
	local link = links[conn];
	if link.request.cancelled then return keep(link); end
	conn:write(link.request.text);
end

function listener.onincoming(conn, data)
	if links[conn] then take_in(links[conn], data); end
end

function listener.ondisconnect(conn, why)
	if links[conn] then take_in(links[conn], nil); end -- an answer may end with the connection
	if links[conn] then hang_up(links[conn], why or "closed"); end
end

function listener.ondetach(conn)
	links[conn] = nil;
end

function listener.onfail(request, why)
	request.callback(why or "connection failed", 0, request);
end

-- As net.http.request; needs `options.method`, `headers` and `body`.
local function request(url, options, callback)
	local to = parse_url(url);
	if to.scheme ~= "http" or not to.host then return http.request(url, options, callback); end
	local authority = to.authority:gsub("^.*@", "");
	local text = { ("%s %s HTTP/1.1"):format(options.method, to.path); "Host: "..authority; "Content-Length: "..#options.body };
	for name, value in pairs(options.headers) do table.insert(text, name..": "..value); end
	local it = { authority = authority; text = table.concat(text, "\r\n").."\r\n\r\n"..options.body; callback = callback };

	idle[authority] = idle[authority] or {};
	local link = find_idle(authority);
	if link then
		link.request, it.link = it, link;
		link.conn:write(it.text);
	else
		connect(new_resolver(to.host, tonumber(to.port) or 80, "tcp", { servername = to.host }), listener, {}, it);
	end
	return it;
end

-- Nobody waits for the answer any more; the other side may have got the request all the same.
local function destroy_request(it)
	if not it.text then return http.destroy_request(it); end
	it.cancelled, it.callback = true, function () end;
	if it.link and it.link.request == it then hang_up(it.link); end
end

-- Requests under way still get their answers.
local function close()
	closed = true;
	for _, links_there in pairs(idle) do
		while links_there[1] do hang_up(links_there[1]); end
	end
end

return { request = request; destroy_request = destroy_request; close = close };
