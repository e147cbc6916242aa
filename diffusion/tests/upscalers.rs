//! Networks that make pictures larger give PyTorch's numbers, whatever their files call their tensors; tiles change next
//! to nothing; what does not fit is refused by the tensor's name.
//!
//! `PLAYHOUSE_GOLDENS=DIR` names another folder of goldens, of which `upscalers` is read where it is there;
//! `fixtures/upscalers/make.py` makes such a folder.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use burn::tensor::{DType, Tensor, TensorData};
use diffusion::{DiffusionError, Upscaler};
use image::{Rgb, RgbImage};
use safetensors::SafeTensors;
use safetensors::tensor::TensorView;

#[path = "support/device.rs"]
mod device;

use device::{device, device_choice};

fn folder() -> PathBuf {
    let given = std::env::var_os("PLAYHOUSE_GOLDENS").map(|folder| PathBuf::from(folder).join("upscalers"));
    let own = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/upscalers");
    given.filter(|folder| folder.is_dir()).unwrap_or(own)
}

fn own(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/fixtures/upscalers/{name}.safetensors"))
}

fn load(path: &Path) -> Upscaler {
    Upscaler::load(path, device_choice()).unwrap()
}

fn values(view: &TensorView<'_>) -> Vec<f32> {
    view.data().as_chunks::<4>().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect()
}

/// Float32 of both sides adds up in another order.
const TOLERANCE: f32 = 2e-5;

#[test]
fn networks_agree_with_pytorch() {
    let bytes = std::fs::read(folder().join("goldens.safetensors")).unwrap();
    let goldens = SafeTensors::deserialize(&bytes).unwrap();
    let mut checked = 0;
    for name in goldens.names().into_iter().filter_map(|name| name.strip_suffix(".in")) {
        let (into, out) = (goldens.tensor(&format!("{name}.in")), goldens.tensor(&format!("{name}.out")));
        let (into, out) = (into.unwrap(), out.unwrap());
        let upscaler = load(&folder().join(format!("{name}.safetensors")));
        let shape: [usize; 4] = into.shape().try_into().unwrap();
        let data = TensorData::new(values(&into), shape);
        let made = upscaler.forward(Tensor::from_data(data, (&device(), DType::F32)));
        assert_eq!(made.dims().as_slice(), out.shape(), "{name}");
        assert_eq!(shape[3] * upscaler.scale(), out.shape()[3], "{name}");
        let found: Vec<f32> = made.into_data().try_into_vec().unwrap();
        let far = found.iter().zip(values(&out)).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        assert!(far < TOLERANCE, "{name}: {far}");
        checked += 1;
    }
    assert!(checked > 0, "no goldens in {}", folder().display());
}

fn picture(width: u32, height: u32) -> RgbImage {
    RgbImage::from_fn(width, height, |x, y| {
        let wave = |by: f64| (127.5 + 127.5 * (f64::from(x * 3 + y * 2) / by).sin()) as u8;
        Rgb([wave(17.0), wave(29.0), ((x ^ y) & 255) as u8])
    })
}

#[test]
fn pictures_become_as_large_as_is_asked() {
    for (name, size, asked) in [
        ("x4_new", [20, 12], [80, 48]),
        ("x4_new", [20, 12], [50, 30]),
        ("x2_old", [9, 7], [40, 31]),
        // Sides that are no multiple of what the network unshuffles by.
        ("x2_unshuffled", [9, 7], [18, 14]),
        ("x1_unshuffled", [9, 7], [9, 7]),
        ("x4_compact", [9, 7], [36, 28]),
    ] {
        let upscaler = load(&own(name));
        let mut last = 0;
        let made = upscaler
            .upscale(&picture(size[0], size[1]), asked, &mut |tiles| {
                assert_eq!(tiles.done, last + 1);
                last = tiles.done;
                assert!(tiles.done <= tiles.of);
                ControlFlow::Continue(())
            })
            .unwrap();
        assert_eq!(made.dimensions(), asked.into(), "{name}");
        assert!(last > 0, "{name}");
    }
}

/// Of several tiles the whole is what one would be, but near the seams by less than a level: the networks look a few
/// pixels far.
#[test]
fn tiles_leave_no_seams() {
    for name in ["x4_old", "x2_unshuffled"] {
        let upscaler = load(&own(name));
        let (large, small) = (picture(300, 40), picture(190, 40));
        let scale = upscaler.scale() as u32;
        let make = |picture: &RgbImage| {
            let (width, height) = picture.dimensions();
            let size = [width * scale, height * scale];
            upscaler.upscale(picture, size, &mut |_| ControlFlow::Continue(())).unwrap()
        };
        let (tiled, whole) = (make(&large), make(&small));
        // Both begin alike; the right edge of the smaller one is no edge of the larger one.
        let far = whole.enumerate_pixels().filter(|(x, ..)| *x < 120 * scale).map(|(x, y, pixel)| {
            let other = tiled.get_pixel(x, y);
            (0..3).map(|c| pixel.0[c].abs_diff(other.0[c])).max().unwrap_or(0)
        });
        assert!(far.max().unwrap_or(0) <= 1, "{name}");
    }
}

#[test]
fn work_ends_between_tiles() {
    let error = load(&own("x4_compact"))
        .upscale(&picture(400, 20), [1600, 80], &mut |_| ControlFlow::Break(()))
        .unwrap_err();
    assert!(matches!(error, DiffusionError::Cancelled { .. }), "{error}");
}

type Change = dyn Fn(&mut BTreeMap<String, TensorView<'static>>);

/// A file of the fixtures, changed.
fn changed(name: &str, change: &Change) -> Result<(), DiffusionError> {
    let bytes: &'static [u8] = Vec::leak(std::fs::read(own(name)).unwrap());
    let mut tensors: BTreeMap<String, TensorView<'static>> =
        SafeTensors::deserialize(bytes).unwrap().tensors().into_iter().collect();
    change(&mut tensors);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("changed.safetensors");
    safetensors::serialize_to_file(&tensors, None, &path).unwrap();
    Upscaler::about(&path).map(|_| ())
}

fn zeros(dtype: safetensors::Dtype, shape: Vec<usize>) -> TensorView<'static> {
    let bytes = shape.iter().product::<usize>() * dtype.bitsize() / 8;
    TensorView::new(dtype, shape, Vec::leak(vec![0; bytes])).unwrap()
}

#[test]
fn what_does_not_fit_is_refused_by_its_name_in_the_file() {
    use safetensors::Dtype;
    let cases: [(&str, &Change, &str); 8] = [
        ("x4_new", &|it| drop(it.remove("body.1.rdb2.conv3.bias")), "body.1.rdb2.conv3.bias"),
        ("x4_old", &|it| drop(it.remove("model.8.weight")), "model.8.weight"),
        (
            "x4_new",
            &|it| drop(it.insert("conv_hr.weight".into(), zeros(Dtype::F32, vec![8, 7, 3, 3]))),
            "conv_hr.weight has shape [8, 7, 3, 3], expected [8, 8, 3, 3]",
        ),
        (
            "x4_old",
            &|it| {
                drop(
                    it.insert(
                        "model.1.sub.0.RDB1.conv1x1.weight".into(),
                        zeros(Dtype::F32, vec![4, 8, 1, 1]),
                    ),
                )
            },
            "model.1.sub.0.RDB1.conv1x1.weight",
        ),
        (
            "x4_trunk",
            &|it| drop(it.insert("HRconv.bias".into(), zeros(Dtype::I32, vec![6]))),
            "HRconv.bias: not floating point",
        ),
        (
            "x4_new",
            &|it| drop(it.insert("conv_first.weight".into(), zeros(Dtype::F32, vec![8, 5, 3, 3]))),
            "conv_first.weight takes 5 channels",
        ),
        ("x4_compact", &|it| drop(it.remove("body.3.weight")), "body.3.weight"),
        ("x4_compact", &|it| it.retain(|name, _| name.ends_with("bias")), "no upscaler that is read here"),
    ];
    for (name, change, said) in cases {
        let error = changed(name, change).unwrap_err().to_string();
        assert!(error.contains(said), "{name}: {error}");
    }
    assert!(changed("x4_new", &|_| {}).is_ok());
    assert_eq!(Upscaler::about(&own("x2_unshuffled")).unwrap().scale, 2);
    assert_eq!(Upscaler::about(&own("x4_compact")).unwrap().architecture, "SRVGGNetCompact");
}
