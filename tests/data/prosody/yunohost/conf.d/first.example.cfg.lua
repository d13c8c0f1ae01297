VirtualHost "first.example"
	enable = true
	ssl = { key = "/etc/panel/certs/first.example/key.pem"; certificate = "/etc/panel/certs/first.example/crt.pem" }
	authentication = "ldap2"
	http_host = "xmpp-upload.first.example"
	http_external_url = "https://xmpp-upload.first.example/"
	admins = { "root@first.example" }
	contact_info = { abuse = { "mailto:abuse@first.example", "xmpp:root@first.example" } }
	disco_items = { { "muc.first.example" }, { "xmpp-upload.first.example" } }

Component "muc.first.example" "muc"
	name = "first.example rooms"
	modules_enabled = { "muc_limits", "muc_log", "muc_log_mam" }
	muc_event_rate = 0.5
	muc_burst_factor = 10

Component "xmpp-upload.first.example" "http_upload"
	http_upload_file_size_limit = 5 * 1024 * 1024
	http_external_url = "https://xmpp-upload.first.example/"
