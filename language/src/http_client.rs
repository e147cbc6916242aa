//! Requests to other servers.

use std::sync::Once;

use serde_json::Value;
use syntax::half_characters;

/// What every client of another server begins with.
///
/// The cryptography of TLS is `ring`: it builds in a fraction of the time that the default takes, and without cmake. The
/// client panics where no provider was chosen, so this is the only way to make one.
pub fn http_client() -> reqwest::ClientBuilder {
    static PROVIDER: Once = Once::new();
    PROVIDER.call_once(|| {
        if rustls::crypto::ring::default_provider().install_default().is_err() {
            tracing::debug!("another TLS provider was chosen before");
        }
    });
    reqwest::Client::builder()
}

/// The JSON of an answer, where halves of characters are U+FFFD; none for what is no JSON or breaks off.
pub async fn json_answer(response: reqwest::Response) -> Option<Value> {
    serde_json::from_slice(&half_characters::mend(&response.bytes().await.ok()?)).ok()
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::TcpListener;

    #[tokio::test]
    async fn https_begins_with_a_handshake() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address");
        let server = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().expect("a client");
            let mut head = [0; 6];
            stream.read_exact(&mut head).expect("a record");
            stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").expect("an answer");
            head
        });
        let client = super::http_client().no_proxy().build().expect("a client");
        let error =
            client.get(format!("https://{address}/")).send().await.expect_err("no TLS is spoken there");
        assert!(error.is_connect(), "{error:?}");
        let head = server.join().expect("the server ends");
        // A handshake record of TLS that holds a ClientHello.
        assert_eq!((head[0], head[1], head[5]), (22, 3, 1), "{head:?}");
    }
}
