-- wrk's side: wrk -s load.lua URL -- METHOD [NAME VALUE]...
-- Where the address says TOKEN, each request has a random one, or the next of the file that TOKENS names.
--
-- There is no `response` here: wrk would make a table of the headers and a text of the body of each answer, which
-- costs it more than asking does. It counts answers above 399 by itself.

local ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
local requests = {}
local next_request = 0

local function random_token()
    local letters = {}
    for i = 1, 24 do
        local at = math.random(#ALPHABET)
        letters[i] = ALPHABET:sub(at, at)
    end
    return table.concat(letters)
end

function init(args)
    wrk.method = args[1]
    for i = 2, #args, 2 do
        wrk.headers[args[i]] = args[i + 1]
    end
    if wrk.path:find("TOKEN") then
        local file = os.getenv("TOKENS")
        local next_token = file and io.lines(file) or random_token
        math.randomseed(os.time())
        for i = 1, 5000 do
            local token = next_token()
            if not token then
                break
            end
            requests[i] = wrk.format(nil, (wrk.path:gsub("TOKEN", token)))
        end
        function request()
            next_request = next_request % #requests + 1
            return requests[next_request]
        end
    end
end

function done(summary, latency)
    local errors = summary.errors
    io.write(string.format("RESULT %d %f %f %f %d %d\n", summary.requests, summary.duration / 1e6,
        latency:percentile(50) / 1e3, latency:percentile(99) / 1e3, errors.status,
        errors.connect + errors.read + errors.write + errors.timeout))
end
