VirtualHost "Chat.Example"
	site_name = "Chat for all"
	http_host = "chat.example"
	http_external_url = "https://chat.example/"
	http_paths = { invites_page = "/welcome"; register_apps = "/apps" }
