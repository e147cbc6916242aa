//! What leads the drawing of a job beside its prompts, as a payload has it.

use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

/// Pictures that lead a drawing, and the models that read them.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct GuideConfig {
    /// ControlNets.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub controls: Vec<ControlConfig>,
    /// IP-Adapters.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub ip_adapters: Vec<IpAdapterConfig>,
    /// A character's reference that the drawing is to look like.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub likeness: Option<LikenessConfig>,
}

/// A picture that a job names.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct GuidePicture {
    /// Where a remote worker reads it.
    pub image: String,
    /// The same as `bucket/path`.
    pub image_object: String,
}

/// A ControlNet of a job.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ControlConfig {
    /// Its file or folder in `controlnet`, without the ending.
    pub model: String,
    /// Its picture.
    #[serde(flatten)]
    pub picture: GuidePicture,
    /// `canny`, or none for a picture that is one of poses, depths or lines already.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub preprocess: Option<String>,
    /// How much of it; 1 is all.
    pub scale: f64,
    /// The share of the run at which it begins.
    pub start: f64,
    /// The share at which it ends.
    pub end: f64,
}

/// An IP-Adapter of a job.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct IpAdapterConfig {
    /// Its file in `ip_adapter`, without the ending.
    pub model: String,
    /// Its pictures.
    pub pictures: Vec<GuidePicture>,
    /// A number, or one for each layer.
    pub scale: Json,
}

/// A character's reference, for the IP-Adapter that fits the model, or for self-attention where there is none.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LikenessConfig {
    /// The reference.
    #[serde(flatten)]
    pub picture: GuidePicture,
    /// How strongly, 0 to 1; each way has its own where it is absent.
    #[serde(default)]
    pub strength: Option<f64>,
}

impl GuideConfig {
    /// Whether nothing leads.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// All pictures that it names, with the field that names each.
    pub fn pictures(&self) -> impl Iterator<Item = (String, &GuidePicture)> {
        let controls = self.controls.iter().enumerate();
        let controls = controls.map(|(i, control)| (format!("controls[{i}].image_url"), &control.picture));
        let adapters = self.ip_adapters.iter().enumerate().flat_map(|(i, adapter)| {
            // Of several pictures a job does not keep by which of its two fields each was named.
            let field = move |place: usize| match adapter.pictures.len() {
                1 => format!("ip_adapters[{i}].image_url"),
                _ => format!("ip_adapters[{i}], picture {}", place + 1),
            };
            adapter.pictures.iter().enumerate().map(move |(place, picture)| (field(place), picture))
        });
        let likeness = self.likeness.iter().map(|it| ("the character's reference".to_string(), &it.picture));
        controls.chain(adapters).chain(likeness)
    }
}
