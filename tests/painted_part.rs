//! A part of a picture drawn by itself and put back: the masked one, or what lies beyond the edges.

mod common;

use std::io::Cursor;

use common::Server;
use common::files;
use common::jobs::{distance, queue, refused, result_of};
use image::{GrayImage, Luma, Rgb, RgbImage};
use serde_json::{Value as Json, json};

fn png_of(picture: impl Into<image::DynamicImage>) -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    picture.into().write_to(&mut bytes, image::ImageFormat::Png).expect("a PNG");
    bytes.into_inner()
}

fn picture() -> RgbImage {
    RgbImage::from_fn(96, 80, |x, y| Rgb([(x * 2) as u8, (y * 3) as u8, 60]))
}

/// An account with a picture and a mask of a square of 24 pixels in it.
struct Painter<'s> {
    server: &'s Server,
    token: String,
    reference: String,
    mask: String,
}

impl<'s> Painter<'s> {
    fn of(server: &'s Server) -> Painter<'s> {
        let (user, token) = server.sign_up("painter@example.com");
        let put = |name: &str, bytes: &[u8]| {
            let path = format!("reference_images/{user}/{name}");
            let answer = files::put(server, &token, &path, "image/png", bytes);
            assert_eq!(answer.status, 200, "{}", answer.text());
            path
        };
        let reference = put("picture.png", &png_of(picture()));
        let is_inside = |x: u32, y: u32| (40..64).contains(&x) && (20..44).contains(&y);
        let mask = GrayImage::from_fn(96, 80, |x, y| Luma([if is_inside(x, y) { 255 } else { 0 }]));
        let mask = put("mask.png", &png_of(mask));
        Painter { server, token, reference, mask }
    }

    fn request(&self, changes: Json) -> Json {
        let mut body = json!({"job_type": "image_fast", "prompt": "a robot in a forest, night", "seed": 7, "steps": 4,
            "reference_image_url": self.reference});
        for (name, value) in changes.as_object().expect("an object") {
            body[name] = value.clone();
        }
        body
    }

    fn file(&self, changes: Json) -> Vec<u8> {
        let job = queue(self.server, &self.token, &self.request(changes));
        result_of(self.server, &self.token, &job)
    }

    fn verified(&self, file: &[u8], options: &str) -> Json {
        let url = format!(
            "{}/functions/v1/verify-picture?reference_image_url={}{options}",
            self.server.url, self.reference
        );
        let bearer = files::bearer(&self.token);
        let headers = [("authorization", bearer.as_str()), ("apikey", self.server.anon.as_str())];
        files::send(&url, "POST", &headers, file).expect("an answer").json()
    }
}

fn pixels(file: &[u8]) -> RgbImage {
    image::load_from_memory(file).expect("a picture").to_rgb8()
}

#[test]
fn a_masked_part_is_drawn_large_and_put_back() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::start(folder.path(), &[]);
    let painter = Painter::of(&server);
    let masked = json!({"mask_image_url": painter.mask, "inpaint_area": "masked", "inpaint_padding": 6,
        "mask_feather": 3, "denoise_strength": 0.9});
    let file = painter.file(masked);
    let made = pixels(&file);
    assert_eq!(made.dimensions(), (96, 80));
    let is_inside = |x: u32, y: u32| (40..64).contains(&x) && (20..44).contains(&y);
    for (x, y, pixel) in made.enumerate_pixels() {
        assert!(is_inside(x, y) || pixel == picture().get_pixel(x, y), "{x} {y}");
    }
    let part = |picture: &RgbImage| image::imageops::crop_imm(picture, 46, 26, 12, 12).to_image();
    assert!(distance(&part(&made), &part(&picture())) > 5.0);
    // The picture's record suffices to draw it again.
    let options = format!("&mask_image_url={}", painter.mask);
    let answer = painter.verified(&file, &options);
    assert_eq!(answer["result"], "equal", "{answer}");

    for (changes, said) in [
        (json!({"inpaint_area": "masked"}), "inpaint_area: needs mask_image_url"),
        (json!({"inpaint_area": "face"}), "inpaint_area"),
        (
            json!({"inpaint_area": "masked", "mask_image_url": painter.mask, "inpaint_padding": 9999}),
            "inpaint_padding",
        ),
    ] {
        refused(&server, &painter.token, &painter.request(changes), 400, said);
    }
    let odd = painter.request(json!({"mask_feather": 3, "denoise_strength": 0.1}));
    let (status, answer) = server.call("POST", "/functions/v1/queue-job", &painter.token, Some(&odd));
    assert_eq!(status, 200, "{answer}");
    assert!(answer["warnings"].to_string().contains("mask_feather: without"), "{answer}");
}

#[test]
fn a_picture_goes_on_beyond_its_edges() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::start(folder.path(), &[]);
    let painter = Painter::of(&server);
    for fill in ["edge", "noise"] {
        let file =
            painter.file(json!({"outpaint": {"left": 32, "bottom": 10, "fill": fill}, "mask_feather": 4}));
        let made = pixels(&file);
        // The sides become multiples of 8.
        assert_eq!(made.dimensions(), (128, 96));
        for (x, y, pixel) in picture().enumerate_pixels().filter(|(x, y, _)| *x >= 4 && *y < 76) {
            assert_eq!(made.get_pixel(x + 32, y), pixel, "{x} {y}");
        }
        let added = image::imageops::crop_imm(&made, 0, 0, 24, 80).to_image();
        let edge = RgbImage::from_fn(24, 80, |_, y| *picture().get_pixel(0, y));
        assert!(distance(&added, &edge) > 5.0, "{fill}");
        let answer = painter.verified(&file, "");
        assert_eq!(answer["result"], "equal", "{answer}");
    }
    for (changes, said) in [
        (json!({"outpaint": {"left": 5000}}), "outpaint.left"),
        (json!({"outpaint": {"lift": 50}}), "lift"),
        (json!({"outpaint": {}}), "nothing is added"),
        (json!({"outpaint": 3}), "outpaint"),
    ] {
        refused(&server, &painter.token, &painter.request(changes), 400, said);
    }
}
