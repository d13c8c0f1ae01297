from_include = "global"
VirtualHost "included.example"
	from_include = "host"
