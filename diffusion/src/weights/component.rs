//! The weights of one network, by diffusers' names, wherever they lie.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use serde::Deserialize;

use super::safetensors::{TensorEntry, WeightFile, is_scale};
use crate::DiffusionError;
use crate::config::read_json;

/// A tensor as a network knows it: all of a stored one, some of its rows, or its transpose.
#[derive(Debug, Clone)]
pub struct TensorView {
    /// Name in the file.
    pub stored_as: String,
    /// Index of the file.
    pub file: usize,
    /// Where it lies; the shape is that before transposing.
    pub entry: TensorEntry,
    /// Whether rows and columns change places.
    pub transposed: bool,
}

impl TensorView {
    /// The shape that the network sees.
    pub fn shape(&self) -> Vec<usize> {
        let mut shape = self.entry.shape.clone();
        if self.transposed {
            shape.reverse();
        }
        shape
    }

    /// The `part`-th of `parts` equal shares of the rows.
    pub fn rows(&self, part: usize, parts: usize) -> Option<Self> {
        let rows = *self.entry.shape.first()?;
        if parts == 0 || rows % parts != 0 || part >= parts {
            return None;
        }
        let mut view = self.clone();
        view.entry.shape[0] = rows / parts;
        view.entry.length = self.entry.length / parts;
        view.entry.offset += (view.entry.length * part) as u64;
        Some(view)
    }
}

/// All tensors of one network.
#[derive(Debug, Clone)]
pub struct ComponentWeights {
    /// `unet`, `vae`, `text_encoder` or `text_encoder_2`.
    pub component: String,
    /// The files that hold them.
    pub files: Arc<Vec<WeightFile>>,
    /// By diffusers' name.
    pub tensors: BTreeMap<String, TensorView>,
}

#[derive(Deserialize)]
struct ShardIndex {
    weight_map: BTreeMap<String, String>,
}

/// Names under which diffusers and transformers save, best first; half precision draws as well.
const STEMS: [&str; 4] = ["diffusion_pytorch_model", "model", "diffusion_pytorch_model.fp16", "model.fp16"];
/// Kinds of file that hold pickles.
const PICKLES: [&str; 5] = ["bin", "ckpt", "pt", "pth", "pkl"];

impl ComponentWeights {
    /// Opens the weights of `folder/component`.
    pub fn open(folder: &Path, component: &str) -> Result<Self, DiffusionError> {
        let folder = folder.join(component);
        for stem in STEMS {
            let whole = folder.join(format!("{stem}.safetensors"));
            if whole.is_file() {
                return Ok(Self::from_files(component, vec![WeightFile::open(&whole)?]));
            }
            // diffusers writes the variant behind, transformers writes it before the ending.
            for index in [format!("{stem}.safetensors.index.json"), variant_index(stem)] {
                if folder.join(&index).is_file() {
                    return Self::open_shards(&folder, component, &index);
                }
            }
        }
        let name = folder.display().to_string();
        let pickled = std::fs::read_dir(&folder)
            .map_err(|source| DiffusionError::io(&folder, source))?
            .flatten()
            .find(|entry| is_pickle(&entry.path()));
        match pickled {
            Some(entry) => Err(pickle_error(&entry.path())),
            None => Err(DiffusionError::weights(name, "holds no safetensors")),
        }
    }

    fn open_shards(folder: &Path, component: &str, index: &str) -> Result<Self, DiffusionError> {
        let path = folder.join(index);
        let map: ShardIndex = read_json(&path, &format!("{component}/{index}"))?;
        let mut shards: Vec<String> = map.weight_map.values().cloned().collect();
        shards.sort();
        shards.dedup();
        let mut files = Vec::new();
        for shard in &shards {
            let plain = Path::new(shard).file_name().is_some_and(|name| name == shard.as_str());
            if !plain || !shard.ends_with(".safetensors") {
                let reason = format!("{shard:?} is not a safetensors file beside it");
                return Err(DiffusionError::weights(path.display().to_string(), reason));
            }
            files.push(WeightFile::open(&folder.join(shard))?);
        }
        let weights = Self::from_files(component, files);
        let missing: Vec<String> =
            map.weight_map.keys().filter(|name| !weights.holds(name)).cloned().collect();
        match missing.is_empty() {
            true => Ok(weights),
            false => Err(DiffusionError::MissingTensors { component: component.into(), names: missing }),
        }
    }

    /// Takes all tensors of `files` by their own names, older spellings made new.
    pub fn from_files(component: &str, files: Vec<WeightFile>) -> Self {
        let mut tensors = BTreeMap::new();
        for (index, file) in files.iter().enumerate() {
            for (name, entry) in file.tensors.iter().filter(|(name, _)| !is_scale(name)) {
                let view = TensorView {
                    stored_as: name.clone(),
                    file: index,
                    entry: entry.clone(),
                    transposed: false,
                };
                tensors.insert(current_name(component, name), view);
            }
        }
        let bare = component.starts_with("text_encoder")
            && !tensors.is_empty()
            && !tensors.keys().any(|name| name.starts_with("text_model."));
        if bare {
            tensors = tensors
                .into_iter()
                .map(|(name, view)| match name.starts_with("text_projection") {
                    true => (name, view),
                    false => (format!("text_model.{name}"), view),
                })
                .collect();
        }
        // A buffer of 0, 1, 2 … that old files carry.
        tensors.remove("text_model.embeddings.position_ids");
        Self { component: component.into(), files: Arc::new(files), tensors }
    }

    fn holds(&self, stored: &str) -> bool {
        self.tensors.contains_key(&current_name(&self.component, stored))
            || stored.ends_with("position_ids")
            || self.tensors.contains_key(&format!("text_model.{stored}"))
    }

    /// The numbers of one tensor in row order, with its shape.
    pub fn read_f32(&self, name: &str) -> Result<(Vec<f32>, Vec<usize>), DiffusionError> {
        let view = self.tensors.get(name).ok_or_else(|| DiffusionError::MissingTensors {
            component: self.component.clone(),
            names: vec![name.into()],
        })?;
        let values = self.files[view.file].read_f32(&view.stored_as, &view.entry)?;
        match (view.transposed, view.entry.shape.as_slice()) {
            (true, &[rows, columns]) => Ok((transpose(&values, rows, columns), vec![columns, rows])),
            _ => Ok((values, view.entry.shape.clone())),
        }
    }

    /// Whether the numbers of one tensor are floating point.
    pub fn is_float(view: &TensorView) -> bool {
        view.entry.dtype.is_float()
    }
}

/// Whether a file's ending says that it is a pickle.
pub(crate) fn is_pickle(path: &Path) -> bool {
    path.extension().is_some_and(|ending| PICKLES.iter().any(|pickle| ending.eq_ignore_ascii_case(pickle)))
}

pub(crate) fn pickle_error(path: &Path) -> DiffusionError {
    let reason = "a pickle, which may run code when opened; convert it to safetensors";
    DiffusionError::weights(path.display().to_string(), reason)
}

fn variant_index(stem: &str) -> String {
    match stem.split_once('.') {
        Some((stem, variant)) => format!("{stem}.safetensors.index.{variant}.json"),
        None => format!("{stem}.safetensors.index.json"),
    }
}

/// The VAE's attention had other names until 2023.
pub(crate) fn current_name(component: &str, name: &str) -> String {
    if component != "vae" || !name.contains(".attentions.") {
        return name.into();
    }
    [(".query.", ".to_q."), (".key.", ".to_k."), (".value.", ".to_v."), (".proj_attn.", ".to_out.0.")]
        .iter()
        .fold(name.to_string(), |name, (old, new)| name.replace(old, new))
}

/// Rows become columns; in blocks, for the matrices are large.
pub(crate) fn transpose(values: &[f32], rows: usize, columns: usize) -> Vec<f32> {
    const BLOCK: usize = 32;
    let mut out = vec![0.0; values.len()];
    for top in (0..rows).step_by(BLOCK) {
        for left in (0..columns).step_by(BLOCK) {
            for row in top..rows.min(top + BLOCK) {
                for column in left..columns.min(left + BLOCK) {
                    out[column * rows + row] = values[row * columns + column];
                }
            }
        }
    }
    out
}
