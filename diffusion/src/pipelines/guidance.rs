//! Classifier-free guidance on the host.

/// `negative + scale · (positive − negative)` for one sample; `rescale` above 0 pulls its spread back to
/// that of `positive`, after "Common diffusion noise schedules and sample steps are flawed".
pub fn guide(negative: &[f64], positive: &[f64], scale: f64, rescale: f64) -> Vec<f64> {
    let mut guided: Vec<f64> = negative
        .iter()
        .zip(positive)
        .map(|(negative, positive)| negative + scale * (positive - negative))
        .collect();
    if rescale > 0.0 {
        let spread = deviation(&guided);
        if spread > 0.0 {
            let factor = rescale * deviation(positive) / spread + (1.0 - rescale);
            guided.iter_mut().for_each(|value| *value *= factor);
        }
    }
    guided
}

/// Standard deviation, unbiased as torch's.
fn deviation(values: &[f64]) -> f64 {
    let count = values.len() as f64;
    let mean = values.iter().sum::<f64>() / count;
    let squares: f64 = values.iter().map(|value| (value - mean) * (value - mean)).sum();
    (squares / (count - 1.0).max(1.0)).sqrt()
}
