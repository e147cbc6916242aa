//! Asks on behalf of one account for what is another's, and notes what should not have been said.

use serde_json::Value as Json;

use crate::common::Server;
use crate::common::files::{Answer, bearer};
use crate::life::Life;
use crate::names::{Names, fill, plain, plain_text};

/// One account that asks, and one that is asked about.
pub struct Spy<'l> {
    pub server: &'l Server,
    pub owner: &'l Life,
    pub asker: &'l Life,
    pub asked: usize,
    pub wrong: Vec<String>,
    /// All that was asked with so far.
    named: String,
    /// Connections that stay open: there are a few thousand questions.
    client: reqwest::Client,
    runtime: tokio::runtime::Runtime,
}

/// A request, with names to be filled in.
pub struct Question<'q> {
    pub method: &'q str,
    /// From the first slash.
    pub path: &'q str,
    pub body: &'q str,
    pub headers: &'q [(&'q str, &'q str)],
}

impl<'l> Spy<'l> {
    pub fn new(server: &'l Server, owner: &'l Life, asker: &'l Life) -> Spy<'l> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let client = language::http_client().build().expect("a client");
        Spy { server, owner, asker, asked: 0, wrong: Vec::new(), named: String::new(), client, runtime }
    }

    /// One request with the asker's token; what is said is looked through.
    pub fn ask(&mut self, question: &Question, names: Names) -> Answer {
        let path = fill(question.path, self.asker, names);
        let body = fill(question.body, self.asker, names);
        let token = bearer(&self.asker.token);
        let mut headers = question.headers.to_vec();
        for (name, value) in [
            ("authorization", token.as_str()),
            ("apikey", self.server.anon.as_str()),
            ("content-type", "application/json"),
        ] {
            if !question.headers.iter().any(|(given, _)| *given == name) {
                headers.push((name, value));
            }
        }
        let url = format!("{}{path}", self.server.url);
        let method: reqwest::Method = question.method.parse().expect("a method");
        let mut request = self.client.request(method, url).body(body.clone());
        for (name, value) in headers {
            request = request.header(name, value);
        }
        let answer = self.runtime.block_on(async {
            let response = request.send().await.expect("an answer");
            let (status, headers) = (response.status().as_u16(), response.headers().clone());
            Answer { status, headers, bytes: response.bytes().await.expect("a body").to_vec() }
        });
        self.asked += 1;
        self.look(&format!("{} {path} {body}", question.method), &answer);
        answer
    }

    /// Asks for what is the other's and for what does not exist: the answers must be the same.
    pub fn compare(&mut self, question: &Question) -> Answer {
        let theirs = self.ask(question, Names::Theirs(self.owner));
        let nothing = self.ask(question, Names::Nothing);
        let shown = |answer: &Answer| match serde_json::from_slice::<Json>(&answer.bytes) {
            Ok(json) => plain(&json).to_string(),
            Err(_) => plain_text(&answer.text()),
        };
        let (one, other) = (shown(&theirs), shown(&nothing));
        if (theirs.status, &one) != (nothing.status, &other) {
            self.wrong.push(format!(
                "{} {} {}: what is {}'s is answered {} {one}, what does not exist {} {other}",
                question.method, question.path, question.body, self.owner.name, theirs.status, nothing.status
            ));
        }
        theirs
    }

    /// Notes the word of the other account, and its ids and paths that the asker has not named yet.
    fn look(&mut self, request: &str, answer: &Answer) {
        self.named.push_str(request);
        let headers: String = answer
            .headers
            .iter()
            .map(|(name, value)| format!("{name}: {}\n", String::from_utf8_lossy(value.as_bytes())))
            .collect();
        let said = headers + &answer.text();
        let public = self.owner.thing("public_character");
        let mut shown: Vec<&str> = Vec::new();
        if said.contains(self.owner.marker) && !request.contains(self.owner.marker) {
            shown.push(self.owner.marker);
        }
        for thing in self.owner.things.values().map(String::as_str) {
            // A public character names its owner.
            let is_public = thing == public || thing == self.owner.id;
            if !is_public && said.contains(thing) && !self.named.contains(thing) {
                shown.push(thing);
            }
        }
        if !shown.is_empty() {
            let said: String = said.chars().take(600).collect();
            self.wrong.push(format!("{request} shows {shown:?}: {} {said}", answer.status));
        }
    }

    /// A row of the asker's that names something of the other's, as earlier versions took it; its id.
    pub fn plant(&mut self, table: &str, row: &str) -> String {
        let row = fill(row, self.asker, Names::Theirs(self.owner));
        self.named.push_str(&row);
        let row: Json = serde_json::from_str(&row).expect("a row");
        let path = format!("/rest/v1/{table}");
        let (status, rows) = self.server.call("POST", &path, &self.server.service, Some(&row));
        assert_eq!(status, 201, "{table} {row}: {rows}");
        rows[0]["id"].as_str().expect("an id").to_string()
    }
}
