//! Which rows of a result are wanted, and how an answer says which it has: `Range`, `Content-Range`.

/// A run of rows.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Window {
    /// Rows left out before the first.
    pub offset: u64,
    /// The most rows; `None` for all.
    pub limit: Option<u64>,
}

/// A run of rows that cannot be (PGRST103, status 416). `Display` gives the details.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RangeError {
    /// `limit=-1`
    #[error("Limit should be greater than or equal to zero.")]
    NegativeLimit,
    /// `offset=-1`
    #[error("Offset should be greater than or equal to zero.")]
    NegativeOffset,
    /// `Range: 9-0`
    #[error("The lower boundary must be lower than or equal to the upper boundary in the Range header.")]
    Inverted,
    /// More rows left out than there are.
    #[error("An offset of {offset} was requested, but there are only {total} rows.")]
    BeyondTotal {
        /// The rows left out.
        offset: u64,
        /// The rows there are.
        total: u64,
    },
}

impl RangeError {
    /// The error code of each.
    pub const CODE: &'static str = "PGRST103";
    /// The message of each.
    pub const MESSAGE: &'static str = "Requested range not satisfiable";
}

impl Window {
    /// What a request asks for: its `limit` and `offset` parameters, intersected with its `Range` header. A unit
    /// other than `items`, or a range that does not read `0-9` or `10-`, is ignored.
    pub fn requested(
        limit: Option<i64>,
        offset: Option<i64>,
        range: Option<&str>,
        range_unit: Option<&str>,
    ) -> Result<Self, RangeError> {
        let limit = limit.map(u64::try_from).transpose().map_err(|_| RangeError::NegativeLimit)?;
        let offset = offset.map(u64::try_from).transpose().map_err(|_| RangeError::NegativeOffset)?;
        let asked = Self { offset: offset.unwrap_or(0), limit };
        let is_items = range_unit.is_none_or(|unit| unit.trim().eq_ignore_ascii_case("items"));
        match range.filter(|_| is_items).map(from_header) {
            Some(header) => Ok(header?.map_or(asked, |header| asked.intersect(header))),
            None => Ok(asked),
        }
    }

    /// The same window with at most `rows_max` rows, which is what the server serves at once.
    pub fn at_most(self, rows_max: u64) -> Self {
        Self { limit: Some(self.limit.map_or(rows_max, |limit| limit.min(rows_max))), ..self }
    }

    /// Refuses a window that begins after the last of `total` rows.
    pub fn check_within(self, total: u64) -> Result<(), RangeError> {
        if self.offset > total {
            return Err(RangeError::BeyondTotal { offset: self.offset, total });
        }
        Ok(())
    }

    /// The rows in both.
    fn intersect(self, other: Self) -> Self {
        let offset = self.offset.max(other.offset);
        let end = match (self.end(), other.end()) {
            (Some(one), Some(another)) => Some(one.min(another)),
            (one, another) => one.or(another),
        };
        Self { offset, limit: end.map(|end| end.saturating_sub(offset)) }
    }

    fn end(self) -> Option<u64> {
        self.limit.map(|limit| self.offset.saturating_add(limit))
    }
}

/// `Ok(None)` for text that is no range.
fn from_header(text: &str) -> Result<Option<Window>, RangeError> {
    let text = text.trim();
    let Some((first, last)) = text.strip_prefix("items=").unwrap_or(text).split_once('-') else {
        return Ok(None);
    };
    let (Some(first), last_number) = (number(first), number(last)) else { return Ok(None) };
    match last_number {
        None if last.is_empty() => Ok(Some(Window { offset: first, limit: None })),
        None => Ok(None),
        Some(last) if last < first => Err(RangeError::Inverted),
        Some(last) => Ok(Some(Window { offset: first, limit: Some((last - first).saturating_add(1)) })),
    }
}

fn number(text: &str) -> Option<u64> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|_| digits)
}

/// The value of `Content-Range`: `0-24/573`, `*/0`, `5-9/*`.
pub fn content_range(offset: u64, rows: u64, total: Option<u64>) -> String {
    let total = total.map_or("*".to_owned(), |total| total.to_string());
    match rows.checked_sub(1) {
        Some(after_first) => format!("{offset}-{}/{total}", offset.saturating_add(after_first)),
        None => format!("*/{total}"),
    }
}

/// Whether an answer has only a part of the counted rows (status 206).
pub fn is_partial(rows: u64, total: Option<u64>) -> bool {
    total.is_some_and(|total| rows < total)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn requested(
        limit: Option<i64>,
        offset: Option<i64>,
        range: &str,
    ) -> Result<(u64, Option<u64>), RangeError> {
        Window::requested(limit, offset, Some(range), Some("items"))
            .map(|window| (window.offset, window.limit))
    }

    #[test]
    fn headers_and_parameters_intersect() {
        assert_eq!(requested(None, None, "0-9"), Ok((0, Some(10))));
        assert_eq!(requested(None, None, "10-"), Ok((10, None)));
        assert_eq!(requested(Some(5), Some(3), "0-5"), Ok((3, Some(3))));
        assert_eq!(requested(Some(5), None, "10-"), Ok((10, Some(0))));
        assert_eq!(requested(None, Some(2), "4-7"), Ok((4, Some(4))));
        assert_eq!(
            requested(Some(i64::MAX), Some(i64::MAX), "0-18446744073709551615").map(|(offset, _)| offset),
            Ok(i64::MAX as u64)
        );
    }

    #[test]
    fn what_is_no_range_is_ignored() {
        for range in ["", "-", "-5", "a-b", "1-b", "1", "+1-2", "99999999999999999999-"] {
            assert_eq!(requested(Some(7), None, range), Ok((0, Some(7))), "{range}");
        }
        let bytes = Window::requested(None, None, Some("0-9"), Some("bytes"));
        assert_eq!(bytes, Ok(Window::default()));
    }

    #[test]
    fn impossible_ranges_are_refused() {
        assert_eq!(requested(None, None, "9-0"), Err(RangeError::Inverted));
        assert_eq!(requested(Some(-1), None, ""), Err(RangeError::NegativeLimit));
        assert_eq!(requested(None, Some(-1), ""), Err(RangeError::NegativeOffset));
        let window = Window { offset: 9, limit: None };
        assert_eq!(window.check_within(9), Ok(()));
        let error = window.check_within(8).expect_err("beyond");
        assert_eq!(error.to_string(), "An offset of 9 was requested, but there are only 8 rows.");
    }

    #[test]
    fn the_server_has_its_own_maximum() {
        assert_eq!(Window::default().at_most(1000).limit, Some(1000));
        assert_eq!(Window { offset: 0, limit: Some(5) }.at_most(1000).limit, Some(5));
        assert_eq!(Window { offset: 0, limit: Some(5000) }.at_most(1000).limit, Some(1000));
    }

    #[test]
    fn answers_say_which_rows_they_have() {
        assert_eq!(content_range(0, 25, Some(573)), "0-24/573");
        assert_eq!(content_range(5, 1, None), "5-5/*");
        assert_eq!(content_range(0, 0, Some(0)), "*/0");
        assert_eq!(content_range(7, 0, None), "*/*");
        assert!(is_partial(25, Some(573)));
        assert!(!is_partial(573, Some(573)));
        assert!(!is_partial(25, None));
    }
}
