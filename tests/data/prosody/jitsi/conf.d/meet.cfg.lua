local lobby = "lobby.meet.example"
VirtualHost "meet.example"
	authentication = "anonymous"
	ssl = { key = "/config/certs/meet.key", certificate = "/config/certs/meet.crt" }
	modules_enabled = { "bosh"; "websocket"; "smacks"; "speakerstats"; "conference_duration"; "muc_lobby_rooms"; }
	lobby_muc = lobby
	main_muc = "muc.meet.example"
	c2s_require_encryption = false
VirtualHost "auth.meet.example"
	modules_enabled = { "limits_exception"; }
	authentication = "internal_hashed"
Component "muc.meet.example" "muc"
	storage = "memory"
	modules_enabled = { "muc_meeting_id"; "muc_domain_mapper"; "tls" }
	modules_disabled = { "tls" }
	muc_room_locking = false
Component "focus.meet.example" "client_proxy"
	target_address = "focus@auth.meet.example"
Component (lobby) "muc"
	restrict_room_creation = true
