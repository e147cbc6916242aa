//! How far two groups of ratings lie apart, and how sure that is: Welch's t-test, whose interval supposes neither equal
//! spread nor equal size of the groups. B. L. Welch, "The generalization of 'Student's' problem when several different
//! population variances are involved", Biometrika 34 (1947).

use statrs::distribution::{ContinuousCDF, StudentsT};

/// A whole number says no more than this of what was meant, in units squared: the variance of rounding.
const ROUNDING_VARIANCE: f64 = 1.0 / 12.0;
/// What all looks at a test together may err by.
const ERROR_MAX: f64 = 0.05;
/// Accounts that each group has at the first look; at each further look twice as many.
const FIRST_LOOK: i64 = 10;
/// Looks at a test; after the last it ends, decided or not.
const LOOKS: u32 = 8;

/// A group of values, as sums.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Group {
    /// How many values.
    pub count: i64,
    /// Their sum.
    pub sum: f64,
    /// The sum of their squares.
    pub squares: f64,
}

impl Group {
    /// The mean; `None` of nothing.
    pub fn mean(&self) -> Option<f64> {
        (self.count > 0).then(|| self.sum / self.count as f64)
    }

    /// The variance of the mean; `None` of fewer than two values.
    fn variance_of_mean(&self) -> Option<f64> {
        let (count, mean) = (self.count as f64, self.mean()?);
        let spread = (self.squares - mean * self.sum) / (count - 1.0);
        (self.count > 1).then(|| spread.max(ROUNDING_VARIANCE) / count)
    }
}

/// How far the second of two groups lies above the first.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Difference {
    /// Of the means, in the unit of the values.
    pub estimate: f64,
    /// Its standard error, in the same unit.
    pub error: f64,
    /// Degrees of freedom, after Welch and Satterthwaite.
    pub freedom: f64,
}

impl Difference {
    /// `None` where one group has fewer than two values.
    pub fn between(first: &Group, second: &Group) -> Option<Difference> {
        let (one, other) = (first.variance_of_mean()?, second.variance_of_mean()?);
        let both = one + other;
        let part = |variance: f64, count: i64| variance * variance / (count - 1) as f64;
        Some(Difference {
            estimate: second.mean()? - first.mean()?,
            error: both.sqrt(),
            freedom: both * both / (part(one, first.count) + part(other, second.count)),
        })
    }

    fn distribution(&self) -> Option<StudentsT> {
        StudentsT::new(0.0, 1.0, self.freedom).ok()
    }

    /// The interval that holds the true difference in `level` (0 to 1) of all tests.
    pub fn interval(&self, level: f64) -> Option<(f64, f64)> {
        let reach = self.distribution()?.inverse_cdf(0.5 + level / 2.0) * self.error;
        Some((self.estimate - reach, self.estimate + reach))
    }

    /// The highest level whose interval does not hold zero, 0 to 1.
    pub fn confidence(&self) -> Option<f64> {
        let beyond = 1.0 - self.distribution()?.cdf((self.estimate / self.error).abs());
        Some(1.0 - 2.0 * beyond)
    }
}

/// When a test is looked at, and how sure a look has to be. Each look could err, so the first may err by half of
/// 5 %, and each further one by half of the one before: together they stay below it, however often it is looked
/// (Bonferroni's inequality).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Look {
    /// Accounts with ratings that each group has.
    pub accounts: i64,
    /// The level of the interval that must not hold zero.
    pub level: f64,
    /// Whether the test ends whatever is found.
    pub is_last: bool,
}

/// The look after `done` others.
pub fn look(done: u32) -> Look {
    let done = done.min(LOOKS - 1);
    let error = ERROR_MAX / f64::from(2u32 << done);
    Look { accounts: FIRST_LOOK << done, level: 1.0 - error, is_last: done + 1 == LOOKS }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn group(values: &[f64]) -> Group {
        let squares = values.iter().map(|value| value * value).sum();
        Group { count: values.len() as i64, sum: values.iter().sum(), squares }
    }

    /// The interval was found by numerical integration of the density of Student's distribution.
    #[test]
    fn the_test_is_welchs() {
        let (a, b) = (group(&[1.0, 2.0, 3.0, 4.0, 5.0]), group(&[3.0, 4.0, 4.0, 5.0, 5.0, 3.0]));
        let found = Difference::between(&a, &b).expect("enough values");
        assert!(
            (found.estimate - 1.0).abs() < 1e-12 && (found.freedom - 6.072_329_688_814_128).abs() < 1e-6,
            "{found:?}"
        );
        let (low, high) = found.interval(0.95).expect("an interval");
        assert!((low - -0.941699).abs() < 1e-4 && (high - 2.941699).abs() < 1e-4, "{low} {high}");
        let sure = found.confidence().expect("a level");
        let (edge, _) = found.interval(sure).expect("an interval");
        assert!(edge.abs() < 1e-6, "at its own level the interval begins at zero: {edge}");
    }

    #[test]
    fn equal_ratings_are_not_certain_and_few_are_nothing() {
        let found = Difference::between(&group(&[3.0, 3.0]), &group(&[4.0, 4.0])).expect("two and two");
        let (low, high) = found.interval(0.95).expect("an interval");
        assert!(low < 0.0 && high > 2.0, "{low} {high}");
        assert_eq!(Difference::between(&group(&[3.0]), &group(&[4.0, 4.0])), None);
        assert_eq!(Group::default().mean(), None);
    }

    #[test]
    fn looks_together_err_less_than_is_allowed() {
        let looks: Vec<Look> = (0..LOOKS).map(look).collect();
        assert_eq!((looks[0].accounts, looks[1].accounts, looks[7].accounts), (10, 20, 1280));
        assert_eq!((looks[0].level, looks[7].is_last, looks[6].is_last), (0.975, true, false));
        let errors: f64 = looks.iter().map(|look| 1.0 - look.level).sum();
        assert!(errors < ERROR_MAX, "{errors}");
    }
}
