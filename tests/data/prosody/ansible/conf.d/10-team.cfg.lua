some_global = true
VirtualHost "team.example" {
	password_policy = { length = 12, exclude_username = true };
	http_paths = { invites_page = "/$host/in" };
}
back_above = true
VirtualHost "old.team.example"
	enabled = false
Component "gateway.team.example"
	component_secret = "x"
