//! Why a piece of media failed, and whether another try may help. No IO.

/// Tries after the first one.
pub const RETRIES_MAX: i64 = 3;

/// The kinds of failures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FailureCode {
    /// It took too long.
    Timeout,
    /// Too many requests.
    RateLimit,
    /// The other server was not reached.
    Network,
    /// The other server is not well.
    Unavailable,
    /// Anything else.
    Unknown,
}

impl FailureCode {
    /// The word in `meta.error_code`.
    pub fn name(self) -> &'static str {
        match self {
            FailureCode::Timeout => "TIMEOUT_ERROR",
            FailureCode::RateLimit => "RATE_LIMIT_ERROR",
            FailureCode::Network => "NETWORK_ERROR",
            FailureCode::Unavailable => "SERVICE_UNAVAILABLE",
            FailureCode::Unknown => "UNKNOWN_ERROR",
        }
    }

    /// Reads the words of a failure.
    pub fn of(message: &str) -> FailureCode {
        let message = message.to_lowercase();
        let says = |words: &[&str]| words.iter().any(|word| message.contains(word));
        let numbers = |wanted: &[&str]| {
            message.split(|letter: char| !letter.is_ascii_digit()).any(|number| wanted.contains(&number))
        };
        if says(&["timeout", "timed out", "time out"]) || numbers(&["504"]) {
            FailureCode::Timeout
        } else if says(&["rate limit", "too many requests", "ratelimit"]) || numbers(&["429"]) {
            FailureCode::RateLimit
        } else if numbers(&["503"]) || says(&["service unavailable"]) {
            FailureCode::Unavailable
        } else if says(&["connection", "network", "dns", "unreachable"]) {
            FailureCode::Network
        } else {
            FailureCode::Unknown
        }
    }

    /// Whether another try may help.
    pub fn is_passing(self) -> bool {
        self != FailureCode::Unknown
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_and_numbers_have_their_codes() {
        for (message, code) in [
            ("request timed out after 30 s", "TIMEOUT_ERROR"),
            ("HTTP 504", "TIMEOUT_ERROR"),
            ("Rate limit reached", "RATE_LIMIT_ERROR"),
            ("status 429", "RATE_LIMIT_ERROR"),
            ("503 from upstream", "SERVICE_UNAVAILABLE"),
            ("connection refused", "NETWORK_ERROR"),
            ("network unreachable", "NETWORK_ERROR"),
            ("the prompt was refused", "UNKNOWN_ERROR"),
            ("picture 15034 is broken", "UNKNOWN_ERROR"),
        ] {
            assert_eq!(FailureCode::of(message).name(), code, "{message}");
        }
        assert!(FailureCode::Timeout.is_passing() && !FailureCode::Unknown.is_passing());
    }
}
