//! The names of jobs that make media of scripts.

/// The queue of media; this process alone takes from it.
pub const MEDIA_QUEUE: &str = "media_queue";
/// The type of a job that makes a video, and that of one that makes pictures and clips of sound alone.
pub const MEDIA_JOBS: [&str; 2] = ["script_video", "script_media"];
/// The member of a job's metadata that says which kind of failure ended it.
pub const FAILURE: &str = "failure";
/// The kind of failure of a file that is there and could not be fetched.
pub const RETRIEVAL: &str = "retrieval";
/// The member of a job's metadata that counts the tries that the server began by itself.
pub const AUTO_RETRIES: &str = "auto_retries";
