//! A character that no model knows, and how to tell whether it is in a picture: a round turquoise being with one large eye
//! and two orange horns.
#![allow(dead_code)]

use diffusion::training::TrainingPicture;
use image::{Rgb, RgbImage};

/// The word that captions and prompts have for it.
pub const NAME: &str = "zum";
/// Side of its pictures.
const SIDE: u32 = 64;
const BODY: [f32; 3] = [20.0, 205.0, 190.0];
const HORNS: [f32; 3] = [240.0, 130.0, 20.0];

/// Places of its pictures: name, sky and ground.
const PLACES: [(&str, [f32; 3], [f32; 3]); 6] = [
    ("on a beach", [150.0, 205.0, 245.0], [240.0, 220.0, 160.0]),
    ("in a desert", [250.0, 225.0, 170.0], [215.0, 165.0, 90.0]),
    ("in a snowy field", [200.0, 215.0, 230.0], [245.0, 248.0, 252.0]),
    ("in a forest", [170.0, 215.0, 200.0], [40.0, 120.0, 60.0]),
    ("in a room", [225.0, 205.0, 180.0], [140.0, 95.0, 60.0]),
    ("on a city street", [185.0, 200.0, 220.0], [110.0, 110.0, 118.0]),
];

/// Places that none of the training pictures shows.
pub const UNSEEN: [&str; 4] = ["by a lake", "on a mountain peak", "at the lake at noon", "in the mountains"];

fn picture(place: usize, variant: u32) -> RgbImage {
    let (_, sky, ground) = PLACES[place];
    let (middle, radius) = (32.0 + (variant as f32 - 1.0) * 5.0, 15.0 + variant as f32 * 2.0);
    let height = 36.0 - variant as f32;
    RgbImage::from_fn(SIDE, SIDE, |x, y| {
        let (x, y) = (x as f32 + 0.5, y as f32 + 0.5);
        let far = |cx: f32, cy: f32| ((x - cx).powi(2) + (y - cy).powi(2)).sqrt();
        let horn = |side: f32| {
            let (tip, foot) = (height - radius * 1.5, height - radius * 0.6);
            let width = (y - tip) / (foot - tip) * radius * 0.28;
            y > tip && y < foot && (x - (middle + side * radius * 0.6)).abs() < width
        };
        let eye = far(middle, height - radius * 0.15);
        let colour = if eye < radius * 0.2 {
            [15.0, 15.0, 25.0]
        } else if eye < radius * 0.45 {
            [250.0, 250.0, 250.0]
        } else if far(middle, height) < radius {
            BODY
        } else if horn(-1.0) || horn(1.0) {
            HORNS
        } else if y > 42.0 {
            ground
        } else {
            sky
        };
        Rgb(colour.map(|value| value as u8))
    })
}

/// Twelve pictures of it with captions.
pub fn pictures() -> Vec<TrainingPicture> {
    let of = |place: usize| {
        [0, 2].map(|variant| {
            let picture = picture(place, (variant + place as u32) % 3);
            TrainingPicture::cut(&picture, SIDE, format!("{NAME}, {NAME} {}", PLACES[place].0))
        })
    };
    (0..PLACES.len()).flat_map(of).collect()
}

/// How far a picture is from the nearest of those: root of the mean squared difference of both at 8 × 8, 0 to 255.
pub fn distance(found: &RgbImage) -> f64 {
    let small = |picture: &RgbImage| {
        image::imageops::resize(picture, 8, 8, image::imageops::FilterType::Triangle).into_raw()
    };
    let found = small(found);
    let far = |known: TrainingPicture| {
        let known = small(known.picture());
        let squares = known.iter().zip(&found).map(|(&a, &b)| (f64::from(a) - f64::from(b)).powi(2));
        (squares.sum::<f64>() / known.len() as f64).sqrt()
    };
    pictures().into_iter().map(far).fold(255.0, f64::min)
}
