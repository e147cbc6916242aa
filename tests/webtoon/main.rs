//! Webtoons from outside: the rules of their rows, the dialect of `/v1`, and what is planned and drawn.

mod bad_input;
mod bundles;
mod casting;
#[path = "../common/mod.rs"]
mod common;
mod drawing;
mod drawn;
mod exports;
mod graphs;
mod led_panels;
mod lettering;
mod looks;
#[path = "../model_server/mod.rs"]
mod model_server;
mod nodes;
mod projects;
mod readers;
mod reading;
mod remote_panels;
mod rules;
#[path = "../talk/mod.rs"]
mod talk;
mod whole_story;
mod with_models;

use common::Server;
use serde_json::Value as Json;

/// An account of a server.
pub(crate) struct Account<'s> {
    pub(crate) server: &'s Server,
    pub(crate) user: String,
    pub(crate) token: String,
}

impl Account<'_> {
    pub(crate) fn new<'s>(server: &'s Server, email: &str) -> Account<'s> {
        let (user, token) = server.sign_up(email);
        Account { server, user, token }
    }

    pub(crate) fn get(&self, path: &str) -> (u16, Json) {
        self.server.call("GET", path, &self.token, None)
    }

    pub(crate) fn post(&self, path: &str, body: &Json) -> (u16, Json) {
        self.server.call("POST", path, &self.token, Some(body))
    }

    pub(crate) fn delete(&self, path: &str) -> (u16, Json) {
        self.server.call("DELETE", path, &self.token, None)
    }

    /// What is made by a call that must succeed.
    pub(crate) fn made(&self, path: &str, body: &Json) -> Json {
        let (status, made) = self.post(path, body);
        assert!((200..300).contains(&status), "{path}: {status} {made}");
        made
    }
}

/// An id in an answer.
pub(crate) fn id(answer: &Json, name: &str) -> String {
    answer[name].as_str().unwrap_or_else(|| panic!("no {name} in {answer}")).to_string()
}
