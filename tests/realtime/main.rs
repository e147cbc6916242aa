//! Sockets, asked from outside: changed rows, broadcasts, presence, tokens, limits.

#[path = "../common/mod.rs"]
mod common;
#[path = "../socket/mod.rs"]
mod socket;

mod changes;
mod channels;
mod limits;

use common::Server;
use serde_json::{Value as Json, json};

/// A server with two accounts.
struct Stage {
    server: Server,
    alice: (String, String),
    bob: (String, String),
    _folder: tempfile::TempDir,
}

impl Stage {
    fn set(environment: &[(&str, &str)]) -> Stage {
        let folder = tempfile::tempdir().expect("a folder");
        let server = Server::start(folder.path(), environment);
        let (alice, bob) = (server.sign_up("alice@example.com"), server.sign_up("bob@example.com"));
        Stage { server, alice, bob, _folder: folder }
    }

    fn url(&self) -> &str {
        &self.server.url
    }

    /// Adds a row of a user and answers with it.
    fn insert(&self, (user, token): &(String, String), table: &str, row: Json) -> Json {
        let mut row = row;
        row["user_id"] = json!(user);
        let (status, rows) = self.server.call("POST", &format!("/rest/v1/{table}"), token, Some(&row));
        assert_eq!(status, 201, "{rows}");
        rows[0].clone()
    }

    fn change(&self, method: &str, token: &str, path: &str, body: Option<&Json>) {
        let (status, answer) = self.server.call(method, &format!("/rest/v1/{path}"), token, body);
        assert!((200..300).contains(&status), "{status} {answer}");
    }
}
