-- luacheck: read globals module

-- Stands for modules that do something for every new password: counts them, by account.

local counts = module:open_store("e2e_new_passwords");

module:hook_global("user-password-changed", function (event)
	if event.host ~= module.host then return; end
	local before = counts:get(event.username) or { count = 0 };
	counts:set(event.username, { count = before.count + 1 });
end);
