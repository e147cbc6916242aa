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
    /// None where pictures are left to workers.
    pictures: Vec<Named>,
    chats: Named,
}

impl Devices {
    /// Opens the devices that the settings name.
    pub fn of(config: &Config) -> Devices {
        Devices {
            pictures: match config.local_worker {
                true => config.image_device.split(',').map(|name| Named::of(name.trim())).collect(),
                false => Vec::new(),
            },
            chats: Named::of(&config.chat_device),
        }
    }

    /// Memory of the smallest card that draws, in bytes, where cards do and say it.
    pub fn card_bytes(&self) -> Option<u64> {
        let of = |named: &Named| match named {
            Named::Found(facts) if facts.choice != DeviceChoice::Cpu => facts.memory_bytes,
            _ => None,
        };
        self.pictures.iter().filter_map(of).min()
    }

    /// The settings that name a device which cannot be had, and why.
    pub fn missing(&self) -> Vec<(&'static str, String)> {
        let of = |setting, named: &Named, until: &str| match named {
            Named::Found(_) => None,
            Named::Missing { reason, .. } => {
                Some((setting, format!("{reason}; {until} until it names another")))
            }
        };
        let lost = match self.pictures.len() {
            1 => "no picture can be drawn",
            _ => "it takes no jobs",
        };
        let pictures = self.pictures.iter().filter_map(|named| of("image_device", named, lost));
        let chats = of("chat_device", &self.chats, "no chat model of this machine answers");
        pictures.chain(chats).collect()
    }

    /// What draws, in words.
    pub fn pictures(&self) -> String {
        let all: Vec<String> = self.pictures.iter().map(Named::words).collect();
        if all.is_empty() { "none: jobs wait for workers".into() } else { all.join(", ") }
    }

    /// What the chat models compute on, in words.
    pub fn chats(&self) -> String {
        self.chats.words()
    }

    /// Both, for operators.
    pub fn json(&self) -> Json {
        let pictures: Vec<Json> = self.pictures.iter().map(Named::json).collect();
        json!({"pictures": pictures, "chats": self.chats.json()})
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
            Named::Found(facts) => {
                let found = json!({
                    "device": facts.choice.to_string(), "name": facts.name, "memory_bytes": facts.memory_bytes,
                });
                match facts.choice.lost() {
                    Some(reason) => json!({"device": found["device"], "name": facts.name, "trouble": reason}),
                    None => found,
                }
            }
            Named::Missing { name, reason } => json!({"device": name, "trouble": reason}),
        }
    }
}
