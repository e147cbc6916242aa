//! `alwayson_scripts.controlnet`: the units of A1111's ControlNet extension as ControlNets and IP-Adapters of a job.

use actors::render::{CANNY, list_controlnets, list_ip_adapters};
use models::field_names::is_same_name;
use serde_json::{Map, Value as Json, json};
use services::context::Context;
use services::files::reference_picture;
use services::jobs::job_request::JobRequest;
use uuid::Uuid;

use super::error::SdError;
use super::sent_picture::{decoded, size};
use crate::app::App;

/// The script whose units are followed, as clients spell it in any case.
const SCRIPT: &str = "controlnet";
/// Units of one request at most.
const UNITS_MAX: usize = 10;
/// ControlNets, and IP-Adapters, of a job at most.
const EACH_MAX: usize = 4;
/// Largest weight.
const WEIGHT_MAX: f64 = 2.0;
/// Names that a refusal shows.
const NAMES_MAX: usize = 20;
/// What a unit's picture goes through before: nothing, or a search for its lines. Modules of IP-Adapters begin with their word.
const MODULES: [&str; 2] = ["none", CANNY];
/// What modules of IP-Adapters begin with.
const IP_ADAPTER: &str = "ip-adapter";
/// Members that are read.
const READ: [&str; 9] = [
    "enabled",
    "image",
    "input_image",
    "module",
    "model",
    "weight",
    "guidance_start",
    "guidance_end",
    "resize_mode",
];
/// Members that change nothing here and say nothing either: how much memory is taken, and at which size lines are looked for.
const OF_NO_MATTER: [&str; 7] = [
    "lowvram",
    "low_vram",
    "pixel_perfect",
    "processor_res",
    "save_detected_map",
    "hr_option",
    "use_preview_as_input",
];

/// Which kind of model a unit has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Control,
    IpAdapter,
}

/// A unit that is switched on.
#[derive(Clone, Debug)]
struct Unit {
    /// Where it stands in the request.
    field: String,
    kind: Kind,
    model: String,
    preprocess: Option<&'static str>,
    weight: f64,
    start: f64,
    end: f64,
    /// Its picture in base64; without one the picture that is drawn over.
    picture: Option<String>,
}

/// The units of a request.
#[derive(Clone, Debug, Default)]
pub(super) struct ControlUnits(Vec<Unit>);

impl ControlUnits {
    /// Reads `alwayson_scripts`; what is not followed is warned of, other scripts among it.
    pub fn read(scripts: &Map<String, Json>, warnings: &mut Vec<String>) -> Result<ControlUnits, SdError> {
        let mut units = Vec::new();
        for (name, script) in scripts {
            let is_empty = script["args"].as_array().is_some_and(Vec::is_empty);
            if !name.eq_ignore_ascii_case(SCRIPT) {
                if !is_empty {
                    let name: String = name.chars().take(60).collect();
                    warnings.push(format!("alwayson_scripts.{name}: not followed here"));
                }
                continue;
            }
            let field = format!("alwayson_scripts.{name}.args");
            let Some(args) = script["args"].as_array() else {
                return Err(SdError::field(&field, "is not a list of units"));
            };
            if args.len() > UNITS_MAX {
                return Err(SdError::field(
                    &field,
                    format!("{} units; {UNITS_MAX} are taken at most", args.len()),
                ));
            }
            for (place, unit) in args.iter().enumerate() {
                let field = format!("{field}[{place}]");
                let Json::Object(members) = unit else {
                    return Err(SdError::field(&field, "is not an object"));
                };
                if !is_off(members.get("enabled")) {
                    units.push(Unit::read(field, members, warnings)?);
                }
            }
            for kind in [Kind::Control, Kind::IpAdapter] {
                let count = units.iter().filter(|unit| unit.kind == kind).count();
                if count > EACH_MAX {
                    let what = if kind == Kind::Control { "ControlNets" } else { "IP-Adapters" };
                    return Err(SdError::field(
                        &field,
                        format!("{count} {what}; {EACH_MAX} are taken at most"),
                    ));
                }
            }
        }
        Ok(ControlUnits(units))
    }

    /// Finds the models of the units, keeps their pictures in the account's folder, and adds them to a job. Units without a
    /// picture are led by the one that the job draws over.
    pub async fn add(
        self,
        app: &App,
        context: &Context,
        user: Uuid,
        job: &mut JobRequest,
        warnings: &mut Vec<String>,
    ) -> Result<(), SdError> {
        if self.0.is_empty() {
            return Ok(());
        }
        let folder = app.config.models_dir.clone();
        let there = tokio::task::spawn_blocking(move || {
            let names = |list: Vec<(String, _)>| list.into_iter().map(|(name, _)| name).collect::<Vec<_>>();
            (names(list_controlnets(&folder)), names(list_ip_adapters(&folder)))
        });
        let unread = |_| SdError::new(500, "Exception", "the models folder cannot be read");
        let (controlnets, adapters) = there.await.map_err(unread)?;
        // All of them are looked at before the first picture is kept.
        let mut sound = Vec::new();
        for unit in self.0 {
            let there = if unit.kind == Kind::Control { &controlnets } else { &adapters };
            let model = unit.named(there)?;
            let field = format!("{}.image", unit.field);
            let picture = match &unit.picture {
                Some(picture) => {
                    let (bytes, format) = decoded(&field, picture)?;
                    let (width, height) = size(&field, &bytes)?;
                    warnings.extend(unit.stretched((width, height), job));
                    Some((bytes, format))
                }
                None if job.reference_image_url.is_none() => return Err(SdError::field(&field, "missing")),
                None => None,
            };
            sound.push((unit, model, picture));
        }
        let (mut controls, mut ip_adapters) = (Vec::new(), Vec::new());
        for (unit, model, picture) in sound {
            let object = match picture {
                Some((bytes, format)) => {
                    let mime_type = format.to_mime_type().to_string();
                    reference_picture::keep(context, user, "edits", bytes, mime_type).await?
                }
                None => job.reference_image_url.clone().unwrap_or_default(),
            };
            match unit.kind {
                Kind::Control => {
                    let mut control = json!({
                        "model": model, "image_url": object, "scale": unit.weight, "start": unit.start, "end": unit.end,
                    });
                    if let Some(preprocess) = unit.preprocess {
                        control["preprocess"] = json!(preprocess);
                    }
                    controls.push(control);
                }
                Kind::IpAdapter => {
                    ip_adapters.push(json!({"model": model, "image_url": object, "scale": unit.weight}));
                }
            }
        }
        let list = |items: Vec<Json>| if items.is_empty() { Json::Null } else { Json::Array(items) };
        (job.controls, job.ip_adapters) = (list(controls), list(ip_adapters));
        Ok(())
    }
}

impl Unit {
    fn read(field: String, members: &Map<String, Json>, warnings: &mut Vec<String>) -> Result<Unit, SdError> {
        let refuse = |member: &str, reason: String| SdError::field(&format!("{field}.{member}"), reason);
        let text = |member: &str| match members.get(member) {
            None | Some(Json::Null) => Ok(None),
            Some(Json::String(text)) => Ok(Some(text.trim()).filter(|text| !text.is_empty())),
            Some(_) => Err(refuse(member, "is not a text".into())),
        };
        let share = |member: &str, default: f64, max: f64| match members.get(member) {
            None | Some(Json::Null) => Ok(default),
            Some(given) => match given.as_f64() {
                Some(number) if (0.0..=max).contains(&number) => Ok(number),
                _ => Err(refuse(member, format!("{given} is not a number within 0 to {max}"))),
            },
        };
        let module = text("module")?.unwrap_or("none").to_ascii_lowercase();
        let (kind, preprocess) = match module.as_str() {
            "none" => (Kind::Control, None),
            CANNY => (Kind::Control, Some(CANNY)),
            adapter if adapter.starts_with(IP_ADAPTER) => (Kind::IpAdapter, None),
            _ => {
                let module: String = module.chars().take(60).collect();
                let known = MODULES.join(", ");
                return Err(refuse("module", format!("{module:?} is none of {known}, {IP_ADAPTER}_…")));
            }
        };
        let model = text("model")?.filter(|name| !name.eq_ignore_ascii_case("none"));
        let model = model.ok_or_else(|| refuse("model", "missing".into()))?.to_string();
        let (start, end) = (share("guidance_start", 0.0, 1.0)?, share("guidance_end", 1.0, 1.0)?);
        if start > end {
            return Err(refuse("guidance_start", format!("{start} is behind the end, {end}")));
        }
        let weight = share("weight", 1.0, WEIGHT_MAX)?;
        if kind == Kind::IpAdapter && (start, end) != (0.0, 1.0) {
            warnings.push(format!("{field}.guidance_start: an IP-Adapter leads the whole drawing"));
        }
        for (member, value) in members {
            if READ.contains(&member.as_str()) || OF_NO_MATTER.contains(&member.as_str()) {
                continue;
            }
            if asks(member, value, preprocess.is_some()) {
                let member: String = member.chars().take(60).collect();
                warnings.push(format!("{field}.{member}: not followed here"));
            }
        }
        Ok(Unit { picture: picture(&field, members)?, kind, model, preprocess, weight, start, end, field })
    }

    /// The name of its model among those there are: as a title, with or without a hash, the ending of its file, or folders.
    fn named(&self, there: &[String]) -> Result<String, SdError> {
        let title = self.model.as_str();
        let without_hash = title.rsplit_once(" [").map_or(title, |(name, _)| name);
        let plain = without_hash.strip_suffix(".safetensors").unwrap_or(without_hash);
        let short = |known: &&String| known.rsplit('/').next() == Some(plain);
        let exact = [title, without_hash, plain].iter().find_map(|name| there.iter().find(|it| it == name));
        if let Some(name) = exact.or_else(|| there.iter().find(short)) {
            return Ok(name.clone());
        }
        let given: String = title.chars().take(100).collect();
        let what = if self.kind == Kind::Control { "ControlNet" } else { "IP-Adapter" };
        let names: Vec<&str> = there.iter().take(NAMES_MAX).map(String::as_str).collect();
        let known = if names.is_empty() { "none".into() } else { names.join(", ") };
        let reason = format!("there is no {what} {given:?}; there is {known}");
        Err(SdError::field(&format!("{}.model", self.field), reason))
    }

    /// That a picture of another shape is stretched, which `resize_mode` cannot change.
    fn stretched(&self, (width, height): (u32, u32), job: &JobRequest) -> Option<String> {
        let (wide, high) = job.width.zip(job.height)?;
        let (given, drawn) = (f64::from(width) / f64::from(height), f64::from(wide) / f64::from(high));
        let is_other = (given / drawn - 1.0).abs() > 0.02;
        (self.kind == Kind::Control && is_other).then(|| {
            format!(
                "{}.resize_mode: the picture of {width}×{height} is stretched to {wide}×{high}",
                self.field
            )
        })
    }
}

/// The picture of a unit: base64, or an object that has it beside a mask.
fn picture(field: &str, members: &Map<String, Json>) -> Result<Option<String>, SdError> {
    for member in ["image", "input_image"] {
        let given = match members.get(member) {
            Some(Json::Object(both)) => both.get("image"),
            other => other,
        };
        match given {
            None | Some(Json::Null) => {}
            Some(Json::String(text)) if text.trim().is_empty() => {}
            Some(Json::String(text)) => return Ok(Some(text.clone())),
            Some(_) => {
                return Err(SdError::field(&format!("{field}.{member}"), "is not a picture in base64"));
            }
        }
    }
    Ok(None)
}

/// Whether a member that is not followed asks for more than what is done without it.
fn asks(member: &str, value: &Json, finds_lines: bool) -> bool {
    match (member, value) {
        (_, Json::Null | Json::Bool(false)) => false,
        ("control_mode", Json::Number(mode)) => mode.as_f64() != Some(0.0),
        ("control_mode", Json::String(mode)) => mode != "Balanced",
        // Lines are found by thresholds of this server; without a search for them they mean nothing.
        ("threshold_a" | "threshold_b", Json::Number(number)) => {
            finds_lines && number.as_f64().is_some_and(|number| number > 0.0)
        }
        (_, Json::Number(number)) => number.as_f64() != Some(0.0),
        (_, Json::String(text)) => !text.trim().is_empty(),
        (_, Json::Array(items)) => !items.is_empty(),
        (_, Json::Object(members)) => !members.is_empty(),
        (_, Json::Bool(true)) => true,
    }
}

/// Whether a switch is off, which clients send as a truth value, a number or a text.
fn is_off(switch: Option<&Json>) -> bool {
    match switch {
        Some(Json::Bool(is_on)) => !is_on,
        Some(Json::Number(number)) => number.as_f64() == Some(0.0),
        Some(Json::String(text)) => {
            ["false", "0", "off", "no"].contains(&text.trim().to_ascii_lowercase().as_str())
        }
        _ => false,
    }
}

/// Takes the pictures of units out of a request that is told back, however its members are spelled.
pub(super) fn leave_out_pictures(given: &mut Json) {
    let members = given.as_object_mut().into_iter().flatten();
    let scripts = members.filter(|(name, _)| is_same_name("alwayson_scripts", name));
    let scripts = scripts.filter_map(|(_, scripts)| scripts.as_object_mut()).flatten();
    for (_, script) in scripts.filter(|(name, _)| name.eq_ignore_ascii_case(SCRIPT)) {
        let units = script.get_mut("args").and_then(Json::as_array_mut);
        for unit in units.into_iter().flatten() {
            for member in ["image", "input_image", "mask"] {
                if let Some(given) = unit.get_mut(member) {
                    *given = Json::Null;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(args: Json) -> (Result<ControlUnits, SdError>, Vec<String>) {
        let mut warnings = Vec::new();
        let scripts = json!({"ControlNet": {"args": args}, "other": {"args": []}});
        let units = ControlUnits::read(scripts.as_object().expect("an object"), &mut warnings);
        (units, warnings)
    }

    #[test]
    fn units_of_the_extension_become_guides() {
        let (units, warnings) = read(json!([
            {"enabled": false, "module": "nonesuch"}, {"enabled": 0}, {"enabled": "False"},
            {"model": "depth [abcd]", "image": "x", "weight": 0.7, "guidance_end": 0.5, "control_mode": "Balanced",
             "pixel_perfect": true, "threshold_a": 64, "resize_mode": 1, "hr_option": "Both"},
            {"module": "canny", "model": "lines", "input_image": {"image": "y", "mask": "z"}, "control_mode": 2,
             "threshold_a": 100},
            {"module": "ip-adapter_clip_sd15", "model": "plus.safetensors", "guidance_start": 0.2},
        ]));
        let units = units.expect("three units").0;
        let of = |at: usize| {
            let Unit { kind, model, preprocess, weight, picture, .. } = &units[at];
            (*kind, model.as_str(), *preprocess, *weight, picture.as_deref())
        };
        assert_eq!(of(0), (Kind::Control, "depth [abcd]", None, 0.7, Some("x")));
        assert_eq!(of(1), (Kind::Control, "lines", Some("canny"), 1.0, Some("y")));
        assert_eq!(of(2), (Kind::IpAdapter, "plus.safetensors", None, 1.0, None));
        let there = ["poses/plus".to_string(), "depth".into()];
        assert_eq!(units[0].named(&there).ok().as_deref(), Some("depth"));
        assert_eq!(units[2].named(&there).ok().as_deref(), Some("poses/plus"));
        let warned: Vec<&str> = warnings.iter().filter_map(|it| Some(it.split_once(": ")?.0)).collect();
        let args = "alwayson_scripts.ControlNet.args";
        assert_eq!(
            warned,
            [
                format!("{args}[4].control_mode"),
                format!("{args}[4].threshold_a"),
                format!("{args}[5].guidance_start")
            ]
        );
        let missing = units[1].named(&there).expect_err("none").to_string();
        assert!(
            missing.contains("args[4].model: there is no ControlNet \"lines\"; there is poses/plus"),
            "{missing}"
        );
    }

    #[test]
    fn what_cannot_lead_is_refused_by_its_place() {
        for (unit, field) in [
            (json!({"module": "openpose", "model": "pose"}), "[0].module"),
            (json!({"module": "none"}), "[0].model"),
            (json!({"model": "None"}), "[0].model"),
            (json!({"model": "x", "weight": 3}), "[0].weight"),
            (json!({"model": "x", "guidance_start": 0.9, "guidance_end": 0.1}), "[0].guidance_start"),
            (json!({"model": "x", "image": 7}), "[0].image"),
            (json!("x"), "[0]"),
        ] {
            let error = read(json!([unit])).0.expect_err("refused").to_string();
            assert!(error.starts_with(&format!("alwayson_scripts.ControlNet.args{field}: ")), "{error}");
        }
        assert!(
            read(json!({"0": {}})).0.is_err()
                && read(json!(vec![json!({}); 11])).0.is_err()
                && read(json!(vec![json!({"model": "x"}); 5])).0.is_err()
        );
    }
}
