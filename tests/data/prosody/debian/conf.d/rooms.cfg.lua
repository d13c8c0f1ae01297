Component "rooms.chat.example" "muc"
	name = "Rooms"
	modules_enabled = { "muc_mam" }
