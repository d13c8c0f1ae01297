//! A request is for one host, and says which without a doubt.

use crate::support::TestServer;

#[tokio::test]
async fn a_request_that_names_two_hosts_is_refused() {
    let server = TestServer::start().await;
    for (address, hosts, status) in [
        ("/", &["chat.example"][..], 200),
        ("/", &["CHAT.example.:5280"], 200),
        ("http://chat.example/", &[], 200),
        ("http://chat.example/", &["chat.example"], 200),
        ("http://Chat.Example:5280/", &["chat.example"], 200),
        ("/", &["elsewhere.example"], 404),
        ("/", &["chat.example", "other.example"], 400),
        ("/", &["other.example", "chat.example"], 400),
        // RFC 9112 §3.2: even if both are the same.
        ("/", &["chat.example", "chat.example"], 400),
        ("/", &["chat.example", ""], 400),
        ("http://chat.example/", &["other.example"], 400),
        ("http://chat.example/", &["elsewhere.example"], 400),
        ("http://chat.example/", &[""], 400),
        (
            "http://chat.example/",
            &["chat.example", "chat.example"],
            400,
        ),
        ("/rocks/manifest", &["chat.example", "other.example"], 400),
    ] {
        let headers: Vec<_> = hosts.iter().map(|host| ("Host", *host)).collect();
        let answer = server.send_bare("GET", address, &headers).await;
        assert_eq!(answer.status, status, "{address} {hosts:?} {answer:?}");
    }
}
