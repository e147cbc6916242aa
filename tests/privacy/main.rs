//! Privacy by construction: two accounts with private and public characters live side by side, and every function and
//! every dialect is asked by each for what is the other's.
//!
//! What an account says, draws or imports holds a word that nothing else holds ([`life`]). The other then names it by
//! its id or path, and names something that does not exist in its place: both must be answered the same
//! ([`functions`], [`dialects`]), no answer may hold the word or an id that was not asked with, and what was asked for
//! is afterwards as it was. A new function without a case fails.

#[path = "../common/mod.rs"]
mod common;
mod dialects;
mod functions;
mod life;
#[path = "../model_server/mod.rs"]
mod model_server;
mod names;
mod rest;
mod spy;
#[path = "../talk/mod.rs"]
mod talk;

use std::time::Duration;

use common::Server;
use life::Life;
use model_server::ModelServer;
use serde_json::json;
use spy::Spy;
use talk::until;

#[test]
fn nothing_that_one_says_draws_or_imports_reaches_another() {
    let folder = tempfile::tempdir().expect("a folder");
    let model = ModelServer::start(Duration::ZERO, 2);
    let server = talk::start_with(folder.path(), &[("PLAYHOUSE_CALLBACK_SECRET", "worker secret")]);
    model.become_default(&server);
    let mut lives =
        [Life::begin(&server, "ada", "quibberlantern"), Life::begin(&server, "bob", "zomblefern")];
    // Each plays the other's public character.
    let public = [1, 0].map(|other: usize| lives[other].thing("public_character").to_string());
    for (life, public) in lives.iter_mut().zip(&public) {
        life.play(&server, public);
    }
    let [ada, bob] = &lives;
    let mut wrong = Vec::new();
    for (owner, asker) in [(ada, bob), (bob, ada)] {
        settle(&server);
        let before = owner.all(&server);
        let tables = before.values().filter(|rows| rows.contains(owner.marker)).count();
        assert!(tables > 12, "the word of {} is in {tables} tables only", owner.name);
        let prompts = model.prompts().len();
        let mut spy = Spy::new(&server, owner, asker);
        functions::probe(&mut spy);
        rest::probe(&mut spy);
        dialects::probe(&mut spy);
        settle(&server);
        println!("{} asked {} times for what is {}'s", asker.name, spy.asked, owner.name);
        wrong.append(&mut spy.wrong);
        // What a model is given on the asker's behalf is the asker's.
        for prompt in &model.prompts()[prompts..] {
            if prompt.to_string().contains(owner.marker) {
                wrong.push(format!("a model was shown {}'s words for {}: {prompt}", owner.name, asker.name));
            }
        }
        let after = owner.all(&server);
        for (table, rows) in &before {
            if after[table] != *rows {
                wrong.push(format!("{table} of {} was\n{rows}\nand is\n{}", owner.name, after[table]));
            }
        }
    }
    assert!(wrong.is_empty(), "{} leaks:\n{}", wrong.len(), wrong.join("\n"));
    assert_eq!(server.check()["faults"], 0);
}

/// Waits until all jobs and replies have ended.
fn settle(server: &Server) {
    until("the end of all jobs and replies", || {
        let path = "/rest/v1/jobs?status=in.(queued,processing)&select=id";
        let (_, jobs) = server.call("GET", path, &server.service, None);
        let (_, health) = server.call("GET", "/health", &server.service, None);
        jobs == json!([]) && health["chat"]["replies_under_way"] == json!(0)
    });
}
