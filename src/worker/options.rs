//! What a worker is asked to do.

/// What a worker is asked to do.
#[derive(Clone, Debug)]
pub struct WorkerOptions {
    /// The server's address, such as `http://studio.local:54321`.
    pub server: String,
    /// The server's `callback_secret`.
    pub secret: String,
    /// Under which name it claims jobs.
    pub name: String,
    /// Whether it draws pictures.
    pub images: bool,
    /// Whether it draws videos.
    pub videos: bool,
    /// Where it answers chats with this machine's chat model, if it does.
    pub chats: Option<std::net::SocketAddr>,
    /// After so many seconds without a report the server gives a job to another one.
    pub lease_s: i64,
}
