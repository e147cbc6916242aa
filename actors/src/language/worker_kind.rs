//! The kinds of workers elsewhere, and where `system_config` keeps what is known of them.

use serde_json::Value as Json;

/// What a worker is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WorkerKind {
    /// Chats, in OpenAI's dialect.
    Chat,
    /// Pictures.
    Sdxl,
    /// Videos.
    Wan,
}

impl WorkerKind {
    /// All of them.
    pub const ALL: [WorkerKind; 3] = [WorkerKind::Chat, WorkerKind::Sdxl, WorkerKind::Wan];

    /// Its name on the wire.
    pub fn name(self) -> &'static str {
        match self {
            WorkerKind::Chat => "chat",
            WorkerKind::Sdxl => "sdxl",
            WorkerKind::Wan => "wan",
        }
    }

    /// Its member of `workerHealthCache`.
    pub fn entry(self) -> &'static str {
        match self {
            WorkerKind::Chat => "chatWorker",
            WorkerKind::Sdxl => "sdxlWorker",
            WorkerKind::Wan => "wanWorker",
        }
    }

    /// Members of the configuration that have its own address, the first that is set counts.
    fn addresses(self) -> &'static [&'static str] {
        match self {
            WorkerKind::Chat => &["chatWorkerUrl"],
            WorkerKind::Sdxl => &["sdxlWorkerUrl"],
            WorkerKind::Wan => &["wanWorkerUrl", "workerUrl"],
        }
    }

    /// The address that is registered for it.
    pub fn url(self, config: &Json) -> Option<&str> {
        self.addresses().iter().find_map(|name| config[*name].as_str().filter(|url| !url.is_empty()))
    }
}
