"""HTTPS, and the HTTP options that Prosody's operators know, each with its meaning there."""

import html
import http.client
import re
import signal
import socket
import ssl
import subprocess

import pytest

from harness.desk import HOSTS, Desk
from harness.waiting import accepts, free_port, wait_until

pytestmark = pytest.mark.once


@pytest.fixture(scope="module")
def desk(tmp_path_factory):
    with Desk(tmp_path_factory.mktemp("desk") / "desk") as desk:
        yield desk


@pytest.fixture
def make(tmp_path):
    """A desk of the test's own (to be entered)."""
    return lambda *arguments, **settings: Desk(tmp_path / "desk", *arguments, **settings)


def https(desk, path="/", host="a.example"):
    return f"https://{host}:{desk.https_port}{path}"


def plain(desk, path="/", host="a.example"):
    return f"http://{host}:{desk.port}{path}"


# Certificates and TLS


@pytest.mark.parametrize("host", HOSTS)
def test_each_host_shows_its_own_certificate(desk, host):
    answer = desk.curl(https(desk, host=host))
    assert answer.status == 200
    assert host in answer.body


def test_a_name_that_no_host_has_gets_some_certificate_but_not_a_good_one(desk):
    done = desk.try_curl(https(desk, host="elsewhere.example"))
    assert done.returncode == 60, done.stderr


@pytest.mark.parametrize("version", ["1.2", "1.3"])
def test_tls_1_2_and_1_3_are_spoken(desk, version):
    assert desk.curl(https(desk), f"--tlsv{version}", "--tls-max", version).status == 200


@pytest.mark.parametrize("version", ["1.0", "1.1"])
def test_older_tls_is_refused(desk, version):
    arguments = [f"--tlsv{version}", "--tls-max", version, "--ciphers", "DEFAULT@SECLEVEL=0"]
    done = desk.try_curl(https(desk), *arguments)
    assert done.returncode == 35
    assert "alert" in done.stderr, "the server refuses, not the client"


def test_the_modern_profile_speaks_tls_1_3_only(make):
    with make('tls_profile = "modern"') as desk:
        assert desk.curl(https(desk)).status == 200
        assert desk.try_curl(https(desk), "--tls-max", "1.2").returncode == 35


def test_http_1_1_is_agreed_upon(desk):
    done = subprocess.run(
        ["openssl", "s_client", "-connect", f"127.0.0.1:{desk.https_port}", "-alpn", "h2,http/1.1"],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=15,
    )
    assert "ALPN protocol: http/1.1" in done.stdout


def test_the_documented_request_works_over_https(desk):
    key = desk.output_of("key", "create", "a.example")
    answer = desk.curl(https(desk, f"/invites_api?key={key}"))
    assert answer.status == 201
    assert answer.headers["location"].startswith(f"https://a.example:{desk.https_port}/invite?")
    assert desk.curl(answer.headers["location"]).status == 200


def test_a_renewed_certificate_is_shown_after_sighup_and_no_connection_is_dropped(make):
    with make() as desk:
        context = ssl.create_default_context(cafile=desk.authority.authority)
        with desk.tls() as connection:
            client = http.client.HTTPSConnection("a.example", desk.https_port, context=context)
            client.sock = connection
            assert status_over(client) == 200
            before = desk.serial()
            desk.issue("a.example")
            assert desk.serial() == before, "nothing is read again without being told"
            desk.hang_up()
            wait_until(lambda: desk.serial() != before, "the new certificate is shown")
            assert client.sock is connection
            assert status_over(client) == 200, "on the old connection"


def status_over(client):
    client.request("GET", "/", headers={"Host": "a.example"})
    answer = client.getresponse()
    answer.read()
    return answer.status


@pytest.mark.parametrize("broken", ["a.crt", "a.key"])
def test_a_broken_renewal_leaves_the_old_certificate_and_is_named(make, broken):
    options = 'https_ssl = { certificate = "certs/a.crt", key = "certs/a.key" }'
    with make(a=options) as desk:
        before = desk.serial(), desk.serial("b.example")
        (desk.certs / broken).write_text("nonsense")
        desk.issue("b.example")
        desk.hang_up()
        wait_until(lambda: desk.serial("b.example") != before[1], "the good renewal is shown")
        assert desk.serial() == before[0]
        assert re.search(rf"a\.example stays the old one: \S*/certs/{broken}", desk.log())


def test_a_certificate_that_is_gone_stays_in_use(make):
    with make() as desk:
        before = desk.serial()
        (desk.certs / "a.crt").unlink()
        desk.hang_up()
        wait_until(lambda: "the certificate for a.example is gone" in desk.log(), "it is missed")
        assert desk.serial() == before


@pytest.mark.parametrize("broken", ["a.crt", "a.key"])
def test_a_broken_certificate_is_named_at_the_start(make, broken):
    desk = make('https_certificate = "certs/a.crt"')
    (desk.certs / broken).write_text("nonsense")
    for command in (["serve"], ["config", "check"]):
        done = desk.run(*command)
        assert done.returncode == 2
        assert f"certs/{broken}: " in done.stderr


def test_https_that_was_asked_for_needs_a_certificate(make):
    desk = make(certificates=[])
    done = desk.run("serve")
    assert done.returncode == 2
    assert f"{desk.config}: https_ports: " in done.stderr
    assert str(desk.certs) in done.stderr


def test_https_that_nobody_asked_for_is_off_without_a_certificate_and_one_line_says_so(make):
    desk = make(certificates=[])
    text = desk.config.read_text()
    desk.config.write_text(re.sub(r"https_ports = .*\n", "", text))
    with desk:
        assert desk.curl(plain(desk)).status == 200
        assert desk.log().count("HTTPS is off") == 1
        assert desk.output_of("invite", "create", "a.example").startswith(plain(desk, "/invite?"))
        desk.hang_up()
        wait_until(lambda: "there are none" in desk.log(), "SIGHUP is heard")
        assert desk.curl(plain(desk)).status == 200


def test_the_certificate_for_clients_without_a_name_is_written_by_port(make):
    ports = free_port(), free_port()
    certificates = f'{{ {ports[0]} = "certs/a.crt", default = "certs/b.crt" }}'
    with make(f"https_ports = [{ports[0]}, {ports[1]}]\nhttps_certificate = {certificates}") as desk:
        assert desk.serial(None, ports[0]) == desk.serial("a.example", ports[1])
        assert desk.serial(None, ports[1]) == desk.serial("b.example", ports[0])


def test_written_certificates_win_over_found_ones(make):
    pair = '{ certificate = "own.crt", key = "own.key" }'
    desk = make(a=f"ssl = {pair}", b=f"https_ssl = {pair}")
    names = [f"DNS:{host}" for host in HOSTS]
    desk.authority.issue(names, desk.directory / "own.crt", desk.directory / "own.key")
    with desk:
        assert desk.serial("a.example") == desk.serial("b.example")


def test_certificates_are_in_the_folder_that_is_named(make):
    desk = make('certificates = "elsewhere"')
    desk.certs.rename(desk.directory / "elsewhere")
    with desk:
        assert desk.curl(https(desk)).status == 200


def test_a_slow_handshake_is_cut_off(make):
    with make('request_timeout = "1s"') as desk:
        for beginning in (b"", b"\x16\x03\x01\x02\x00\x01"):
            with socket.create_connection(("127.0.0.1", desk.https_port), timeout=10) as connection:
                connection.sendall(beginning)
                assert connection.recv(1) == b""
        assert desk.curl(https(desk)).status == 200


def test_plain_http_on_the_https_port_is_refused(desk):
    with socket.create_connection(("127.0.0.1", desk.https_port), timeout=10) as connection:
        connection.sendall(b"GET / HTTP/1.1\r\nHost: a.example\r\n\r\n")
        assert not connection.recv(4096).startswith(b"HTTP/")


def test_both_kinds_of_connection_share_the_places(make):
    with make('max_connections = 2\nrequest_timeout = "60s"') as desk:
        held = [socket.create_connection(("127.0.0.1", desk.port), timeout=10) for _ in range(2)]
        for connection in held:
            connection.sendall(b"GET / HTTP/1.1\r\nHost: a.example\r\n\r\n")
            assert connection.recv(4096)
        assert desk.try_curl(https(desk), "--max-time", "1").returncode == 28
        for connection in held:
            connection.close()
        assert desk.curl(https(desk)).status == 200


# Ports and interfaces


def test_several_ports_and_ipv6_are_served(make):
    ports = [free_port() for _ in range(4)]
    options = (
        f"http_ports = [{ports[0]}, {ports[1]}]\nhttp_interfaces = ['127.0.0.1', '::1']\n"
        f"https_ports = [{ports[2]}, {ports[3]}]\nhttps_interfaces = ['127.0.0.1', '::1']"
    )
    with make(options) as desk:
        for scheme, port in zip(["http", "http", "https", "https"], ports, strict=True):
            for address in ("127.0.0.1", "[::1]"):
                leads = ["--connect-to", f"b.example::{address}:"]
                answer = desk.curl(f"{scheme}://b.example:{port}/", *leads)
                assert answer.status == 200


def without_interfaces(desk, *kinds):
    """The same without what a desk writes about interfaces, so that defaults count."""
    for kind in kinds:
        desk.config.write_text(re.sub(rf"{kind}_interfaces = .*\n", "", desk.config.read_text()))
    return desk


def test_defaults_follow_from_the_general_interfaces(make):
    desk = make("local_interfaces = ['::1']\ninterfaces = ['::1']")
    with without_interfaces(desk, "http", "https"):
        for scheme, port in (("http", desk.port), ("https", desk.https_port)):
            assert desk.curl(f"{scheme}://a.example:{port}/", "--connect-to", "a.example::[::1]:").status == 200
            assert not accepts(port), "IPv4"


@pytest.mark.parametrize(
    ("unused", "here", "not_here"), [("ipv4", "[::1]", "127.0.0.1"), ("ipv6", "127.0.0.1", "[::1]")]
)
def test_a_family_that_is_not_used_is_not_listened_on(make, unused, here, not_here):
    with without_interfaces(make(f"use_{unused} = false"), "http") as desk:
        assert desk.curl(plain(desk), "--connect-to", f"a.example::{here}:").status == 200
        assert desk.try_curl(plain(desk), "--connect-to", f"a.example::{not_here}:").returncode == 7


def test_a_port_for_both_kinds_is_named(make):
    port = free_port()
    done = make(f"http_ports = [{port}]\nhttps_ports = [{port}]").run("serve")
    assert done.returncode == 2
    assert f"https_ports: cannot listen on 127.0.0.1:{port}" in done.stderr


# Hosts and addresses


def test_a_host_that_there_is_not_is_404_and_none_at_all_is_400(desk):
    assert desk.curl(plain(desk, host="elsewhere.example")).status == 404
    assert desk.curl(plain(desk), "--header", "Host:").status == 400


def test_the_default_host_answers_for_unknown_ones(make):
    with make('http_default_host = "b.example"') as desk:
        assert "b.example" in desk.curl(plain(desk, host="elsewhere.example")).body
        assert "b.example" in desk.curl(https(desk, host="elsewhere.example"), "--insecure").body


OLD_CLIENT = ["--http1.0", "--header", "Host:"]


def test_a_client_of_old_gets_the_default_host_without_a_header(make):
    with make('http_default_host = "b.example"') as desk:
        assert "b.example" in desk.curl(plain(desk), *OLD_CLIENT).body
        assert desk.curl(plain(desk), "--header", "Host:").status == 400


def test_a_client_of_old_is_refused_where_no_host_is_the_default(desk):
    assert desk.curl(plain(desk), *OLD_CLIENT).status == 400


def test_a_host_answers_under_its_http_host(make):
    with make(a='http_host = "elsewhere.example"', certificates=["elsewhere.example", "b.example"]) as desk:
        assert "a.example" in desk.curl(https(desk, host="elsewhere.example")).body
        assert desk.curl(plain(desk)).status == 404
        url = desk.output_of("invite", "create", "a.example")
        assert url.startswith(https(desk, "/invite?", host="elsewhere.example"))


@pytest.mark.parametrize(
    ("options", "beginning"),
    [
        ('http_external_url = "https://c.example/"', "https://c.example/invite?"),
        ('http_external_url = "https://c.example:443/chat/"', "https://c.example/chat/invite?"),
        ('http_external_url = "http://c.example:8080"', "http://c.example:8080/invite?"),
        ("https_ports = [443]", "https://a.example/invite?"),
        ("https_ports = [5443]", "https://a.example:5443/invite?"),
        ("https_ports = []\nhttp_ports = [80]", "http://a.example/invite?"),
        ("https_ports = []\nhttp_ports = []", "http://disabled.invalid/invite?"),
    ],
)
def test_links_begin_as_the_options_say(make, options, beginning):
    assert make(options).output_of("invite", "create", "a.example").startswith(beginning)


def test_an_external_url_in_a_host_wins(make):
    desk = make('http_external_url = "https://all.example/"', a='http_external_url = "https://one.example/"')
    assert desk.output_of("invite", "create", "a.example").startswith("https://one.example/invite?")
    assert desk.output_of("invite", "create", "b.example").startswith("https://all.example/invite?")


def test_apps_are_where_the_options_put_them(make):
    paths = 'http_paths = { invites_page = "/$host", invites_register_web = "/new", register_apps = "/files" }'
    with make(paths, b='http_paths = { invites_page = "/b" }') as desk:
        first, second = (desk.output_of("invite", "create", host) for host in HOSTS)
        assert first.startswith(https(desk, "/a.example?"))
        assert second.startswith(https(desk, "/b?", host="b.example"))
        for url in (first, second):
            page = desk.curl(url)
            assert page.status == 200
            asset = re.search(r'href="(/files/[^"]+\.css)"', html.unescape(page.body))[1]
            assert desk.curl(https(desk, asset)).status == 200
        token = first.partition("?")[2]
        assert desk.curl(https(desk, f"/new?t={token}")).status == 200
        assert desk.curl(https(desk, f"/register?t={token}")).status == 404


@pytest.mark.parametrize(
    "path", ["/invites_api/", "/invites_api/more", "/register/more", "/invite/setup", "/invites_apix"]
)
def test_addresses_of_programs_are_exact_and_so_are_those_below_pages(desk, path):
    assert desk.curl(plain(desk, path)).status == 404


# Bodies, heads and proxies


def test_a_body_or_head_that_is_too_large_is_refused(make):
    with make("http_max_content_size = 1000\nhttp_max_buffer_size = 8192") as desk:
        assert desk.curl(plain(desk, "/register"), "--data", "a" * 1000).status != 413
        assert desk.curl(plain(desk, "/register"), "--data", "a" * 1001).status == 413
        assert desk.curl(plain(desk), "--header", "X-Long: " + "a" * 7000).status == 200
        assert desk.curl(plain(desk), "--header", "X-Long: " + "a" * 9000).status == 431


def test_the_head_may_be_larger_by_default(desk):
    assert desk.curl(plain(desk), "--header", "X-Long: " + "a" * 9000).status == 200


@pytest.mark.parametrize(
    ("options", "header", "secure"),
    [
        ("", "X-Forwarded-Proto: https", True),
        ("", "Forwarded: for=192.0.2.1;proto=https", False),
        ("http_legacy_x_forwarded = false", "Forwarded: for=192.0.2.1;proto=https", True),
        ("http_legacy_x_forwarded = false", 'Forwarded: For="[2001:db8::1]:4711"; Proto=HTTPS', True),
        ("http_legacy_x_forwarded = false", "Forwarded: for=192.0.2.1;proto=http", False),
        ("http_legacy_x_forwarded = false", "X-Forwarded-Proto: https", False),
        ("trusted_proxies = ['127.0.0.0/8']", "X-Forwarded-Proto: https", True),
        ("trusted_proxies = ['192.0.2.0/24']", "X-Forwarded-Proto: https", False),
        ("trusted_proxies = []\nhttp_legacy_x_forwarded = false", "Forwarded: proto=https", False),
    ],
)
def test_only_trusted_proxies_are_believed_and_only_in_the_way_that_is_chosen(make, options, header, secure):
    with make(options) as desk:
        token = desk.output_of("invite", "create", "a.example").partition("?")[2]
        answer = desk.curl(plain(desk, f"/register?t={token}"), "--header", header)
        assert ("; Secure" in answer.headers["set-cookie"]) == secure


def test_over_https_the_cookie_of_the_form_is_secure_without_a_proxy(desk):
    token = desk.output_of("invite", "create", "a.example").partition("?")[2]
    assert "; Secure" in desk.curl(https(desk, f"/register?t={token}")).headers["set-cookie"]


# Other people's web pages

HERE = "https://here.example"
THERE = "https://there.example"


def asked_by(desk, origin, path, *arguments, host="a.example"):
    """What the browser of someone on another web page is told; without an origin it is no browser."""
    sent = ["--header", f"Origin: {origin}"] if origin else []
    headers = desk.curl(plain(desk, path, host), *sent, *arguments).headers
    return {name: value for name, value in headers.items() if name.startswith("access-control-")}


def test_every_page_may_read_every_app(desk):
    for path in ("/invites_api", "/register", "/invite"):
        assert asked_by(desk, None, path)["access-control-allow-origin"] == "*"
        assert asked_by(desk, THERE, path)["access-control-allow-origin"] == THERE


def test_the_documented_headers_are_all_there_is(desk):
    assert asked_by(desk, None, "/invites_api") == {
        "access-control-allow-methods": "OPTIONS, GET",
        "access-control-allow-headers": "Content-Type",
        "access-control-max-age": "7200",
        "access-control-allow-origin": "*",
    }


def test_the_landing_page_shows_its_link_to_other_pages(desk):
    path = "/invite?" + desk.output_of("invite", "create", "a.example").partition("?")[2]
    for origin, allowed in ((None, "*"), (THERE, THERE)):
        headers = asked_by(desk, origin, path)
        assert headers["access-control-allow-origin"] == allowed
        assert headers["access-control-expose-headers"] == "Link"


@pytest.mark.parametrize("path", ["/invites_api", "/register", "/invite", "/invites_page"])
def test_options_is_answered_with_nothing(desk, path):
    answer = desk.curl(plain(desk, path), "--request", "OPTIONS", "--header", f"Origin: {THERE}")
    assert (answer.status, answer.body) == (200, "")
    assert answer.headers["access-control-allow-origin"] == THERE
    assert answer.headers["vary"] == "Origin"


def test_options_of_an_address_that_there_is_not_is_404(desk):
    assert desk.curl(plain(desk, "/invites_api/x"), "--request", "OPTIONS").status == 404


def test_only_the_written_origins_may_read(make):
    options = f'access_control_allow_origins = ["{HERE}"]'
    with make(options, b='access_control_allow_origins = "*"') as desk:
        assert asked_by(desk, HERE, "/invites_api")["access-control-allow-origin"] == HERE
        for origin in (THERE, None):
            assert asked_by(desk, origin, "/invites_api") == {}
        assert asked_by(desk, THERE, "/invites_api", host="b.example")["access-control-allow-origin"] == THERE


def test_what_is_allowed_is_told_as_written(make):
    options = """
        access_control_allow_methods = ["OPTIONS", "PROPFIND"]
        access_control_allow_headers = ["Content-Type", "Authorization"]
        access_control_allow_credentials = true
        access_control_max_age = 60
    """
    with make(options) as desk:
        assert asked_by(desk, HERE, "/invites_api") == {
            "access-control-allow-origin": HERE,
            "access-control-allow-methods": "OPTIONS, PROPFIND, GET",
            "access-control-allow-headers": "Content-Type, Authorization",
            "access-control-allow-credentials": "true",
            "access-control-max-age": "60",
        }


def test_apps_may_be_different(make):
    options = f"""
        http_default_cors_enabled = false
        [http_cors_override.invites_api]
        enabled = true
        credentials = true
        headers = {{ Authorization = true, Content-Type = false }}
        origins = ["{HERE}"]
    """
    with make(options, b="http_cors_override.invites_page.enabled = false") as desk:
        assert asked_by(desk, HERE, "/invites_api") == {
            "access-control-allow-origin": HERE,
            "access-control-allow-methods": "OPTIONS, GET",
            "access-control-allow-headers": "Authorization",
            "access-control-allow-credentials": "true",
            "access-control-max-age": "7200",
        }
        assert asked_by(desk, THERE, "/invites_api") == {}
        assert asked_by(desk, HERE, "/register") == {}
        assert asked_by(desk, HERE, "/invite")["access-control-allow-origin"] == HERE
        assert asked_by(desk, HERE, "/invite", host="b.example") == {}
        assert desk.curl(plain(desk, "/register"), "--request", "OPTIONS").status == 405


# Pages for errors


def test_pages_say_what_the_operator_wrote(make):
    options = """
        http_errors_default_message = "Write to us."
        http_errors_messages = { 404 = "Ask <Ada> for a link." }
    """
    with make(options, b='http_errors_messages = { 404 = "Ask Bob." }') as desk:
        assert "Ask &lt;Ada&gt; for a link." in desk.curl(plain(desk, "/invite?unknown")).body
        assert "Ask Bob." in desk.curl(plain(desk, "/invite?unknown", host="b.example")).body
        page = desk.curl(plain(desk, "/invites_api"), "--header", "Accept: text/html")
        assert page.status == 403
        assert "Write to us." in page.body


def test_without_a_message_there_may_be_no_page(make):
    with make('http_errors_always_show = false\nhttp_errors_messages = { 405 = "Not so." }') as desk:
        browser = ["--header", "Accept: text/html"]
        assert desk.curl(plain(desk, "/invites_api"), *browser).body == ""
        assert "Not so." in desk.curl(plain(desk, "/invites_api"), *browser, "--request", "PUT").body
        assert "There is no such invite" in desk.curl(plain(desk, "/invite?unknown")).body


@pytest.mark.parametrize("detailed", [False, True])
def test_causes_are_told_to_those_who_ask_for_them(make, detailed):
    with make("http_errors_detailed = true" if detailed else "") as desk:
        database = str(desk.data / "invited.sqlite")
        subprocess.run(["sqlite3", database, "alter table invites rename to gone"], check=True, timeout=15)
        subprocess.run(["sqlite3", database, "alter table api_keys rename to gone_too"], check=True, timeout=15)
        for path in ("/invite?" + "a" * 24, "/invites_api?key=" + "a" * 8 + "/" + "b" * 32):
            answer = desk.curl(plain(desk, path))
            assert answer.status >= 500
            assert ("no such table" in answer.body) == detailed


# What is written beside all this


def test_sigterm_ends_also_in_the_middle_of_a_handshake(make):
    with make('request_timeout = "60s"') as desk:
        with socket.create_connection(("127.0.0.1", desk.https_port), timeout=10) as connection:
            connection.sendall(b"\x16")
            assert desk.curl(https(desk)).status == 200
            desk.process.send_signal(signal.SIGTERM)
            assert connection.recv(1) == b""
        desk.process.wait(10)
