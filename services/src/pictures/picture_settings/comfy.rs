//! ComfyUI's graph of nodes, the text `prompt`: followed from the node that samples back to its words, model and size.

use std::collections::BTreeSet;

use serde_json::{Map, Value as Json, json};

use super::taken::Taken;

/// Nodes that show or keep what was drawn, and say nothing of how.
const SHOWING: [&str; 4] = ["SaveImage", "PreviewImage", "VAEDecode", "VAELoader"];
/// Inputs by which words come through a node that changes them.
const THROUGH: [&str; 6] =
    ["conditioning", "conditioning_1", "conditioning_to", "positive", "text", "string"];
/// Members that hold a text.
const TEXTS: [&str; 5] = ["text", "text_g", "string", "value", "prompt"];

/// The nodes, and those that were looked at.
struct Graph<'a> {
    nodes: &'a Map<String, Json>,
    seen: BTreeSet<&'a str>,
}

/// What of the graph is a setting here.
pub(super) fn read(nodes: &Map<String, Json>) -> Taken {
    let mut taken = Taken::default();
    let mut graph = Graph { nodes, seen: BTreeSet::new() };
    let samplers: Vec<&str> = nodes
        .iter()
        .filter(|(_, node)| {
            let inputs = &node["inputs"];
            is_of(node, "sampler") && !(inputs["seed"].is_null() && inputs["noise_seed"].is_null())
        })
        .map(|(name, _)| name.as_str())
        .collect();
    // The first pass is the one that begins with an empty picture.
    let is_first = |name: &&str| {
        let mut graph = Graph { nodes, seen: BTreeSet::new() };
        graph.size(&nodes[*name]["inputs"]["latent_image"]).is_some()
    };
    if let Some(name) = samplers.iter().copied().find(is_first).or(samplers.first().copied()) {
        graph.seen.insert(name);
        graph.sampled(&nodes[name]["inputs"], &mut taken);
    }
    for (name, node) in nodes {
        let kind = node["class_type"].as_str().unwrap_or_default();
        if !graph.seen.contains(name.as_str()) && !SHOWING.contains(&kind) {
            taken.leave(&format!("node {name}"), &json!(kind));
        }
    }
    taken
}

impl<'a> Graph<'a> {
    /// What the inputs of a node that samples say, and what leads there.
    fn sampled(&mut self, inputs: &'a Json, taken: &mut Taken) {
        taken.text("prompt", &self.words(&inputs["positive"]).unwrap_or_default());
        taken.text("negative_prompt", &self.words(&inputs["negative"]).unwrap_or_default());
        let seed = if inputs["seed"].is_null() { &inputs["noise_seed"] } else { &inputs["seed"] };
        for (name, said_as, value) in [("seed", "seed", seed), ("steps", "steps", &inputs["steps"])] {
            let value = self.value(value).clone();
            taken.count(name, said_as, &value);
        }
        let guidance = self.value(&inputs["cfg"]).clone();
        taken.number("guidance_scale", "cfg", &guidance);
        let text = |value: &Json| value.as_str().unwrap_or_default().to_string();
        taken.sampler(&text(&inputs["sampler_name"]), &text(&inputs["scheduler"]));
        if inputs["denoise"].as_f64().is_some_and(|share| share < 1.0) {
            taken.leave("denoise", &inputs["denoise"]);
        }
        if let Some((width, height)) = self.size(&inputs["latent_image"]) {
            taken.count("width", "width", &width);
            taken.count("height", "height", &height);
        }
        self.model(&inputs["model"], taken);
        let weighs = ["prompt", "negative_prompt"]
            .iter()
            .any(|name| taken.settings.get(*name).and_then(Json::as_str).is_some_and(|it| it.contains('(')));
        if weighs {
            taken.text("prompt_syntax", "a1111");
        }
    }

    /// The node that an input is linked with, once: a graph may be a circle.
    fn linked(&mut self, input: &'a Json) -> Option<&'a Json> {
        let name = input.get(0)?.as_str()?;
        let (name, node) = self.nodes.get_key_value(name)?;
        self.seen.insert(name.as_str()).then_some(node)
    }

    /// An input, or the value of the node that it is linked with.
    fn value(&mut self, input: &'a Json) -> &'a Json {
        match self.linked(input) {
            Some(node) => ["value", "seed", "int", "float"]
                .iter()
                .find_map(|name| node["inputs"].get(name))
                .unwrap_or(&Json::Null),
            None => input,
        }
    }

    /// The words of a conditioning.
    fn words(&mut self, input: &'a Json) -> Option<String> {
        let mut node = self.linked(input)?;
        loop {
            let inputs = &node["inputs"];
            if let Some(text) = TEXTS.iter().find_map(|name| inputs[name].as_str()) {
                return Some(text.to_string());
            }
            let mut next = THROUGH.iter().map(|name| &inputs[name]).filter(|input| input.is_array());
            node = next.find_map(|input| self.linked(input))?;
        }
    }

    /// The size of the empty picture that a drawing began with.
    fn size(&mut self, input: &'a Json) -> Option<(Json, Json)> {
        let node = self.linked(input)?;
        let inputs = &node["inputs"];
        if !is_of(node, "empty") {
            return None;
        }
        let (width, height) = (self.value(&inputs["width"]).clone(), self.value(&inputs["height"]).clone());
        (!width.is_null() && !height.is_null()).then_some((width, height))
    }

    /// The model that draws, and the LoRAs between.
    fn model(&mut self, input: &'a Json, taken: &mut Taken) {
        let mut next = self.linked(input);
        while let Some(node) = next {
            let inputs = &node["inputs"];
            if let Some(name) = inputs["lora_name"].as_str() {
                taken.lora(Some(name), &inputs["strength_model"], "loras");
            }
            if let Some(name) = ["ckpt_name", "unet_name"].iter().find_map(|name| inputs[name].as_str()) {
                let file = name.rsplit(['/', '\\']).next().unwrap_or(name);
                taken.text("model", file.trim_end_matches(".safetensors"));
            }
            next = self.linked(&inputs["model"]);
        }
    }
}

/// Whether the kind of a node has a word in it.
fn is_of(node: &Json, word: &str) -> bool {
    node["class_type"].as_str().is_some_and(|kind| kind.to_ascii_lowercase().contains(word))
}
