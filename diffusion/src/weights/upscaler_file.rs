//! Files of networks that make pictures larger: which network a file holds, by which of its three ways of naming.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use burn::module::Module;
use burn::tensor::{DType, Device};

use super::component::{ComponentWeights, TensorView};
use super::load::{Differences, compare, expected_tensors, load};
use super::safetensors::WeightFile;
use crate::DiffusionError;
use crate::models::upscalers::rrdb_net::{RrdbNet, RrdbNetConfig};
use crate::models::upscalers::srvgg_compact::{SrvggNetCompact, SrvggNetCompactConfig};

/// How errors call the network.
const COMPONENT: &str = "upscaler";
/// What trainers put before every name.
const WRAPPERS: [&str; 4] = ["params_ema.", "params.", "module.", "model_state_dict."];
/// Most blocks or convolutions.
const DEPTH_MAX: usize = 128;
/// Most channels.
const CHANNELS_MAX: usize = 4096;

/// How an RRDBNet's tensors are called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Names {
    /// `body.0.rdb1.conv1`, `conv_up1`: BasicSR and Real-ESRGAN.
    BasicSr,
    /// `RRDB_trunk.0.RDB1.conv1`, `upconv1`: ESRGAN of 2019.
    Trunk,
    /// `model.1.sub.0.RDB1.conv1.0`, `model.3`: ESRGAN of 2018.
    Sequential,
}

/// A network of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Shape {
    Rrdb(RrdbNetConfig, Names),
    Compact(SrvggNetCompactConfig),
}

/// A network that is ready.
#[derive(Debug)]
pub(crate) enum UpscalerNetwork {
    /// ESRGAN's.
    Rrdb(Box<RrdbNet>),
    /// The small one.
    Compact(Box<SrvggNetCompact>),
}

/// An open file, its network known.
#[derive(Debug)]
pub(crate) struct UpscalerFile {
    file: WeightFile,
    /// What stands before every name.
    wrapper: &'static str,
    shape: Shape,
}

/// The tensors of a file by name, without what a trainer put before.
struct Found<'a> {
    file: &'a WeightFile,
    wrapper: &'static str,
}

impl Found<'_> {
    fn shape(&self, name: &str) -> Option<&[usize]> {
        self.file.tensors.get(&format!("{}{name}", self.wrapper)).map(|entry| entry.shape.as_slice())
    }

    fn needs(&self, name: &str) -> Result<&[usize], DiffusionError> {
        self.shape(name).ok_or_else(|| DiffusionError::MissingTensors {
            component: COMPONENT.into(),
            names: vec![format!("{}{name}", self.wrapper)],
        })
    }

    /// Channels out and in of a convolution of 3 × 3.
    fn conv(&self, name: &str) -> Result<[usize; 2], DiffusionError> {
        match self.needs(name)? {
            &[out, into, 3, 3] if (1..=CHANNELS_MAX).contains(&out) && (1..=CHANNELS_MAX).contains(&into) => {
                Ok([out, into])
            }
            shape => {
                let reason = format!(
                    "{}{name} has shape {shape:?}; a convolution of 3 × 3 with 1 to {CHANNELS_MAX} channels is expected",
                    self.wrapper
                );
                Err(DiffusionError::weights(self.file.name.clone(), reason))
            }
        }
    }

    fn counted(&self, name: impl Fn(usize) -> String) -> usize {
        (0..DEPTH_MAX).take_while(|place| self.shape(&name(*place)).is_some()).count()
    }

    fn network(&self) -> Result<Shape, DiffusionError> {
        let has = |name: &str| self.shape(name).is_some();
        match () {
            () if has("body.0.rdb1.conv1.weight") => self.rrdb(Names::BasicSr),
            () if has("RRDB_trunk.0.RDB1.conv1.weight") => self.rrdb(Names::Trunk),
            () if has("model.1.sub.0.RDB1.conv1.0.weight") => self.rrdb(Names::Sequential),
            () if has("body.0.weight") && !has("conv_first.weight") => self.compact(),
            () => Err(DiffusionError::weights(
                self.file.name.clone(),
                "no upscaler that is read here: none of its tensors has a name of ESRGAN, Real-ESRGAN (RRDBNet) or \
                 SRVGGNetCompact",
            )),
        }
    }

    fn rrdb(&self, names: Names) -> Result<Shape, DiffusionError> {
        let (blocks, doublings) = match names {
            Names::BasicSr => (
                self.counted(|place| format!("body.{place}.rdb1.conv1.weight")),
                self.counted(|place| format!("conv_up{}.weight", place + 1)),
            ),
            Names::Trunk => (
                self.counted(|place| format!("RRDB_trunk.{place}.RDB1.conv1.weight")),
                self.counted(|place| format!("upconv{}.weight", place + 1)),
            ),
            Names::Sequential => (
                self.counted(|place| format!("model.1.sub.{place}.RDB1.conv1.0.weight")),
                // After those that double come two more.
                self.counted(|place| format!("model.{}.weight", 3 * place + 3)),
            ),
        };
        let named = |ours: &str| stored_rrdb(names, blocks, doublings, ours);
        let [features, channels] = self.conv(&named("conv_first.weight"))?;
        let [growth, _] = self.conv(&named("body.0.rdb1.conv1.weight"))?;
        let refuse = |reason: String| Err(DiffusionError::weights(self.file.name.clone(), reason));
        let Some(unshuffle) = [1, 2, 4].into_iter().find(|side| 3 * side * side == channels) else {
            return refuse(format!(
                "{}{} takes {channels} channels; 3, 12 and 48 are drawn",
                self.wrapper,
                named("conv_first.weight")
            ));
        };
        let config = RrdbNetConfig { unshuffle, features, growth, blocks, doublings };
        match config.scale().filter(|_| doublings <= 3) {
            Some(_) => Ok(Shape::Rrdb(config, names)),
            None => refuse(format!(
                "doubles {doublings} times what it divides by {unshuffle}, which is not drawn"
            )),
        }
    }

    fn compact(&self) -> Result<Shape, DiffusionError> {
        let [features, channels] = self.conv("body.0.weight")?;
        let convs = self.counted(|place| format!("body.{}.weight", 2 * place)).saturating_sub(2);
        let last = format!("body.{}.weight", 2 * convs + 2);
        let [out, _] = self.conv(&last)?;
        let scale = (1..=8).find(|scale| 3 * scale * scale == out);
        match scale.filter(|_| channels == 3) {
            Some(scale) => Ok(Shape::Compact(SrvggNetCompactConfig { features, convs, scale })),
            None => {
                let reason =
                    format!("takes {channels} channels and {}{last} gives {out}: no picture", self.wrapper);
                Err(DiffusionError::weights(self.file.name.clone(), reason))
            }
        }
    }
}

/// Our name of an RRDBNet's tensor → that in a file.
fn stored_rrdb(names: Names, blocks: usize, doublings: usize, ours: &str) -> String {
    let (layer, kind) = ours.rsplit_once('.').unwrap_or((ours, ""));
    let up = layer.strip_prefix("ups.").and_then(|place| place.parse::<usize>().ok());
    let inner = layer.strip_prefix("body.").and_then(|rest| rest.split_once('.'));
    let stored = match (names, up, inner) {
        (Names::BasicSr, Some(place), _) => format!("conv_up{}", place + 1),
        (Names::BasicSr, ..) => layer.to_string(),
        (Names::Trunk, Some(place), _) => format!("upconv{}", place + 1),
        (Names::Trunk, _, Some((block, rest))) => {
            format!("RRDB_trunk.{block}.{}", rest.replace("rdb", "RDB"))
        }
        (Names::Trunk, ..) => match layer {
            "conv_body" => "trunk_conv".into(),
            "conv_hr" => "HRconv".into(),
            other => other.to_string(),
        },
        (Names::Sequential, Some(place), _) => format!("model.{}", 3 * place + 3),
        (Names::Sequential, _, Some((block, rest))) => {
            format!("model.1.sub.{block}.{}.0", rest.replace("rdb", "RDB"))
        }
        (Names::Sequential, ..) => match layer {
            "conv_first" => "model.0".into(),
            "conv_body" => format!("model.1.sub.{blocks}"),
            "conv_hr" => format!("model.{}", 3 * doublings + 2),
            _ => format!("model.{}", 3 * doublings + 4),
        },
    };
    format!("{stored}.{kind}")
}

/// Our name of an SRVGGNetCompact's tensor → that in a file.
fn stored_compact(ours: &str) -> String {
    let place = |rest: &str, times: usize, more: usize| {
        let (place, kind) = rest.split_once('.')?;
        Some(format!("body.{}.{kind}", place.parse::<usize>().ok()? * times + more))
    };
    let conv = ours.strip_prefix("convs.").and_then(|rest| place(rest, 2, 0));
    let slope = ours.strip_prefix("activations.").and_then(|rest| place(rest, 2, 1));
    conv.or(slope).unwrap_or_else(|| ours.into())
}

impl UpscalerFile {
    /// Opens a safetensors file and sees which network it holds; reads no weights.
    pub fn open(path: &Path) -> Result<Self, DiffusionError> {
        let file = WeightFile::open(path)?;
        let wrapped = |wrapper: &&&str| file.tensors.keys().all(|name| name.starts_with(**wrapper));
        let wrapper =
            WRAPPERS.iter().find(wrapped).filter(|_| !file.tensors.is_empty()).copied().unwrap_or("");
        let shape = Found { file: &file, wrapper }.network()?;
        let opened = Self { file, wrapper, shape };
        opened.differences().into_result(COMPONENT)?;
        Ok(opened)
    }

    /// How many times longer the sides become.
    pub fn scale(&self) -> usize {
        match self.shape {
            Shape::Rrdb(config, _) => config.scale().unwrap_or(1),
            Shape::Compact(config) => config.scale,
        }
    }

    /// Sides of what goes in are multiples of so many pixels.
    pub fn step(&self) -> usize {
        match self.shape {
            Shape::Rrdb(config, _) => config.unshuffle,
            Shape::Compact(_) => 1,
        }
    }

    /// `RRDBNet` or `SRVGGNetCompact`.
    pub fn architecture(&self) -> &'static str {
        match self.shape {
            Shape::Rrdb(..) => "RRDBNet",
            Shape::Compact(_) => "SRVGGNetCompact",
        }
    }

    /// Numbers for each pixel of a tile at the widest place of the network.
    pub fn numbers_a_pixel(&self) -> u64 {
        match self.shape {
            Shape::Rrdb(config, _) => {
                let (shuffled, doubled) = (config.unshuffle.pow(2), 1usize << (2 * config.doublings));
                // What a dense block holds, or a few planes at the size of the result.
                let dense = 2 * (config.features + 4 * config.growth);
                (dense.max(5 * config.features * doubled) / shuffled) as u64
            }
            Shape::Compact(config) => (5 * config.features + 9 * config.scale.pow(2)) as u64,
        }
    }

    /// Bytes of weights in single precision.
    pub fn memory_bytes(&self) -> u64 {
        self.file.tensors.values().map(|entry| 4 * entry.shape.iter().product::<usize>() as u64).sum()
    }

    /// BLAKE3 of the file, hexadecimal.
    pub fn hash(&self) -> Result<String, DiffusionError> {
        let mut hasher = blake3::Hasher::new();
        self.file.hash_into(&mut hasher)?;
        Ok(hasher.finalize().to_hex().to_string())
    }

    fn stored(&self, ours: &str) -> String {
        let stored = match self.shape {
            Shape::Rrdb(config, names) => stored_rrdb(names, config.blocks, config.doublings, ours),
            Shape::Compact(_) => stored_compact(ours),
        };
        format!("{}{stored}", self.wrapper)
    }

    fn expected(&self) -> BTreeMap<String, Vec<usize>> {
        // Nothing is allocated on it but a few slopes.
        let device = Device::flex();
        match self.shape {
            Shape::Rrdb(config, _) => expected_tensors(&config.init(&device)),
            Shape::Compact(config) => expected_tensors(&config.init(&device)),
        }
    }

    fn tensors(&self) -> BTreeMap<String, TensorView> {
        let found = self.expected().into_keys().filter_map(|ours| {
            let stored_as = self.stored(&ours);
            let entry = self.file.tensors.get(&stored_as)?.clone();
            Some((ours, TensorView { stored_as, file: 0, entry, transposed: false }))
        });
        found.collect()
    }

    /// How file and network disagree, by the names in the file.
    fn differences(&self) -> Differences {
        let expected = self.expected();
        let weights =
            ComponentWeights { component: COMPONENT.into(), files: Arc::default(), tensors: self.tensors() };
        let found = compare(&expected, &weights);
        let used: BTreeSet<&String> = weights.tensors.values().map(|view| &view.stored_as).collect();
        let stored = |names: Vec<String>| names.iter().map(|name| self.stored(name)).collect();
        Differences {
            missing: stored(found.missing),
            unused: self.file.tensors.keys().filter(|name| !used.contains(name)).cloned().collect(),
            misshapen: found
                .misshapen
                .into_iter()
                .map(|(name, expected, found)| (self.stored(&name), expected, found))
                .collect(),
            not_float: stored(found.not_float),
        }
    }

    /// Reads the weights.
    pub fn load(self, device: &Device) -> Result<UpscalerNetwork, DiffusionError> {
        let (tensors, shape) = (self.tensors(), self.shape);
        let weights =
            ComponentWeights { component: COMPONENT.into(), files: Arc::new(vec![self.file]), tensors };
        fn filled<M: Module>(
            module: M,
            weights: &ComponentWeights,
            device: &Device,
        ) -> Result<Box<M>, DiffusionError> {
            load(module, weights, device, DType::F32).map(Box::new)
        }
        Ok(match shape {
            Shape::Rrdb(config, _) => UpscalerNetwork::Rrdb(filled(config.init(device), &weights, device)?),
            Shape::Compact(config) => {
                UpscalerNetwork::Compact(filled(config.init(device), &weights, device)?)
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Names as they stand in published files.
    #[test]
    fn published_names_are_met() {
        let stored = |names, doublings, ours: &str| stored_rrdb(names, 23, doublings, ours);
        for (names, doublings, ours, theirs) in [
            (Names::BasicSr, 2, "body.4.rdb3.conv5.bias", "body.4.rdb3.conv5.bias"),
            (Names::BasicSr, 2, "ups.1.weight", "conv_up2.weight"),
            (Names::Trunk, 2, "body.4.rdb3.conv5.bias", "RRDB_trunk.4.RDB3.conv5.bias"),
            (Names::Trunk, 2, "conv_hr.weight", "HRconv.weight"),
            (Names::Trunk, 2, "conv_body.weight", "trunk_conv.weight"),
            (Names::Sequential, 2, "body.4.rdb3.conv5.bias", "model.1.sub.4.RDB3.conv5.0.bias"),
            (Names::Sequential, 2, "conv_body.weight", "model.1.sub.23.weight"),
            (Names::Sequential, 2, "ups.1.bias", "model.6.bias"),
            (Names::Sequential, 2, "conv_hr.bias", "model.8.bias"),
            (Names::Sequential, 2, "conv_last.bias", "model.10.bias"),
            (Names::Sequential, 0, "conv_hr.bias", "model.2.bias"),
            (Names::Sequential, 0, "conv_last.bias", "model.4.bias"),
            (Names::Sequential, 1, "conv_last.bias", "model.7.bias"),
        ] {
            assert_eq!(stored(names, doublings, ours), theirs);
        }
        assert_eq!(stored_compact("convs.17.weight"), "body.34.weight");
        assert_eq!(stored_compact("activations.16.weight"), "body.33.weight");
    }
}
