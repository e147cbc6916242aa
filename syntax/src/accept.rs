//! In which form a client wants its answer: the `Accept` header.

use std::cmp::Reverse;

/// A form in which rows are served.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Format {
    /// `application/json`: an array of rows.
    Json,
    /// `application/vnd.pgrst.array+json;nulls=stripped`: an array of rows without their nulls.
    JsonNullsStripped,
    /// `application/vnd.pgrst.object+json`: exactly one row.
    Object {
        /// Whether keys with null are left out.
        nulls_stripped: bool,
    },
    /// `text/csv`
    Csv,
    /// `application/geo+json`
    GeoJson,
    /// `application/vnd.pgrst.plan`: how the query would run.
    Plan {
        /// `+json` or `+text`.
        as_json: bool,
        /// `options=analyze|verbose|…`
        options: Vec<String>,
    },
    /// `application/openapi+json`: the description of the schema.
    OpenApi,
}

/// No form the client accepts is served (PGRST107). `Display` gives the message.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("None of these media types are available: {}", .accepted.join(", "))]
pub struct NotAcceptable {
    /// The media types the client named.
    pub accepted: Vec<String>,
}

impl Format {
    /// The form a client likes best among those that exist. No header accepts everything.
    pub fn negotiate(accept: Option<&str>) -> Result<Self, NotAcceptable> {
        let mut ranges = ranges(accept.unwrap_or("*/*"));
        if ranges.is_empty() {
            return Ok(Self::Json);
        }
        // Stable: among equals the first named wins.
        ranges.sort_by_key(|range| Reverse(range.quality_permille));
        let wanted = ranges.iter().filter(|range| range.quality_permille > 0);
        wanted.filter_map(MediaRange::format).next().ok_or_else(|| NotAcceptable {
            accepted: ranges.iter().map(|range| range.media_type.clone()).collect(),
        })
    }

    /// The `Content-Type` of an answer in this form.
    pub fn content_type(&self) -> &'static str {
        match self {
            Self::Json => "application/json; charset=utf-8",
            Self::JsonNullsStripped => "application/vnd.pgrst.array+json;nulls=stripped; charset=utf-8",
            Self::Object { nulls_stripped: false } => "application/vnd.pgrst.object+json; charset=utf-8",
            Self::Object { nulls_stripped: true } => {
                "application/vnd.pgrst.object+json;nulls=stripped; charset=utf-8"
            }
            Self::Csv => "text/csv; charset=utf-8",
            Self::GeoJson => "application/geo+json; charset=utf-8",
            Self::Plan { as_json: true, .. } => "application/vnd.pgrst.plan+json; charset=utf-8",
            Self::Plan { as_json: false, .. } => "application/vnd.pgrst.plan+text; charset=utf-8",
            Self::OpenApi => "application/openapi+json; charset=utf-8",
        }
    }
}

/// One member of an `Accept` header.
struct MediaRange {
    media_type: String,
    parameters: Vec<(String, String)>,
    quality_permille: u16,
}

impl MediaRange {
    fn parameter(&self, name: &str) -> Option<&str> {
        self.parameters.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    fn format(&self) -> Option<Format> {
        let nulls_stripped = self.parameter("nulls") == Some("stripped");
        match self.media_type.as_str() {
            "*/*" | "application/*" | "application/json" => Some(Format::Json),
            "application/vnd.pgrst.object" | "application/vnd.pgrst.object+json" => {
                Some(Format::Object { nulls_stripped })
            }
            "application/vnd.pgrst.array" | "application/vnd.pgrst.array+json" if nulls_stripped => {
                Some(Format::JsonNullsStripped)
            }
            "application/vnd.pgrst.array" | "application/vnd.pgrst.array+json" => Some(Format::Json),
            "text/csv" | "text/*" => Some(Format::Csv),
            "application/geo+json" => Some(Format::GeoJson),
            "application/vnd.pgrst.plan" | "application/vnd.pgrst.plan+text" => Some(self.plan(false)),
            "application/vnd.pgrst.plan+json" => Some(self.plan(true)),
            "application/openapi+json" => Some(Format::OpenApi),
            _ => None,
        }
    }

    fn plan(&self, as_json: bool) -> Format {
        let options = self.parameter("options").unwrap_or_default();
        let options = options.split('|').filter(|option| !option.is_empty()).map(str::to_owned).collect();
        Format::Plan { as_json, options }
    }
}

fn ranges(header: &str) -> Vec<MediaRange> {
    let members = split_unquoted(header, ',').map(|member| {
        let mut parts = split_unquoted(member, ';').map(str::trim);
        let media_type = parts.next().unwrap_or_default().to_ascii_lowercase();
        let parameters: Vec<_> = parts
            .filter_map(|part| part.split_once('='))
            .map(|(name, value)| {
                (name.trim().to_ascii_lowercase(), value.trim().trim_matches('"').to_owned())
            })
            .collect();
        let quality =
            parameters.iter().find(|(name, _)| name == "q").and_then(|(_, q)| q.parse::<f32>().ok());
        let quality_permille = (quality.unwrap_or(1.0).clamp(0.0, 1.0) * 1000.0) as u16;
        MediaRange { media_type, parameters, quality_permille }
    });
    members.filter(|range| !range.media_type.is_empty()).collect()
}

/// Splits at a separator that is not inside `"…"`.
fn split_unquoted(text: &str, separator: char) -> impl Iterator<Item = &str> {
    let mut quoted = false;
    text.split(move |character| {
        if character == '"' {
            quoted = !quoted;
        }
        character == separator && !quoted
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn format(accept: &str) -> Format {
        Format::negotiate(Some(accept)).expect(accept)
    }

    #[test]
    fn anything_is_json() {
        assert_eq!(Format::negotiate(None), Ok(Format::Json));
        for accept in [
            "",
            "*/*",
            "application/json",
            "Application/JSON; charset=utf-8",
            "application/*",
            "text/html, */*;q=0.8",
        ] {
            assert_eq!(format(accept), Format::Json, "{accept}");
        }
    }

    #[test]
    fn every_form_has_its_type() {
        let object = |nulls_stripped| Format::Object { nulls_stripped };
        assert_eq!(format("application/vnd.pgrst.object+json"), object(false));
        assert_eq!(format("application/vnd.pgrst.object+json;nulls=stripped"), object(true));
        assert_eq!(format("application/vnd.pgrst.object"), object(false));
        assert_eq!(format("application/vnd.pgrst.array+json;nulls=stripped"), Format::JsonNullsStripped);
        assert_eq!(format("text/csv"), Format::Csv);
        assert_eq!(format("application/geo+json"), Format::GeoJson);
        assert_eq!(format("application/openapi+json"), Format::OpenApi);
        assert_eq!(
            format(r#"application/vnd.pgrst.plan+json; for="application/json"; options=analyze|verbose;"#),
            Format::Plan { as_json: true, options: vec!["analyze".into(), "verbose".into()] }
        );
    }

    #[test]
    fn the_best_liked_wins_then_the_first() {
        assert_eq!(format("text/csv;q=0.5, application/json;q=0.9"), Format::Json);
        assert_eq!(format("text/csv, application/json"), Format::Csv);
        assert_eq!(format("text/html, text/csv;q=0.1"), Format::Csv);
    }

    #[test]
    fn what_is_not_served_is_named() {
        let error = Format::negotiate(Some("text/html, image/png;q=0.2")).expect_err("not served");
        assert_eq!(error.to_string(), "None of these media types are available: text/html, image/png");
        assert!(Format::negotiate(Some("application/json;q=0")).is_err());
    }
}
