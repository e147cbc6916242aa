use super::super::kernel::numbers;
use super::*;

/// The definition of a convolution in double precision.
fn expected(
    weights: &[bf16],
    [outputs, inputs, height, width]: [usize; 4],
    bias: &[f32],
    values: &[f32],
    picture: [usize; 2],
    around: Surroundings,
) -> Vec<f64> {
    let [top, left, bottom, right] = around.padding;
    let out_height = (picture[0] + top + bottom - height) / around.stride + 1;
    let out_width = (picture[1] + left + right - width) / around.stride + 1;
    let mut out = Vec::new();
    for sample in values.chunks_exact(inputs * picture[0] * picture[1]) {
        for output in 0..outputs {
            for y in 0..out_height {
                for x in 0..out_width {
                    let mut sum = f64::from(bias[output]);
                    for input in 0..inputs {
                        for ky in 0..height {
                            for kx in 0..width {
                                let (y, x) = (y * around.stride + ky, x * around.stride + kx);
                                let inside = (top..top + picture[0]).contains(&y)
                                    && (left..left + picture[1]).contains(&x);
                                if inside {
                                    let at = (input * picture[0] + y - top) * picture[1] + x - left;
                                    let by = weights[((output * inputs + input) * height + ky) * width + kx];
                                    sum += f64::from(bf16::from_f32(sample[at])) * f64::from(by);
                                }
                            }
                        }
                    }
                    out.push(sum);
                }
            }
        }
    }
    out
}

fn check(shape: [usize; 4], samples: usize, picture: [usize; 2], around: Surroundings) {
    let weights: Vec<bf16> = numbers(shape.iter().product(), 11).into_iter().map(bf16::from_f32).collect();
    let values = numbers(samples * shape[1] * picture[0] * picture[1], 12);
    let bias = numbers(shape[0], 13);
    let packed = PackedConvolution::pack(&weights, shape);
    assert_eq!(packed.unpack(), weights);
    let expected = expected(&weights, shape, &bias, &values, picture, around);
    for with in Instructions::all() {
        let (found, out) = convolve_with(with, &packed, Some(&bias), &values, picture, around);
        assert_eq!((found.len(), samples * out.iter().product::<usize>()), (expected.len(), expected.len()));
        for (i, (found, expected)) in found.iter().zip(&expected).enumerate() {
            let far = (f64::from(*found) - expected).abs();
            assert!(far < 2e-5, "{with:?} {shape:?} {picture:?} {around:?} {i}: {found} {expected}");
        }
    }
}

#[test]
fn convolutions_agree_with_their_definition() {
    for (padding, stride, picture) in [
        ([1, 1, 1, 1], 1, [9, 7]),
        ([1, 1, 1, 1], 1, [8, 8]),
        ([1, 1, 1, 1], 2, [9, 8]),
        ([1, 1, 1, 1], 2, [8, 8]),
        ([0, 0, 1, 1], 2, [8, 6]),
        ([2, 1, 0, 2], 1, [5, 6]),
        ([1, 1, 1, 1], 1, [1, 1]),
        ([0, 0, 0, 0], 1, [6, 3]),
        ([0, 2, 0, 0], 2, [7, 9]),
        // Lines that fill tiles, and nearly.
        ([1, 1, 1, 1], 1, [5, 16]),
        ([1, 1, 1, 1], 2, [6, 32]),
        ([2, 0, 1, 3], 1, [7, 13]),
        ([0, 0, 1, 1], 2, [7, 29]),
    ] {
        check([11, 5, 3, 3], 2, picture, Surroundings { padding, stride });
        check([40, 34, 3, 3], 1, picture, Surroundings { padding, stride });
    }
    check([33, 64, 1, 1], 2, [5, 16], Surroundings { padding: [0; 4], stride: 1 });
    check([4, 3, 2, 3], 1, [6, 40], Surroundings { padding: [0, 1, 1, 1], stride: 1 });
}

#[test]
fn a_picture_of_several_strips_is_whole() {
    // 96 channels of 130 pixels a row: 48 pairs, so that 40 rows are more than one strip.
    check([2, 96, 3, 3], 1, [60, 130], Surroundings { padding: [1; 4], stride: 1 });
    check([2, 96, 3, 3], 1, [70, 128], Surroundings { padding: [1; 4], stride: 1 });
    check([2, 96, 3, 3], 1, [61, 130], Surroundings { padding: [1; 4], stride: 2 });
}

#[test]
fn the_number_of_threads_changes_no_byte() {
    let weights: Vec<bf16> = numbers(40 * 64 * 9, 1).into_iter().map(bf16::from_f32).collect();
    let packed = PackedConvolution::pack(&weights, [40, 64, 3, 3]);
    let values = numbers(64 * 30 * 30, 2);
    let around = Surroundings { padding: [1; 4], stride: 1 };
    let of = |threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| convolve(&packed, None, &values, [30, 30], around))
    };
    assert_eq!(of(1), of(3));
}
