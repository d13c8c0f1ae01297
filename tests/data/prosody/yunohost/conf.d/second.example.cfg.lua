VirtualHost "second.example"
	enable = true
	ssl = { key = "/etc/panel/certs/second.example/key.pem"; certificate = "/etc/panel/certs/second.example/crt.pem" }
	authentication = "ldap2"
	http_host = "xmpp-upload.second.example"
	http_external_url = "https://xmpp-upload.second.example/"
	admins = { "root@second.example" }
	contact_info = { abuse = { "mailto:abuse@second.example", "xmpp:root@second.example" } }
	disco_items = { { "muc.second.example" }, { "xmpp-upload.second.example" } }

Component "muc.second.example" "muc"
	name = "second.example rooms"
	modules_enabled = { "muc_limits", "muc_log", "muc_log_mam" }
	muc_event_rate = 0.5
	muc_burst_factor = 10

Component "xmpp-upload.second.example" "http_upload"
	http_upload_file_size_limit = 5 * 1024 * 1024
	http_external_url = "https://xmpp-upload.second.example/"
