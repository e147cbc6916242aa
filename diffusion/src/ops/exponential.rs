//! The exponential and what is made of it, without branches, so that the compiler takes many at once.
//!
//! No fused multiplication is used: the results are the same on every processor.

use std::f32::consts::LOG2_E;

/// Added to a number below 2²², it leaves the nearest integer in the lowest bits.
const ROUND: f32 = 12_582_912.0;
/// The natural logarithm of 2 in two parts; the first has few enough bits that multiples of it are exact.
const LN_2_HIGH: f32 = 0.693_359_4;
const LN_2_LOW: f32 = -2.121_944_4e-4;

/// `exp(x)` to about one part in ten million; what would be too small is `1.2e-38`, too large `1.7e38`.
#[inline(always)]
pub(super) fn exp(x: f32) -> f32 {
    let x = x.clamp(-87.3, 88.0);
    let rounded = x * LOG2_E + ROUND;
    let power = rounded - ROUND;
    let r = (x - power * LN_2_HIGH) - power * LN_2_LOW;
    // Taylor's series; r is within 0.347 of 0.
    let series = r * (1.0 / 5040.0) + 1.0 / 720.0;
    let series = series * r + 1.0 / 120.0;
    let series = series * r + 1.0 / 24.0;
    let series = series * r + 1.0 / 6.0;
    let series = series * r + 0.5;
    let series = series * (r * r) + r + 1.0;
    let two_to_the_power = f32::from_bits((rounded.to_bits() << 23).wrapping_add(1f32.to_bits()));
    series * two_to_the_power
}

/// `2ˣ` to four digits, for what is rounded to bf16 next; what would be too small is `1.2e-38`, too large `1.7e38`.
#[inline(always)]
pub(super) fn exp2(x: f32) -> f32 {
    let x = x.clamp(-126.0, 127.0);
    let rounded = x + ROUND;
    let r = x - (rounded - ROUND);
    // Taylor's series; r is within 0.5 of 0.
    let series = r * 9.618_129e-3 + 5.550_411e-2;
    let series = series * r + 0.240_226_5;
    let series = series * r + std::f32::consts::LN_2;
    let series = series * r + 1.0;
    series * f32::from_bits((rounded.to_bits() << 23).wrapping_add(1f32.to_bits()))
}

/// `x · sigmoid(factor · x)`.
#[inline(always)]
pub(super) fn swish(x: f32, factor: f32) -> f32 {
    x / (1.0 + exp(-factor * x))
}

/// Scale of the variable `t = 1 / (1 + TAIL · |x|)` in which the tail of the normal distribution, divided by
/// `exp(−x²/2)`, is close to a polynomial.
const TAIL: f32 = 0.23;
/// That polynomial from `t` to `t⁸`, fitted to a relative error of 4e-8 between 0 and 10.
const TAIL_POWERS: [f32; 8] = [
    0.091_972_41,
    0.088_293_96,
    0.110_727_93,
    -0.014_328_794,
    0.276_894_18,
    -0.258_279_17,
    0.281_452_7,
    -0.076_733_24,
];

/// `x · Φ(x)`, with `Φ` the normal distribution.
#[inline(always)]
pub(super) fn gelu(x: f32) -> f32 {
    let size = x.abs();
    let t = 1.0 / (1.0 + TAIL * size);
    let mut polynomial = TAIL_POWERS[7];
    polynomial = polynomial * t + TAIL_POWERS[6];
    polynomial = polynomial * t + TAIL_POWERS[5];
    polynomial = polynomial * t + TAIL_POWERS[4];
    polynomial = polynomial * t + TAIL_POWERS[3];
    polynomial = polynomial * t + TAIL_POWERS[2];
    polynomial = polynomial * t + TAIL_POWERS[1];
    polynomial = polynomial * t + TAIL_POWERS[0];
    let tail = polynomial * t * exp(-0.5 * size * size);
    let share = if x > 0.0 { 1.0 - tail } else { tail };
    x * share
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exponentials_are_right_to_the_last_digits() {
        for i in -8700..8800 {
            let x = i as f32 / 100.0;
            let (found, expected) = (f64::from(exp(x)), f64::from(x).exp());
            assert!((found / expected - 1.0).abs() < 3e-7, "exp {x}: {found} {expected}");
        }
        assert!(exp(f32::NEG_INFINITY) < 1e-37 && exp(1e30).is_finite());
    }

    #[test]
    fn powers_of_two_are_right_to_four_digits() {
        for i in -12600..12700 {
            let x = i as f32 / 100.0;
            let (found, expected) = (f64::from(exp2(x)), f64::from(x).exp2());
            assert!((found / expected - 1.0).abs() < 6e-5, "2^{x}: {found} {expected}");
        }
        assert!(exp2(f32::NEG_INFINITY) < 2e-38 && exp2(1e30).is_finite() && exp2(0.0) == 1.0);
    }

    #[test]
    fn gelu_meets_known_values() {
        for (x, expected) in [
            (0.0, 0.0),
            (1.0, 0.841_344_8),
            (-1.0, -0.158_655_25),
            (3.0, 2.995_950_3),
            (-5.0, -1.433_257_9e-6),
        ] {
            assert!((gelu(x) - expected).abs() < 3e-7 * (1.0 + expected.abs()), "{x}: {}", gelu(x));
        }
        assert_eq!((gelu(50.0), gelu(-50.0).abs() < 1e-30), (50.0, true));
        assert!(gelu(f32::NAN).is_nan() && swish(f32::NAN, 1.0).is_nan());
    }
}
