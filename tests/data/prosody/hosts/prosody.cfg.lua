-- Names and switches of hosts.
Host "UPPER.example"
	first = 1
host "b\195\188cher.example"
	a = true
VirtualHost "Stra\195\159e.example"
VirtualHost "xn--kxa.example"
VirtualHost "my_chat.internal"
VirtualHost "off.example"
	enabled = false
VirtualHost "on.example"
	enabled = true
VirtualHost "again.example"
	one = 1
	overwritten = 1
VirtualHost "UPPER.example"
	second = 2
VirtualHost "again.example"
	overwritten = 2
	taken_back = 1
	taken_back = nil
VirtualHost "with-table.example" { three = 3; list = { "a"; "b" } }
global_after = "yes"
component "Parts.example" "pubsub" { name = "Parts" }
Component "external.example" { component_secret = "y" }
