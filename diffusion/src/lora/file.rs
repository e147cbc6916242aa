//! A LoRA file: which tensor belongs to which layer, in the names that diffusers, PEFT, kohya and LyCORIS write.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::Value;

use super::layer::{Layer, Part};
use crate::DiffusionError;
use crate::weights::component::{is_pickle, pickle_error};
use crate::weights::safetensors::WeightFile;

/// A LoRA file, opened and understood as far as that goes without a model.
#[derive(Debug)]
pub struct Lora {
    pub(super) file: WeightFile,
    /// By the name of the layer as the file has it.
    pub(super) layers: BTreeMap<String, Layer>,
    notes: Vec<String>,
}

/// How tensors end, and what they are: PEFT, kohya, diffusers of 2023, diffusers' text encoders, LyCORIS.
const ENDINGS: [(&str, Part); 31] = [
    (".lora_A.weight", Part::Down),
    (".lora_down.weight", Part::Down),
    (".lora.down.weight", Part::Down),
    (".lora_linear_layer.down.weight", Part::Down),
    (".lora_A", Part::Down),
    (".lora_B.weight", Part::Up),
    (".lora_up.weight", Part::Up),
    (".lora.up.weight", Part::Up),
    (".lora_linear_layer.up.weight", Part::Up),
    (".lora_B", Part::Up),
    (".lora_mid.weight", Part::Mid),
    (".hada_w1_a", Part::Hada1A),
    (".hada_w1_b", Part::Hada1B),
    (".hada_t1", Part::Hada1Core),
    (".hada_w2_a", Part::Hada2A),
    (".hada_w2_b", Part::Hada2B),
    (".hada_t2", Part::Hada2Core),
    (".lokr_w1", Part::Kron1),
    (".lokr_w1_a", Part::Kron1A),
    (".lokr_w1_b", Part::Kron1B),
    (".lokr_w2", Part::Kron2),
    (".lokr_w2_a", Part::Kron2A),
    (".lokr_w2_b", Part::Kron2B),
    (".lokr_t2", Part::Kron2Core),
    (".diff", Part::Diff),
    (".w_norm", Part::Diff),
    (".diff_b", Part::DiffBias),
    (".b_norm", Part::DiffBias),
    (".dora_scale", Part::Magnitude),
    (".lora_magnitude_vector.weight", Part::MagnitudeOfOutputs),
    (".lora_magnitude_vector", Part::MagnitudeOfOutputs),
];
/// Embeddings of words that a file brings along.
const BUNDLED: &str = "bundle_emb.";
/// Kinds of corrections that are told by their tensors, and not drawn.
const OTHER_KINDS: [(&str, &str); 6] = [
    (".oft_", "OFT"),
    (".boft_", "BOFT"),
    (".on_input", "IA3"),
    (".a1.weight", "GLoRA"),
    (".lokr_t1", "LoKr with a core in its first factor"),
    (".ia3_", "IA3"),
];

impl Lora {
    /// Opens a file and puts its tensors together.
    pub fn open(path: &Path) -> Result<Self, DiffusionError> {
        if is_pickle(path) {
            return Err(pickle_error(path));
        }
        let file = WeightFile::open(path)?;
        let bad = |reason: String| DiffusionError::Lora { file: file.name.clone(), reason };
        let mut layers: BTreeMap<String, Layer> = BTreeMap::new();
        let mut bundled = std::collections::BTreeSet::new();
        for (name, entry) in &file.tensors {
            if let Some(rest) = name.strip_prefix(BUNDLED) {
                bundled.insert(rest.split('.').next().unwrap_or(rest).to_string());
                continue;
            }
            let plain = plain_name(name);
            let part = ENDINGS
                .into_iter()
                .find_map(|(ending, part)| plain.strip_suffix(ending).map(|layer| (layer.to_string(), part)));
            if let Some((layer, part)) = part {
                let layer_of = layers.entry(layer.clone()).or_default();
                if layer_of.parts.iter().any(|(known, _)| *known == part) {
                    return Err(bad(format!("{layer} has two tensors of one meaning ({part:?})")));
                }
                layer_of.parts.push((part, name.clone()));
            } else if let Some(layer) = plain.strip_suffix(".alpha") {
                let alpha = file.read_number(entry)?.filter(|alpha| alpha.is_finite());
                let alpha = alpha.ok_or_else(|| bad(format!("{name} is not a number")))?;
                layers.entry(layer.into()).or_default().alpha = Some(alpha);
            } else {
                let kind = OTHER_KINDS.iter().find(|(mark, _)| plain.contains(mark));
                let kind = kind.map_or("this kind of correction", |(_, kind)| kind);
                return Err(bad(format!(
                    "{name}: {kind} is not supported; LoRA, LoCon, LoHa, LoKr, DoRA and full differences are"
                )));
            }
        }
        layers.retain(|_, layer| !layer.parts.is_empty());
        let half = layers.iter().find(|(_, layer)| !layer.is_whole());
        if let Some((layer, _)) = half {
            return Err(bad(format!("{layer} lacks its other half")));
        }
        if layers.is_empty() {
            return Err(bad("holds no corrections".into()));
        }
        let notes = match bundled.is_empty() {
            true => Vec::new(),
            false => {
                let names = bundled.into_iter().collect::<Vec<_>>().join(", ");
                vec![format!("brings embeddings of words ({names}), which are not used")]
            }
        };
        let mut lora = Self { layers, file, notes };
        lora.read_metadata()?;
        Ok(lora)
    }

    /// What of the file is not used.
    pub fn notes(&self) -> &[String] {
        &self.notes
    }

    /// PEFT may keep alpha in the header, for all layers or by a pattern for some, and whether it is rank-stabilised.
    fn read_metadata(&mut self) -> Result<(), DiffusionError> {
        let Some(text) = self.file.metadata.get("lora_adapter_metadata") else { return Ok(()) };
        let metadata: Value = serde_json::from_str(text).map_err(|error| DiffusionError::Lora {
            file: self.file.name.clone(),
            reason: format!("lora_adapter_metadata: {error}"),
        })?;
        for (name, layer) in &mut self.layers {
            let (component, rest) = name.split_once('.').unwrap_or(("", name));
            // PEFT itself names no component, and says it of the whole file.
            let said = |key: &str| match &metadata[format!("{component}.{key}")] {
                Value::Null => metadata[key].clone(),
                said => said.clone(),
            };
            layer.by_root = said("use_rslora") == Value::Bool(true);
            if layer.alpha.is_some() {
                continue;
            }
            let patterns = said("alpha_pattern");
            let by_pattern = patterns.as_object().and_then(|patterns| {
                let fits = |pattern: &str| rest == pattern || rest.ends_with(&format!(".{pattern}"));
                patterns.iter().find(|(pattern, _)| fits(pattern)).and_then(|(_, alpha)| alpha.as_f64())
            });
            layer.alpha = by_pattern.or_else(|| said("lora_alpha").as_f64());
        }
        Ok(())
    }
}

impl Layer {
    /// Whether each factor has its other one.
    fn is_whole(&self) -> bool {
        let has = |part: Part| self.parts.iter().any(|(known, _)| *known == part);
        let both = |a, b| has(a) == has(b);
        both(Part::Down, Part::Up)
            && both(Part::Hada1A, Part::Hada1B)
            && both(Part::Hada2A, Part::Hada2B)
            && both(Part::Hada1A, Part::Hada2A)
            && both(Part::Kron1A, Part::Kron1B)
            && both(Part::Kron2A, Part::Kron2B)
            && (has(Part::Kron1) || has(Part::Kron1A)) == (has(Part::Kron2) || has(Part::Kron2A))
    }
}

/// The name without what PEFT puts around it: its wrapper, and the adapter's name, as in `lora_A.default.weight`. The
/// attention processors of early 2023 wrote `attn1.processor.to_q_lora.down.weight`.
fn plain_name(name: &str) -> String {
    let name = name.strip_prefix("base_model.model.").unwrap_or(name);
    if let Some((layer, rest)) = name.split_once(".processor.") {
        return format!("{layer}.{}", rest.replace("to_out_lora", "to_out.0_lora"))
            .replace("_lora.down.", ".lora.down.")
            .replace("_lora.up.", ".lora.up.");
    }
    for mark in [".lora_A.", ".lora_B.", ".lora_magnitude_vector."] {
        if let Some((layer, rest)) = name.split_once(mark)
            && let Some(adapter) = rest.strip_suffix(".weight").or(Some(rest))
            && rest != "weight"
            && !adapter.contains('.')
        {
            return format!("{layer}{mark}weight");
        }
    }
    name.to_string()
}

#[cfg(test)]
mod tests {
    use super::plain_name;

    #[test]
    fn adapters_of_peft_have_names_of_their_own() {
        for (name, plain) in [
            ("base_model.model.q.lora_A.default.weight", "q.lora_A.weight"),
            ("q.lora_B.style-1.weight", "q.lora_B.weight"),
            ("q.lora_A.weight", "q.lora_A.weight"),
            ("q.lora_magnitude_vector.default.weight", "q.lora_magnitude_vector.weight"),
            ("q.lora_magnitude_vector.default", "q.lora_magnitude_vector.weight"),
            ("a.attn1.processor.to_out_lora.up.weight", "a.attn1.to_out.0.lora.up.weight"),
        ] {
            assert_eq!(plain_name(name), plain);
        }
    }
}
