//! Connections that are encrypted by certificate files, and files that change.

use std::path::Path;

use serde_json::Value as Json;

use crate::common::Server;
use crate::talk::until;

/// Writes a new certificate with its key; the certificate's bytes.
fn certificate(folder: &Path) -> Vec<u8> {
    let names = vec!["localhost".to_string(), "127.0.0.1".to_string()];
    let rcgen::CertifiedKey { cert, signing_key } =
        rcgen::generate_simple_self_signed(names).expect("a certificate");
    std::fs::write(folder.join("cert.pem"), cert.pem()).expect("a file");
    std::fs::write(folder.join("key.pem"), signing_key.serialize_pem()).expect("a file");
    cert.der().to_vec()
}

/// The certificate that a server shows to a client that trusts it, and the health that it tells.
fn shown(url: &str, trusted: &[u8]) -> Result<(Vec<u8>, Json), String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let root = reqwest::Certificate::from_der(trusted).map_err(|error| error.to_string())?;
        let client = language::http_client().tls_certs_only([root]).tls_info(true);
        let client = client.build().map_err(|error| error.to_string())?;
        let response =
            client.get(format!("{url}/health")).send().await.map_err(|error| format!("{error:?}"))?;
        let info = response.extensions().get::<reqwest::tls::TlsInfo>();
        let shown = info.and_then(|info| info.peer_certificate()).ok_or("no certificate")?.to_vec();
        let health = response.text().await.map_err(|error| error.to_string())?;
        Ok((shown, serde_json::from_str(&health).map_err(|error| error.to_string())?))
    })
}

#[test]
fn a_certificate_encrypts_connections_and_may_change() {
    let folder = tempfile::tempdir().expect("a folder");
    let first = certificate(folder.path());
    let (cert, key) = (folder.path().join("cert.pem"), folder.path().join("key.pem"));
    let settings = [
        ("PLAYHOUSE_TLS_CERT", cert.to_str().expect("text")),
        ("PLAYHOUSE_TLS_KEY", key.to_str().expect("text")),
    ];
    let data = folder.path().join("data");
    let mut server = Server::start(&data, &settings);
    assert!(server.url.starts_with("https://127.0.0.1:"), "{}", server.url);
    let (seen, health) = shown(&server.url, &first).expect("an answer");
    assert_eq!((seen, &health["status"]), (first.clone(), &Json::from("ok")));
    // The command line finds its way, and so do links that the server hands out.
    assert_eq!(server.check()["faults"], 0);
    let (_, token) = server.sign_up("ada@example.com");
    let (status, user) = server.call("GET", "/auth/v1/user", &token, None);
    assert_eq!((status, &user["email"]), (200, &Json::from("ada@example.com")));
    let plain = server.url.replace("https://", "http://");
    assert!(crate::common::get(&plain, &[]).is_err(), "nothing is said in the clear");
    // A client that says nothing sensible holds up no other.
    let address = server.url.trim_start_matches("https://").to_string();
    let _silent = std::net::TcpStream::connect(&address).expect("a connection");
    assert!(shown(&server.url, &first).is_ok());

    let second = certificate(folder.path());
    server.signal("HUP");
    until("the new certificate is shown", || {
        shown(&server.url, &second).is_ok_and(|(seen, _)| seen == second)
    });
    // What cannot be read changes nothing.
    std::fs::write(&cert, "no certificate").expect("a file");
    server.signal("HUP");
    for _ in 0..10 {
        assert!(shown(&server.url, &second).is_ok());
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    server.stop();
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_playhouse"))
        .args(["serve", "--listen", "127.0.0.1:0", "--data"])
        .arg(&data)
        .envs(settings)
        .output()
        .expect("the binary runs");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && said.contains("tls_cert: "), "{said}");
}
