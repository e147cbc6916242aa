//! A second model for the last steps of a picture.

use serde::{Deserialize, Serialize};

/// The model that draws the last steps.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RefinerWork {
    /// Its name.
    pub model: String,
    /// From which share of the noise's way on it draws, 0 to 1.
    pub switch_at: f64,
}
