//! What operators see of a server and set for it, each from outside: figures, logs, limits, TLS, providers of
//! accounts, backups, and what the command line says of it.

#[path = "../common/mod.rs"]
mod common;
mod fake_http;
mod fake_mail;
mod figures;
mod mail;
#[path = "../model_server/mod.rs"]
mod model_server;
mod providers;
mod said;
mod seen;
#[path = "../talk/mod.rs"]
mod talk;
mod tls;
