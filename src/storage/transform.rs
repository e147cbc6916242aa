//! What is asked of a picture, from a query or from JSON.

use std::collections::BTreeMap;

use actors::file::picture::{EDGE_PX_MAX, Format, Resize, Transform};
use serde_json::Value;

use super::error::StorageError;
use super::request::parameter;

const NAMES: [&str; 5] = ["width", "height", "resize", "quality", "format"];

/// From the parameters of a URL.
pub(crate) fn from_query(query: Option<&str>) -> Result<Transform, StorageError> {
    parse(&|name| parameter(query, name))
}

/// From the `transform` member of a body.
pub(crate) fn from_json(asked: &Value) -> Result<Transform, StorageError> {
    if !asked.is_object() {
        return Err(StorageError::invalid("body/transform must be object"));
    }
    parse(&|name| match &asked[name] {
        Value::Null => None,
        Value::String(text) => Some(text.clone()),
        other => Some(other.to_string()),
    })
}

/// From a token.
pub(crate) fn from_parameters(asked: &BTreeMap<String, String>) -> Result<Transform, StorageError> {
    parse(&|name| asked.get(name).cloned())
}

/// The reverse of [`from_parameters`].
pub(crate) fn parameters(asked: &Transform) -> BTreeMap<String, String> {
    let resize = match asked.resize {
        Resize::Cover => "cover",
        Resize::Contain => "contain",
        Resize::Fill => "fill",
    };
    let format = match asked.format {
        Format::Same => "origin",
        Format::Jpeg => "jpeg",
        Format::Png => "png",
        Format::Webp => "webp",
    };
    let edge = |edge: Option<u32>| edge.map(|edge| edge.to_string());
    let values = [
        edge(asked.width),
        edge(asked.height),
        Some(resize.to_string()),
        Some(asked.quality.to_string()),
        Some(format.to_string()),
    ];
    let pairs = NAMES.iter().zip(values);
    pairs.filter_map(|(name, value)| Some((name.to_string(), value?))).collect()
}

fn parse(given: &dyn Fn(&str) -> Option<String>) -> Result<Transform, StorageError> {
    let number = |name: &str, min: u32, max: u32| match given(name) {
        None => Ok(None),
        Some(text) => match text.trim().parse::<u32>() {
            Ok(number) if (min..=max).contains(&number) => Ok(Some(number)),
            _ => Err(StorageError::invalid(format!("{name} must be a number from {min} to {max}"))),
        },
    };
    let choice = |name: &str| given(name).unwrap_or_default().to_ascii_lowercase();
    Ok(Transform {
        width: number("width", 1, EDGE_PX_MAX)?,
        height: number("height", 1, EDGE_PX_MAX)?,
        resize: match choice("resize").as_str() {
            "" | "cover" => Resize::Cover,
            "contain" => Resize::Contain,
            "fill" => Resize::Fill,
            _ => return Err(StorageError::invalid("resize must be cover, contain or fill")),
        },
        quality: u8::try_from(number("quality", 20, 100)?.unwrap_or(80)).unwrap_or(80),
        format: match choice("format").as_str() {
            // AVIF is taken as "what suits": nothing here writes it.
            "" | "origin" | "avif" => Format::Same,
            "jpeg" | "jpg" => Format::Jpeg,
            "png" => Format::Png,
            "webp" => Format::Webp,
            _ => return Err(StorageError::invalid("format must be origin, jpeg, png or webp")),
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_signed_is_what_is_made() {
        let asked = from_query(Some("width=100&resize=contain&quality=30&format=webp")).expect("a transform");
        assert_eq!((asked.width, asked.height, asked.quality), (Some(100), None, 30));
        assert_eq!(from_parameters(&parameters(&asked)).ok(), Some(asked));
        assert_eq!(from_json(&serde_json::json!({"width": 100})).map(|it| it.width).ok(), Some(Some(100)));
        for bad in ["width=0", "width=2501", "width=x", "quality=5", "resize=zoom", "format=exe", "height=-1"]
        {
            assert!(from_query(Some(bad)).is_err(), "{bad}");
        }
    }
}
