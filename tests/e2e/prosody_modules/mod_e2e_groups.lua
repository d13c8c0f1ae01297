-- luacheck: read globals module

-- Stands for modules such as mod_invites_groups: puts a new account into the groups of its invite.

local groups = module:open_store("e2e_groups");

module:hook("user-registered", function (event)
	local invite = event.validated_invite or event.session and event.session.validated_invite;
	local names = invite and invite.additional_data and invite.additional_data.groups;
	if names then groups:set(event.username, names); end
end);
