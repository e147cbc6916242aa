//! Which LoRAs there are, and which file a name means: `loras/NAME.safetensors` in the models folder, also in folders
//! within it.

use std::path::{Path, PathBuf};

use diffusion::LoraScale;
use models::value_words::{Takes, is_not, shown, shown_text};
use serde_json::Value as Json;
use uuid::Uuid;

use super::model_choice::{DEPTH_MAX, first_names, list_safetensors};

/// The folder of LoRAs within the models folder.
pub const LORAS_FOLDER: &str = "loras";
/// The folder within it whose folders belong to the accounts after which they are named.
const ACCOUNTS: &str = "accounts";
/// LoRAs of one job at most.
pub const LORAS_MAX: usize = 8;
/// Longest name of one, in characters.
const NAME_CHARS_MAX: usize = 200;
/// Largest scale, either way.
pub const LORA_SCALE_MAX: f64 = 4.0;

/// A LoRA that a job names.
#[derive(Clone, Debug, PartialEq)]
pub struct WantedLora {
    /// Its file without the ending.
    pub name: String,
    /// How much of it; 1 is all.
    pub scale: LoraScale,
}

impl WantedLora {
    /// As a job has it: `text_scale` where the text encoders have a scale of their own, `blocks` where there are weights.
    pub fn describe(&self) -> Json {
        describe(&self.name, &self.scale)
    }
}

/// A LoRA as jobs and pictures name it.
pub(super) fn describe(name: &str, scale: &LoraScale) -> Json {
    let mut lora = serde_json::json!({"name": name, "scale": scale.unet});
    if scale.text != scale.unet {
        lora["text_scale"] = scale.text.into();
    }
    if !scale.blocks.is_empty() {
        lora["blocks"] = scale.blocks.clone().into();
    }
    lora
}

/// The LoRAs of a models folder, by name: that of the file, with the folders within before it. Those of all accounts.
pub fn list_loras(models_dir: &Path) -> Vec<(String, PathBuf)> {
    list_safetensors(&models_dir.join(LORAS_FOLDER), DEPTH_MAX)
}

/// The LoRAs that an account may know of and draw with: those outside of accounts, and its own.
pub fn loras_of(models_dir: &Path, account: Option<Uuid>) -> Vec<(String, PathBuf)> {
    let own = account.map(|account| format!("{ACCOUNTS}/{account}/"));
    let mut loras = list_loras(models_dir);
    loras.retain(|(name, _)| {
        let belongs = name.split('/').next() == Some(ACCOUNTS);
        !belongs || own.as_ref().is_some_and(|own| name.starts_with(own))
    });
    loras
}

/// What an account's LoRA is called, and where it lies; `name` has no slash.
pub(crate) fn own_lora(models_dir: &Path, account: Uuid, name: &str) -> (String, PathBuf) {
    let name = format!("{ACCOUNTS}/{account}/{name}");
    let path = models_dir.join(LORAS_FOLDER).join(format!("{name}.safetensors"));
    (name, path)
}

/// The name of the LoRA in a file of [`lora_files`], if it belongs to an account: `accounts/ACCOUNT/NAME`.
pub fn account_lora(models_dir: &Path, file: &Path) -> Option<String> {
    let within = file.strip_prefix(models_dir.join(LORAS_FOLDER)).ok()?.with_extension("");
    let parts: Option<Vec<&str>> = within.iter().map(|part| part.to_str()).collect();
    parts.filter(|parts| parts.first() == Some(&ACCOUNTS)).map(|parts| parts.join("/"))
}

/// The LoRAs that belong to accounts: account, name, file.
pub(super) fn owned_loras(models_dir: &Path) -> Vec<(Uuid, String, PathBuf)> {
    let owned = |(name, path): (String, PathBuf)| {
        let (account, _) = name.strip_prefix(ACCOUNTS)?.strip_prefix('/')?.split_once('/')?;
        Some((Uuid::parse_str(account).ok()?, name, path))
    };
    list_loras(models_dir).into_iter().filter_map(owned).collect()
}

/// Reads the LoRAs that a job asks for: `[{"name": "ink", "scale": 0.8}, "grain"]`; a bare name is all of it. The
/// message names the field.
pub fn read_loras(value: &Json) -> Result<Vec<WantedLora>, String> {
    let wanted = match value {
        Json::Null => return Ok(Vec::new()),
        Json::Array(wanted) => wanted,
        other => {
            let given = shown(other);
            return Err(format!("loras: {given} is not a list of names, or of objects with name and scale"));
        }
    };
    if wanted.len() > LORAS_MAX {
        return Err(format!("loras: {} are given; a job takes {LORAS_MAX} at most", wanted.len()));
    }
    let mut loras: Vec<WantedLora> = Vec::with_capacity(wanted.len());
    for (place, wanted) in wanted.iter().enumerate() {
        let field = |name: &str| format!("loras[{place}]{name}");
        if !wanted.is_string() && !wanted.is_object() {
            return Err(format!(
                "{}: {}",
                field(""),
                is_not(&shown(wanted), "a name, or an object with one")
            ));
        }
        let name = if wanted.is_string() { wanted } else { &wanted["name"] };
        Takes::Text.check(name).map_err(|reason| format!("{}: {reason}", field(".name")))?;
        let name = name.as_str().filter(|name| !name.is_empty());
        let name = name.ok_or_else(|| format!("{}: missing", field(".name")))?;
        if name.chars().count() > NAME_CHARS_MAX {
            return Err(format!("{}: longer than {NAME_CHARS_MAX} characters", field(".name")));
        }
        let number = |member: &str| {
            let scale = &wanted[member];
            let not_a_number = || is_not(&shown(scale), Takes::Number.words());
            let scale = match scale {
                Json::Null => return Ok(None),
                scale => scale
                    .as_f64()
                    .ok_or_else(|| format!("{}: {}", field(&format!(".{member}")), not_a_number()))?,
            };
            match (-LORA_SCALE_MAX..=LORA_SCALE_MAX).contains(&scale) {
                true => Ok(Some(scale)),
                false => {
                    let limits = format!("{scale} is not within -{LORA_SCALE_MAX} to {LORA_SCALE_MAX}");
                    Err(format!("{}: {limits}", field(&format!(".{member}"))))
                }
            }
        };
        let scale = match wanted.is_string() {
            true => LoraScale::from(1.0),
            false => {
                let unet = number("scale")?.or(number("weight")?).unwrap_or(1.0);
                let text = number("text_scale")?.unwrap_or(unet);
                let blocks =
                    blocks(&wanted["blocks"]).map_err(|error| format!("{}: {error}", field(".blocks")))?;
                LoraScale { unet, text, blocks }
            }
        };
        if loras.iter().any(|lora| lora.name == name) {
            return Err(format!("{}: {name:?} is given twice", field(".name")));
        }
        loras.push(WantedLora { name: name.into(), scale });
    }
    Ok(loras)
}

/// Weights of blocks.
fn blocks(value: &Json) -> Result<Vec<f64>, String> {
    let list = match value {
        Json::Null => return Ok(Vec::new()),
        Json::Array(list) => list,
        other => return Err(is_not(&shown(other), "a list of numbers")),
    };
    let weight = |weight: &Json| {
        let within = |weight: &f64| (-LORA_SCALE_MAX..=LORA_SCALE_MAX).contains(weight);
        weight
            .as_f64()
            .filter(within)
            .ok_or_else(|| format!("{} is not a number within ±{LORA_SCALE_MAX}", shown(weight)))
    };
    let blocks: Vec<f64> = list.iter().map(weight).collect::<Result<_, _>>()?;
    match blocks.is_empty() || LoraScale::BLOCKS.contains(&blocks.len()) {
        true => Ok(blocks),
        false => Err(format!("{} weights are given; {:?} are taken", blocks.len(), LoraScale::BLOCKS)),
    }
}

/// How prompts begin the name of a LoRA: A1111's own word, and that of the extension for LyCORIS.
const TAGS: [&str; 2] = ["<lora:", "<lyco:"];

/// The LoRAs that a prompt names as A1111 writes them, `<lora:ink:0.8>` or `<lora:ink>`, and the prompt without them.
/// `<lora:ink:0.8:0.5>` is 0.8 of the text encoders and 0.5 of the UNet, also as `te=0.8` and `unet=0.5`; a list of
/// weights, `<lora:ink:1:0,0,1,…>` or `lbw=0,0,1,…`, is that of `sd-webui-lora-block-weight`. The message says which of them
/// cannot be read.
pub fn lora_tags(prompt: &str) -> Result<(String, Vec<WantedLora>), String> {
    let (mut words, mut loras) = (String::new(), Vec::new());
    let mut rest = prompt;
    while let Some(at) = TAGS.iter().filter_map(|tag| rest.find(tag)).min() {
        let Some(end) = rest[at..].find('>') else { break };
        let tag = &rest[at..at + end + 1];
        // Both words have one length.
        let inner = &tag[TAGS[0].len()..tag.len() - 1];
        let lora = read_tag(inner).map_err(|reason| format!("{tag} {reason}"))?;
        if loras.len() >= LORAS_MAX {
            return Err(format!("more than {LORAS_MAX} LoRAs"));
        }
        loras.push(lora);
        words.push_str(&rest[..at]);
        rest = &rest[at + end + 1..];
        // The space before a tag and the one after it were one gap.
        if words.is_empty() || words.ends_with(char::is_whitespace) {
            rest = rest.trim_start();
        }
    }
    words.push_str(rest);
    let words = if loras.is_empty() { words } else { words.trim_end().to_string() };
    Ok((words, loras))
}

/// `NAME:SCALE:SCALE:name=value…`
fn read_tag(inner: &str) -> Result<WantedLora, String> {
    let form = || {
        format!(
            "is not <lora:NAME:SCALE>, <lora:NAME:TEXT:UNET> or one with lbw=…, each scale within ±{LORA_SCALE_MAX}"
        )
    };
    let mut parts = inner.split(':');
    let name = parts.next().map(str::trim).filter(|name| !name.is_empty()).ok_or_else(form)?;
    let (mut scales, mut text, mut unet, mut weights) = (Vec::new(), None, None, Vec::new());
    let number = |part: &str| {
        let number = part.trim().parse::<f64>().ok();
        number.filter(|scale| (-LORA_SCALE_MAX..=LORA_SCALE_MAX).contains(scale)).ok_or_else(form)
    };
    for part in parts {
        match part.split_once('=').map(|(key, value)| (key.trim(), value)) {
            Some(("te", value)) => text = Some(number(value)?),
            Some(("unet", value)) => unet = Some(number(value)?),
            Some(("lbw", value)) => weights = block_weights(value)?,
            Some((key, _)) => return Err(format!("asks for {key}, which is not done here")),
            None if part.contains(',') => weights = block_weights(part)?,
            None => scales.push(number(part)?),
        }
    }
    if scales.len() > 2 {
        return Err(form());
    }
    let text = text.or(scales.first().copied()).unwrap_or(1.0);
    let unet = unet.or(scales.get(1).copied()).unwrap_or(text);
    let blocks = blocks(&weights.into())?;
    Ok(WantedLora { name: name.into(), scale: LoraScale { unet, text, blocks } })
}

/// Numbers, or one of the names that the extension has for lists of 17.
fn block_weights(text: &str) -> Result<Vec<f64>, String> {
    const NAMED: [(&str, &str); 9] = [
        ("NONE", "00000000000000000"),
        ("ALL", "11111111111111111"),
        ("INS", "11100000000000000"),
        ("IND", "10001110000000000"),
        ("INALL", "11111110000000000"),
        ("MIDD", "10001111111100000"),
        ("OUTD", "10000000111100000"),
        ("OUTS", "10000000000011111"),
        ("OUTALL", "10000000111111111"),
    ];
    let text = text.trim();
    if let Some((_, digits)) = NAMED.iter().find(|(name, _)| *name == text) {
        return Ok(digits.chars().map(|digit| if digit == '1' { 1.0 } else { 0.0 }).collect());
    }
    let number = |part: &str| part.trim().parse::<f64>().ok().filter(|number| number.is_finite());
    text.split(',').map(number).collect::<Option<_>>().ok_or_else(|| {
        let names: Vec<&str> = NAMED.iter().map(|(name, _)| *name).collect();
        format!("has weights of blocks that are neither numbers nor one of {}", names.join(", "))
    })
}

/// The files behind the names, as far as `account` may use them. Names come from clients: only listed files are opened.
///
/// A name may leave out the folders before it where only one file has it.
pub fn lora_files(
    models_dir: &Path,
    account: Option<Uuid>,
    wanted: &[WantedLora],
) -> Result<Vec<(PathBuf, LoraScale)>, String> {
    if wanted.is_empty() {
        return Ok(Vec::new());
    }
    let there = loras_of(models_dir, account);
    let file = |(place, lora): (usize, &WantedLora)| {
        let stem = |name: &str| name.rsplit('/').next() == Some(lora.name.as_str());
        let exact = there.iter().find(|(name, _)| *name == lora.name);
        let alike: Vec<&(String, PathBuf)> = there.iter().filter(|(name, _)| stem(name)).collect();
        if exact.is_none() && alike.len() > 1 {
            let names: Vec<String> = alike.iter().map(|(name, _)| name.clone()).collect();
            let names = first_names(&names);
            return Err(format!("loras[{place}].name: {} may be {names}", shown_text(&lora.name)));
        }
        let found = exact.or(alike.first().copied());
        found.map(|(_, path)| (path.clone(), lora.scale.clone())).ok_or_else(|| {
            let names: Vec<String> = there.iter().map(|(name, _)| name.clone()).collect();
            let names = match names.as_slice() {
                [] => format!("the models folder has none in {LORAS_FOLDER}/"),
                names => format!("there is {}", first_names(names)),
            };
            format!("loras[{place}].name: there is no LoRA {} here; {names}", shown_text(&lora.name))
        })
    };
    wanted.iter().enumerate().map(file).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn lists_are_read_and_what_is_wrong_is_named() {
        let loras =
            read_loras(&json!([{"name": "ink", "scale": -0.5}, "grain", {"name": "dust", "weight": 2}]));
        let loras = loras.expect("they read").into_iter().map(|lora| (lora.name, lora.scale.unet));
        assert_eq!(
            loras.collect::<Vec<_>>(),
            [("ink".to_string(), -0.5), ("grain".into(), 1.0), ("dust".into(), 2.0)]
        );
        for (wrong, field) in [
            (json!("ink"), "loras:"),
            (json!([{"scale": 1}]), "loras[0].name"),
            (json!([{"name": ""}]), "loras[0].name"),
            (json!(["a", {"name": "b", "scale": "much"}]), "loras[1].scale"),
            (json!([{"name": "b", "scale": 1e300}]), "loras[0].scale"),
            (json!(["a", "a"]), "loras[1].name"),
            (json!(vec!["a"; 9]), "loras:"),
        ] {
            let error = read_loras(&wrong).expect_err("refused");
            assert!(error.starts_with(field), "{error}");
        }
    }

    #[test]
    fn a_prompt_may_name_loras() {
        let (words, loras) =
            lora_tags("<lora:a b>a cat <lora:ink:0.5> on a mat <lora:dust:-1>").expect("it reads");
        assert_eq!(words, "a cat on a mat");
        let loras: Vec<(&str, f64)> =
            loras.iter().map(|lora| (lora.name.as_str(), lora.scale.unet)).collect();
        assert_eq!(loras, [("a b", 1.0), ("ink", 0.5), ("dust", -1.0)]);
        for plain in ["a <lora: cat", "5 > 3, <hypernet:x:1>", " a "] {
            assert_eq!(lora_tags(plain).expect("it reads"), (plain.to_string(), Vec::new()));
        }
        for wrong in ["<lora:ink:much>", "<lora:ink:99>", "<lora::1>", "<lora:ink:1:2:3>"] {
            assert!(lora_tags(wrong).expect_err("refused").starts_with(wrong));
        }
    }

    #[test]
    fn tags_have_scales_of_text_and_blocks() {
        let read = |tag: &str| {
            let (words, mut loras) = lora_tags(tag).unwrap_or_else(|error| panic!("{error}"));
            assert_eq!((words.as_str(), loras.len()), ("", 1), "{tag}");
            loras.remove(0)
        };
        let zeros = ["0"; 15].join(",");
        for (tag, name, text, unet, blocks) in [
            ("<lora:ink:0.8:0.5>".to_string(), "ink", 0.8, 0.5, 0),
            ("<lyco:ink:0.8>".into(), "ink", 0.8, 0.8, 0),
            ("<lora:a/ink:te=0.2:unet=0.4>".into(), "a/ink", 0.2, 0.4, 0),
            ("<lora:ink:0.7:unet=0.4>".into(), "ink", 0.7, 0.4, 0),
            (format!("<lora:ink:1:1,{zeros},1>"), "ink", 1.0, 1.0, 17),
            (format!("<lora:ink:0.5:0.25:lbw=1,{zeros},1>"), "ink", 0.5, 0.25, 17),
            ("<lora:ink:1:lbw=OUTALL>".into(), "ink", 1.0, 1.0, 17),
            ("<lyco:ink:1:1,0,0,0,0,0,0,0,0,0,0,1>".into(), "ink", 1.0, 1.0, 12),
        ] {
            let lora = read(&tag);
            let scale = (lora.scale.text, lora.scale.unet, lora.scale.blocks.len());
            assert_eq!((lora.name.as_str(), scale), (name, (text, unet, blocks)), "{tag}");
            // What a job stores means the same.
            assert_eq!(read_loras(&json!([lora.describe()])).expect("it reads"), [lora]);
        }
        for (wrong, reason) in [
            ("<lora:ink:1:1,0>", "2 weights"),
            ("<lora:ink:1:lbw=ODD>", "OUTALL"),
            ("<lora:ink:1:dyn=64>", "dyn"),
            ("<lora:ink:1:start=3>", "start"),
            ("<lyco:ink:9>", "±4"),
        ] {
            let error = lora_tags(wrong).expect_err("refused");
            assert!(error.starts_with(wrong) && error.contains(reason), "{error}");
        }
        for (wrong, field) in [
            (json!([{"name": "b", "text_scale": "much"}]), "loras[0].text_scale"),
            (json!([{"name": "b", "blocks": [1, 2]}]), "loras[0].blocks"),
            (json!([{"name": "b", "blocks": 7}]), "loras[0].blocks"),
        ] {
            assert!(read_loras(&wrong).expect_err("refused").starts_with(field));
        }
    }

    #[test]
    fn files_of_accounts_are_known_by_their_place() {
        let folder = Path::new("models");
        let (name, path) = own_lora(folder, Uuid::from_u128(7), "zum.v2");
        assert_eq!(account_lora(folder, &path), Some(name));
        assert_eq!(account_lora(folder, &folder.join("loras/styles/ink.safetensors")), None);
        assert_eq!(account_lora(folder, Path::new("other/accounts/a/b.safetensors")), None);
    }

    #[test]
    fn folders_within_are_looked_into_and_may_be_left_out() {
        let folder = tempfile::tempdir().expect("a folder");
        for path in ["loras/ink", "loras/styles/grain", "loras/styles/old/dust", "loras/other/dust"] {
            let path = folder.path().join(format!("{path}.safetensors"));
            std::fs::create_dir_all(path.parent().expect("a parent")).expect("a folder");
            std::fs::write(path, b"").expect("a file");
        }
        let names: Vec<String> = list_loras(folder.path()).into_iter().map(|(name, _)| name).collect();
        assert_eq!(names, ["ink", "other/dust", "styles/grain", "styles/old/dust"]);
        let files = |name: &str| {
            lora_files(folder.path(), None, &[WantedLora { name: name.into(), scale: 1.0.into() }])
        };
        for name in ["ink", "grain", "styles/grain", "other/dust", "styles/old/dust"] {
            assert_eq!(files(name).map(|files| files.len()), Ok(1), "{name}");
        }
        let error = files("dust").expect_err("two are called so");
        assert!(error.contains("other/dust") && error.contains("styles/old/dust"), "{error}");
        assert!(files("styles").is_err() && files("old/dust").is_err());
    }

    #[test]
    fn only_listed_files_are_opened() {
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::create_dir(folder.path().join(LORAS_FOLDER)).expect("a folder");
        std::fs::write(folder.path().join("secret.safetensors"), b"").expect("a file");
        std::fs::write(folder.path().join("loras/ink.safetensors"), b"").expect("a file");
        let files = |name: &str| {
            lora_files(folder.path(), None, &[WantedLora { name: name.into(), scale: 1.0.into() }])
        };
        assert_eq!(files("ink").expect("it is there").len(), 1);
        for name in ["../secret", "ink.safetensors", "/etc/passwd", "INK", "loras/ink"] {
            let error = files(name).expect_err("refused");
            assert!(error.starts_with("loras[0].name") && error.ends_with("there is ink"), "{error}");
        }
    }

    #[test]
    fn a_lora_of_an_account_is_for_that_account_alone() {
        let folder = tempfile::tempdir().expect("a folder");
        let (owner, other) = (Uuid::from_u128(1), Uuid::from_u128(2));
        for name in ["ink".to_string(), format!("accounts/{owner}/zum"), "accounts/lost".into()] {
            let path = folder.path().join("loras").join(format!("{name}.safetensors"));
            std::fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
            std::fs::write(path, b"").expect("a file");
        }
        let whole = format!("accounts/{owner}/zum");
        let names =
            |account| loras_of(folder.path(), account).into_iter().map(|(name, _)| name).collect::<Vec<_>>();
        assert_eq!(names(Some(owner)), [whole.clone(), "ink".into()]);
        assert_eq!(names(Some(other)), ["ink"]);
        assert_eq!(names(None), ["ink"]);
        for name in ["zum", whole.as_str()] {
            let of = |account| {
                lora_files(folder.path(), account, &[WantedLora { name: name.into(), scale: 1.0.into() }])
            };
            assert_eq!(of(Some(owner)).expect("its own").len(), 1);
            assert!(of(Some(other)).expect_err("refused").ends_with("there is ink"));
            assert!(of(None).is_err());
        }
    }
}
