//! What models of this machine run on, as it was found at the start.

use actors::render::{DeviceChoice, DeviceFacts};
use serde_json::{Value as Json, json};

use crate::config::Config;

/// A device that a setting names.
#[derive(Clone, Debug)]
enum Named {
    Found(DeviceFacts),
    Missing { name: String, reason: String },
}

/// The devices of pictures and of chats.
#[derive(Clone, Debug)]
pub struct Devices {
    /// Absent where pictures are left to workers.
    pictures: Option<Named>,
    chats: Named,
}

impl Devices {
    /// Opens the devices that the settings name.
    pub fn of(config: &Config) -> Devices {
        Devices {
            pictures: config.local_worker.then(|| Named::of(&config.image_device)),
            chats: Named::of(&config.chat_device),
        }
    }

    /// The settings that name a device which cannot be had, and why.
    pub fn missing(&self) -> Vec<(&'static str, String)> {
        let of = |setting, named: &Named, until: &str| match named {
            Named::Found(_) => None,
            Named::Missing { reason, .. } => {
                Some((setting, format!("{reason}; {until} until it names another")))
            }
        };
        let pictures = self.pictures.as_ref();
        let pictures = pictures.and_then(|named| of("image_device", named, "no picture can be drawn"));
        let chats = of("chat_device", &self.chats, "no chat model of this machine answers");
        pictures.into_iter().chain(chats).collect()
    }

    /// What draws, in words.
    pub fn pictures(&self) -> String {
        self.pictures.as_ref().map_or("none: jobs wait for workers".into(), Named::words)
    }

    /// What the chat models compute on, in words.
    pub fn chats(&self) -> String {
        self.chats.words()
    }

    /// Both, for operators.
    pub fn json(&self) -> Json {
        json!({"pictures": self.pictures.as_ref().map(Named::json), "chats": self.chats.json()})
    }
}

impl Named {
    fn of(setting: &str) -> Named {
        match setting.parse::<DeviceChoice>().and_then(DeviceChoice::facts) {
            Ok(facts) => Named::Found(facts),
            Err(error) => Named::Missing { name: setting.into(), reason: error.to_string() },
        }
    }

    fn words(&self) -> String {
        let facts = match self {
            Named::Found(facts) => facts,
            Named::Missing { reason, .. } => return reason.clone(),
        };
        let memory = facts.memory_bytes.map(|bytes| format!("{} MiB", bytes >> 20));
        let details: Vec<String> = facts.name.iter().cloned().chain(memory).collect();
        match details.is_empty() {
            true => facts.choice.to_string(),
            false => format!("{} ({})", facts.choice, details.join(", ")),
        }
    }

    fn json(&self) -> Json {
        match self {
            Named::Found(facts) => json!({
                "device": facts.choice.to_string(), "name": facts.name, "memory_bytes": facts.memory_bytes,
            }),
            Named::Missing { name, reason } => json!({"device": name, "trouble": reason}),
        }
    }
}
