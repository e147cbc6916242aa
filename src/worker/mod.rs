//! `playhouse worker`: draws jobs of another Playhouse. It claims one at a time, draws it with this machine's models, uploads
//! what came of it and reports. Nothing is kept here: what a worker that dies was at is drawn again once its lease is over.

mod chats;
mod claimed;
mod options;
mod run;
mod server;

pub use options::WorkerOptions;
pub use run::run;
