//! Settings as `queue-job` names them, gathered from what a file says, and what of it is no such setting.

use actors::render::samplers;
use serde_json::{Map, Value as Json, json};

/// Longest text of an unused entry, in characters.
const SHOWN_CHARS_MAX: usize = 200;
/// Most unused entries; a file may have any number.
const UNUSED_MAX: usize = 100;

/// What was gathered of a file.
#[derive(Debug, Default)]
pub struct Taken {
    /// By the names of `queue-job`.
    pub settings: Map<String, Json>,
    /// Under the names of the program that wrote the file.
    pub unused: Map<String, Json>,
}

impl Taken {
    /// A text, unless it is empty.
    pub fn text(&mut self, name: &str, value: &str) {
        let value = value.trim();
        if !value.is_empty() {
            self.settings.insert(name.into(), value.into());
        }
    }

    /// A whole number that is not negative, as a number or as text; anything else is unused under `said_as`.
    pub fn count(&mut self, name: &str, said_as: &str, value: &Json) {
        let count = value.as_u64().or_else(|| value.as_str().and_then(|text| text.trim().parse().ok()));
        match count {
            Some(count) => drop(self.settings.insert(name.into(), json!(count))),
            None => self.leave(said_as, value),
        }
    }

    /// A finite number, as a number or as text; anything else is unused under `said_as`.
    pub fn number(&mut self, name: &str, said_as: &str, value: &Json) {
        let number = value.as_f64().or_else(|| value.as_str().and_then(|text| text.trim().parse().ok()));
        match number.filter(|number| number.is_finite()) {
            Some(number) => drop(self.settings.insert(name.into(), json!(number))),
            None => self.leave(said_as, value),
        }
    }

    /// A LoRA with its scale; without a usable name it is unused.
    pub fn lora(&mut self, name: Option<&str>, scale: &Json, said_as: &str) {
        self.described_lora(&json!({"name": name, "scale": scale}), said_as);
    }

    /// A LoRA as jobs have it, perhaps with a scale of its own for the text encoders (`text_scale`) and weights by block
    /// (`blocks`); without a usable name it is unused.
    pub fn described_lora(&mut self, described: &Json, said_as: &str) {
        // A path of another machine: the name is what the file is called.
        let name = described["name"].as_str().map(|name| name.rsplit(['/', '\\']).next().unwrap_or(name));
        let name = name.map(|name| name.trim_end_matches(".safetensors")).filter(|name| !name.is_empty());
        let Some(name) = name else { return self.leave(said_as, &described["scale"]) };
        let mut lora = json!({"name": name, "scale": described["scale"].as_f64().unwrap_or(1.0)});
        for member in ["text_scale", "blocks"] {
            if let Some(value) = described.get(member).filter(|value| !value.is_null()) {
                lora[member] = value.clone();
            }
        }
        let loras = self.settings.entry("loras").or_insert_with(|| json!([]));
        if let Some(loras) = loras.as_array_mut() {
            loras.push(lora);
        }
    }

    /// A sampler with the spacing of its steps, under the name that drawings here have for both.
    pub fn sampler(&mut self, sampler: &str, schedule: &str) {
        let (sampler, schedule) = (sampler.trim(), schedule.trim());
        match scheduler(sampler, schedule) {
            Some(name) => self.text("scheduler", name),
            None if sampler.is_empty() => {}
            None => {
                let both =
                    if schedule.is_empty() { sampler.into() } else { format!("{sampler}, {schedule}") };
                self.leave("scheduler", &json!(both));
            }
        }
    }

    /// Something that is said and not taken over; nulls and empty texts say nothing.
    pub fn leave(&mut self, name: &str, value: &Json) {
        let text = match value {
            Json::Null => return,
            Json::String(text) => text.trim().to_string(),
            other => other.to_string(),
        };
        if !text.is_empty() && self.unused.len() < UNUSED_MAX {
            let name: String = name.chars().take(SHOWN_CHARS_MAX).collect();
            let shown: String = text.chars().take(SHOWN_CHARS_MAX).collect();
            self.unused.insert(name, shown.into());
        }
    }
}

/// How the samplers of k-diffusion, which ComfyUI and InvokeAI name, are called here.
const NAMES: [(&str, &str); 16] = [
    ("euler", "Euler"),
    ("euler_ancestral", "Euler a"),
    ("euler_a", "Euler a"),
    ("heun", "Heun"),
    ("dpmpp_2m", "DPM++ 2M"),
    ("dpmpp_2m_sde", "DPM++ 2M SDE"),
    ("dpmpp_2m_sde_gpu", "DPM++ 2M SDE"),
    ("dpmpp_3m", "DPM++ 3M"),
    ("dpmpp_3m_sde", "DPM++ 3M SDE"),
    ("dpmpp_3m_sde_gpu", "DPM++ 3M SDE"),
    ("ddim", "DDIM"),
    ("pndm", "PNDM"),
    ("plms", "PLMS"),
    ("unipc", "UniPC"),
    ("uni_pc", "UniPC"),
    ("lcm", "LCM"),
];
/// Spacings that say nothing of their own.
const PLAIN: [&str; 5] = ["", "normal", "simple", "automatic", "ddim_uniform"];

/// The name of a sampler and the spacing of its steps; `None` for one that is not here.
fn scheduler(sampler: &str, schedule: &str) -> Option<&'static str> {
    let (mut sampler, mut schedule) = (sampler.to_ascii_lowercase(), schedule.to_ascii_lowercase());
    for (ending, spaced) in [("_k", "karras"), (" karras", "karras")] {
        if let Some(base) = sampler.strip_suffix(ending) {
            (sampler, schedule) = (base.into(), spaced.into());
        }
    }
    let known = NAMES.iter().find(|(name, _)| *name == sampler).map(|(_, name)| name.to_ascii_lowercase());
    let wanted = known.unwrap_or(sampler);
    let found = samplers().into_iter().find(|one| one.name.to_ascii_lowercase() == wanted)?;
    match schedule.as_str() {
        "karras" => found.karras,
        schedule if PLAIN.contains(&schedule) => found.plain.or(found.karras),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samplers_of_other_programs_have_names_here() {
        for (sampler, schedule, name) in [
            ("DPM++ 2M", "Karras", Some("DPM++ 2M Karras")),
            ("DPM++ 2M Karras", "", Some("DPM++ 2M Karras")),
            ("Euler a", "Automatic", Some("Euler a")),
            ("dpmpp_2m", "karras", Some("DPM++ 2M Karras")),
            ("dpmpp_2m_k", "", Some("DPM++ 2M Karras")),
            ("euler_ancestral", "normal", Some("Euler a")),
            ("dpmpp_3m_sde", "normal", Some("DPM++ 3M SDE Karras")),
            ("ddim", "karras", None),
            ("euler", "exponential", None),
            ("Restart", "", None),
            ("", "", None),
        ] {
            assert_eq!(scheduler(sampler, schedule), name, "{sampler}, {schedule}");
        }
    }
}
