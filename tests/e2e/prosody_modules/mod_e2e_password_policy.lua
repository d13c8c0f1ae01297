-- luacheck: read globals module

-- Stands for any module of the operator that has a say in registrations, such as mod_password_policy.

module:hook("user-registering", function (event)
	if event.allowed and #(event.password or "") < 8 then
		event.allowed = false;
		event.error_type, event.error_condition = "modify", "not-acceptable";
		event.reason = "Please use a longer password.";
	end
end, -5);
