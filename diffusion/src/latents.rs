//! Pictures before they are decoded, and how they become larger as such.

/// One picture before it is decoded: what the network draws.
#[derive(Debug, Clone, PartialEq)]
pub struct Latents {
    /// Plane after plane, row after row.
    values: Vec<f64>,
    /// Planes, rows, columns.
    shape: [usize; 3],
}

impl Latents {
    /// `values` are those of `[channels, height, width]`.
    pub(crate) fn new(values: Vec<f64>, shape: [usize; 3]) -> Self {
        Self { values, shape }
    }

    /// Channels, height and width, in cells.
    pub fn shape(&self) -> [usize; 3] {
        self.shape
    }

    /// Plane after plane, row after row.
    pub(crate) fn values(&self) -> &[f64] {
        &self.values
    }

    /// The same in so many rows and columns, bilinear between the centres of the cells, as PyTorch's
    /// `interpolate(mode="bilinear", align_corners=False, antialias=False)`; A1111 calls it `Latent`.
    pub fn resized(&self, [height, width]: [usize; 2]) -> Self {
        let [channels, from_height, from_width] = self.shape;
        let (down, across) = (neighbours(from_height, height), neighbours(from_width, width));
        let mut values = Vec::with_capacity(channels * height * width);
        for plane in self.values.chunks(from_height * from_width) {
            for (top, bottom, y) in &down {
                let (top, bottom) = (&plane[top * from_width..], &plane[bottom * from_width..]);
                values.extend(across.iter().map(|(left, right, x)| {
                    let mixed = |row: &[f64]| row[*left] + (row[*right] - row[*left]) * x;
                    let (above, below) = (mixed(top), mixed(bottom));
                    above + (below - above) * y
                }));
            }
        }
        Self { values, shape: [channels, height, width] }
    }
}

/// For each of `to` places along an axis the two of `from` between which it lies, and how far it is from the first.
fn neighbours(from: usize, to: usize) -> Vec<(usize, usize, f64)> {
    let last = from.saturating_sub(1);
    let place = |at: usize| {
        let at = ((at as f64 + 0.5) * from as f64 / to as f64 - 0.5).max(0.0);
        let first = (at as usize).min(last);
        (first, (first + 1).min(last), at - first as f64)
    };
    (0..to).map(place).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn latents_grow_as_pytorch_lets_them() {
        let values = (0..6).map(f64::from);
        let latents = Latents::new(values.clone().chain(values.map(|it| it * it)).collect(), [2, 2, 3]);
        let larger = latents.resized([3, 5]);
        assert_eq!(larger.shape(), [2, 3, 5]);
        let pytorch = [
            0.0, 0.4, 1.0, 1.6, 2.0, 1.5, 1.9, 2.5, 3.1, 3.5, 3.0, 3.4, 4.0, 4.6, 5.0, 0.0, 0.4, 1.0, 2.8,
            4.0, 4.5, 6.1, 8.5, 12.1, 14.5, 9.0, 11.8, 16.0, 21.4, 25.0,
        ];
        let far = larger.values().iter().zip(pytorch).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
        assert!(far < 1e-12, "{far}: {:?}", larger.values());
        assert_eq!(latents.resized([2, 3]), latents);
        assert_eq!(latents.resized([1, 1]).values().len(), 2);
    }
}
