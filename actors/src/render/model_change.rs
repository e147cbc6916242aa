//! Adding to a models folder, and taking away from it.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use diffusion::{Lora, ModelSource, name_of};
use language::weights::gguf_files::all_parts;
use serde_json::{Value as Json, json};

use super::embedding_choice::list_embeddings;
use super::guide_choice::{list_controlnets, list_image_encoders, list_ip_adapters};
use super::lora_choice::list_loras;
use super::mistaken_file::mistaken_for;
use super::model_choice::{STARTER, list_models};
use super::model_folder::{PARTIAL, describe, no_model};
use super::motion_choice::list_motion_modules;
use super::part_kind::{PartKind, unknown};
use super::upscaler_choice::list_upscalers;
use super::vae_choice::list_vaes;
use crate::language::{is_chat_model, list_chat_models};

/// Copies a picture model (a diffusers folder, or a single file with the folder of its configuration where it has one),
/// a chat model, or what stands beside models to its place in the models folder, under its own name. The kind of the latter is
/// read from its tensors unless it is given. Nothing is added unless it can be loaded, and nothing that is there is replaced.
pub fn add_model(models_dir: &Path, from: &Path, kind: Option<PartKind>) -> Result<Json, String> {
    let (parts, added) = looked_over(models_dir, from, kind, false)?;
    copy_all(models_dir, &parts)?;
    Ok(added)
}

/// The same of a file that was made for it on the same disk, such as one that was fetched: it is moved, not copied.
pub fn take_model(models_dir: &Path, file: &Path, kind: Option<PartKind>) -> Result<Json, String> {
    let (parts, added) = looked_over(models_dir, file, kind, true)?;
    for (from, to) in &parts {
        let folder = to.parent().unwrap_or(models_dir);
        if to.exists() {
            return Err(format!("{} is there already", to.display()));
        }
        let moved = fs::create_dir_all(folder)
            .and_then(|()| fs::File::open(from)?.sync_all())
            .and_then(|()| fs::rename(from, to))
            .and_then(|()| fs::File::open(folder)?.sync_all());
        moved.map_err(|error| format!("it cannot be moved to {}: {error}", to.display()))?;
    }
    Ok(added)
}

/// What is put where to add a model, and what is said of it; an error where it cannot be loaded or its name is taken.
fn looked_over(
    models_dir: &Path,
    from: &Path,
    kind: Option<PartKind>,
    is_working_file: bool,
) -> Result<(Vec<(PathBuf, PathBuf)>, Json), String> {
    // What `.`, `..` and links are called where they lead.
    let path = fs::canonicalize(from).map_err(|error| match error.kind() {
        ErrorKind::NotFound => format!("there is no file or folder {}", from.display()),
        _ => format!("{}: {error}", from.display()),
    })?;
    let name = path.file_name().ok_or_else(|| format!("{} has no name", from.display()))?;
    let is_inside = fs::canonicalize(models_dir).is_ok_and(|folder| path.starts_with(folder));
    if is_inside && !is_working_file {
        return Err(format!("{} lies in the models folder already", from.display()));
    }
    if let Some(kind) = kind.or_else(|| PartKind::of(&path)) {
        let reason = |reason: String| said(from, &path, mistaken_for(&path).map_or(reason, str::to_string));
        let (file, name) = match kind {
            PartKind::Vae if path.is_dir() => vae_within(&path).map_err(reason)?,
            _ => (path.clone(), PathBuf::from(name)),
        };
        kind.check(&file).map_err(reason)?;
        let parts = vec![(file, models_dir.join(kind.folder()).join(name))];
        return Ok((parts, json!({"added": name_of(&path).unwrap_or_default(), "type": kind.name()})));
    }
    if is_chat_model(&path) {
        let files = language::ModelFiles::open(&path).map_err(|error| {
            said(from, &path, mistaken_for(&path).map_or_else(|| error.to_string(), str::to_string))
        })?;
        if list_chat_models(models_dir).iter().any(|known| language::model_name(known) == files.name) {
            return Err(already("chat model", &files.name));
        }
        // The first part of a split model counts as one as soon as it is there, so it comes last.
        let files_of_it = if path.is_file() { all_parts(&path) } else { vec![path.clone()] };
        let placed = |file: PathBuf| Some((file.clone(), models_dir.join(file.file_name()?)));
        let parts = files_of_it.into_iter().rev().filter_map(placed).collect();
        return Ok((parts, json!({"added": files.name, "type": "chat"})));
    }
    if let Some(reason) = no_model(&path) {
        return Err(format!("{} {reason}", from.display()));
    }
    let lora = if path.is_file() { Some(Lora::open(&path)) } else { None };
    let source =
        ModelSource::at(&path).map_err(|error| match (mistaken_for(&path), lora, error.to_string()) {
            (Some(reason), ..) => said(from, &path, reason.into()),
            // It is one, of a form that is not read.
            (_, Some(Err(lora)), error) if error.contains("a LoRA,") => lora.to_string(),
            (.., error) => {
                said(from, &path, unknown(&path).map_or(error.clone(), |it| format!("{error}; {it}")))
            }
        })?;
    let added = name_of(&path).unwrap_or_default();
    if list_models(models_dir).iter().any(|model| model.name == added) {
        return Err(already("picture model", &added));
    }
    let inspection =
        diffusion::weights::inspect(&source).map_err(|error| said(from, &path, error.to_string()))?;
    if !inspection.is_sound() {
        let found = describe("", &source, Ok(inspection));
        return Err(format!("{} cannot be loaded as a picture model: {found}", from.display()));
    }
    // A file counts as a model as soon as it is there, so what it needs comes first.
    let mut parts = Vec::new();
    if let ModelSource::Checkpoint { config: Some(config), .. } = &source {
        parts.push((config.clone(), models_dir.join(Path::new(name).with_extension(""))));
    }
    parts.push((path.clone(), models_dir.join(name)));
    Ok((parts, json!({"added": added, "type": "image", "weights_hash": inspection.weights_hash})))
}

/// The weights of a folder with a VAE's configuration, and what they are called as the file that VAEs are here.
fn vae_within(folder: &Path) -> Result<(PathBuf, PathBuf), String> {
    let mut name = folder.file_name().unwrap_or_default().to_os_string();
    name.push(".safetensors");
    let entries = fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    let mut files = entries.filter(|path| path.extension().is_some_and(|ending| ending == "safetensors"));
    match (files.next(), files.next()) {
        (Some(file), None) => Ok((file, name.into())),
        (None, _) => Err("is a folder of a VAE without a .safetensors file".into()),
        _ => Err("is a folder of a VAE with several .safetensors files: name one".into()),
    }
}

/// What is wrong with the file or folder that was named, under the name that it was given.
fn said(from: &Path, path: &Path, reason: String) -> String {
    let (from, path) = (from.display(), path.display().to_string());
    match reason.strip_prefix(&path) {
        Some(rest) => format!("{from}{rest}"),
        None if reason.starts_with("is ") => format!("{from} {reason}"),
        None => format!("{from}: {reason}"),
    }
}

fn already(kind: &str, name: &str) -> String {
    format!("a {kind} named {name} is there already: remove it, or give the new one another name")
}

/// What stands beside models in a folder of its own kind, by name; picture encoders too.
pub fn parts_of(models_dir: &Path) -> Vec<(PartKind, String, PathBuf)> {
    let root = models_dir.join(PartKind::IpAdapter.folder());
    let encoder = |folder: PathBuf| {
        let name = folder.strip_prefix(&root).ok()?.to_str()?.replace('\\', "/");
        Some((name, folder))
    };
    let encoders = list_image_encoders(models_dir).into_iter().filter_map(encoder).collect();
    let all = [
        (PartKind::Lora, list_loras(models_dir)),
        (PartKind::Embedding, list_embeddings(models_dir)),
        (PartKind::ControlNet, list_controlnets(models_dir)),
        (PartKind::IpAdapter, list_ip_adapters(models_dir)),
        (PartKind::IpAdapter, encoders),
        (PartKind::Vae, list_vaes(models_dir)),
        (PartKind::Upscaler, list_upscalers(models_dir)),
        (PartKind::Motion, list_motion_modules(models_dir)),
    ];
    let of = |(kind, list): (PartKind, Vec<(String, PathBuf)>)| {
        list.into_iter().map(move |(name, path)| (kind, name, path))
    };
    all.into_iter().flat_map(of).collect()
}

/// Removes a picture model with the configuration that serves it alone, a chat model, or what stands beside models. Where two of
/// them share a name, that of its folder before it says which, such as `loras/NAME`; a chat model may be called by its file's
/// whole name.
pub fn remove_model(models_dir: &Path, name: &str) -> Result<Json, String> {
    if name == STARTER {
        return Err("starter is part of the program and stays".into());
    }
    let mut found: Vec<(&str, Vec<PathBuf>)> = Vec::new();
    for model in list_models(models_dir).into_iter().filter(|model| model.name == name) {
        let paths = match model.source {
            ModelSource::Starter => continue,
            ModelSource::Folder(folder) => vec![folder],
            ModelSource::Checkpoint { file, config } => {
                let own = config.filter(|config| *config == file.with_extension(""));
                std::iter::once(file).chain(own).collect()
            }
        };
        found.push(("image", paths));
    }
    let parts = parts_of(models_dir);
    for (kind, known, path) in &parts {
        let within = name.strip_prefix(kind.folder()).and_then(|rest| rest.strip_prefix('/'));
        if known == name || Some(known.as_str()) == within {
            found.push((kind.name(), vec![path.clone()]));
        }
    }
    for path in list_chat_models(models_dir) {
        if language::model_name(&path) == name || path.file_name().is_some_and(|file| file == name) {
            found.push(("chat", vec![path]));
        }
    }
    let (kind, paths) = match found.as_slice() {
        [one] => one,
        [] => {
            let known = [
                list_models(models_dir).into_iter().skip(1).map(|model| model.name).collect::<Vec<_>>(),
                parts.iter().map(|(kind, name, _)| format!("{}/{name}", kind.folder())).collect(),
                list_chat_models(models_dir).iter().map(|path| language::model_name(path)).collect(),
            ];
            let known = known.concat();
            let known = if known.is_empty() { "none at all".into() } else { known.join(", ") };
            return Err(format!("there is no model {name:?} in {}; there is {known}", models_dir.display()));
        }
        several => {
            let paths: Vec<String> =
                several.iter().flat_map(|(_, paths)| paths).map(|path| path.display().to_string()).collect();
            return Err(format!("{name:?} may mean each of {}", paths.join(", ")));
        }
    };
    for path in paths {
        remove(path).map_err(|error| format!("{} cannot be removed: {error}", path.display()))?;
    }
    Ok(json!({"removed": name, "type": kind, "paths": paths}))
}

/// Removes a file or a folder with all it holds. A link goes, not what it leads to.
fn remove(path: &Path) -> std::io::Result<()> {
    if path.is_dir() && !path.is_symlink() { fs::remove_dir_all(path) } else { fs::remove_file(path) }
}

/// Copies files and folders to names where nothing is: all of them, on the disk, or none. The models folder is made if
/// the folder around it is there.
fn copy_all(models_dir: &Path, parts: &[(PathBuf, PathBuf)]) -> Result<(), String> {
    if let Some((_, there)) = parts.iter().find(|(_, to)| to.exists()) {
        return Err(format!(
            "{} is there already: remove it, or give the new one another name",
            there.display()
        ));
    }
    let make = |folder: &Path| match folder.is_dir() {
        true => Ok(()),
        false => {
            fs::create_dir(folder).map_err(|error| format!("{} cannot be made: {error}", folder.display()))
        }
    };
    make(models_dir)?;
    for (number, (from, to)) in parts.iter().enumerate() {
        let folder = to.parent().unwrap_or(models_dir);
        let copied = make(folder).and_then(|()| {
            place(from, to, folder)
                .map_err(|error| format!("{} cannot be copied to {}: {error}", from.display(), to.display()))
        });
        if let Err(mut reason) = copied {
            for (_, there) in parts[..number].iter().rev() {
                if let Err(error) = remove(there) {
                    reason = format!("{reason}; {} stays: {error}", there.display());
                }
            }
            return Err(reason);
        }
    }
    Ok(())
}

/// Copies a file or a folder to a name where nothing is; it is there once it is on the disk.
fn place(from: &Path, to: &Path, folder: &Path) -> std::io::Result<()> {
    // A copy that breaks off leaves a name that is no model's.
    let mut partial = to.to_path_buf().into_os_string();
    partial.push(PARTIAL);
    let partial = PathBuf::from(partial);
    if let Err(error) = copy(from, &partial).and_then(|()| fs::rename(&partial, to)) {
        let _ = remove(&partial);
        return Err(error);
    }
    fs::File::open(folder)?.sync_all()
}

/// Copies a file, or a folder with all it holds; links are followed once, as their targets.
fn copy(from: &Path, to: &Path) -> std::io::Result<()> {
    if from.is_file() {
        fs::copy(from, to)?;
        return fs::File::open(to)?.sync_all();
    }
    if !from.is_dir() {
        // Reading a pipe would wait for a writer.
        return Err(std::io::Error::other(format!("{} is neither a file nor a folder", from.display())));
    }
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        copy(&entry.path(), &to.join(entry.file_name()))?;
    }
    fs::File::open(to)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fixture(name: &str) -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures").join(name)
    }

    #[test]
    fn a_dot_in_a_folders_name_stays() {
        let folder = tempfile::tempdir().expect("a folder");
        let from = folder.path().join("dream-v1.5");
        copy(&fixture("goldens/sd15-tiny"), &from).expect("a model");
        let target = folder.path().join("models");
        assert_eq!(add_model(&target, &from, None).expect("it is added")["added"], "dream-v1.5");
        let names = || list_models(&target).into_iter().map(|model| model.name).collect::<Vec<_>>();
        assert_eq!(names(), ["starter", "dream-v1.5"]);
        assert!(add_model(&target, &from, None).unwrap_err().contains("is there already"));
        assert_eq!(remove_model(&target, "dream-v1.5").expect("it is removed")["type"], "image");
        assert_eq!(names(), ["starter"]);
    }

    #[test]
    fn a_file_that_was_fetched_is_moved_to_its_place_if_it_is_a_model() {
        let folder = tempfile::tempdir().expect("a folder");
        let target = folder.path().join("models");
        let work = target.join(".work");
        fs::create_dir_all(&work).expect("a folder");
        let file = work.join("ink.safetensors");
        fs::copy(fixture("goldens/lora/kohya.safetensors"), &file).expect("a LoRA");
        assert!(add_model(&target, &file, None).unwrap_err().contains("lies in the models folder already"));
        assert_eq!(take_model(&target, &file, None).expect("it is taken")["added"], "ink");
        assert!(!file.exists() && list_loras(&target).len() == 1);
        fs::write(&file, b"no model").expect("a file");
        assert!(take_model(&target, &file, None).is_err());
        assert!(file.exists());
    }

    #[test]
    fn each_kind_goes_to_its_place_and_away_again() {
        let folder = tempfile::tempdir().expect("a folder");
        let target = folder.path().join("models");
        let lora = fixture("goldens/lora/kohya.safetensors");
        assert_eq!(add_model(&target, &lora, None).expect("it is added")["type"], "lora");
        assert_eq!(list_loras(&target).len(), 1);
        assert_eq!(list_models(&target).len(), 1, "a LoRA is no model");
        let chat = fixture("language/llama-tiny");
        assert_eq!(add_model(&target, &chat, None).expect("it is added")["type"], "chat");
        assert_eq!(list_chat_models(&target).len(), 1);
        for (from, kind, place) in [
            (
                "goldens/textual-inversion/zebrahat.safetensors",
                "embedding",
                "embeddings/zebrahat.safetensors",
            ),
            (
                "goldens/controlnet/sd15-controlnet-a",
                "controlnet",
                "controlnet/sd15-controlnet-a/config.json",
            ),
            (
                "goldens/ip-adapter/ip-adapter_sd15.safetensors",
                "ip_adapter",
                "ip_adapter/ip-adapter_sd15.safetensors",
            ),
        ] {
            assert_eq!(add_model(&target, &fixture(from), None).expect("it is added")["type"], kind);
            assert!(target.join(place).is_file(), "{place}");
            let name = Path::new(from).file_stem().and_then(|stem| stem.to_str()).expect("a name");
            assert_eq!(remove_model(&target, name).expect("it is removed")["type"], kind);
            assert!(!target.join(place).exists(), "{place}");
        }
        // A kind that is given wins, if the file can be read as such.
        let unet = fixture("goldens/sd15-tiny/unet/diffusion_pytorch_model.safetensors");
        let refused = add_model(&target, &unet, None).unwrap_err();
        assert!(refused.contains("conv_in.bias") && refused.contains("none of lora"), "{refused}");
        assert!(add_model(&target, &unet, Some(PartKind::Lora)).is_err());
        let refused = add_model(&target, &unet, Some(PartKind::Vae)).unwrap_err();
        assert!(refused.contains("no tensors of a vae"), "{refused}");
        assert_eq!(
            add_model(&target, &fixture("goldens/sd15-tiny/vae"), None).expect("added")["type"],
            "vae"
        );
        assert!(target.join("vae/vae.safetensors").is_file(), "a VAE is a file here");
        assert_eq!(remove_model(&target, "vae/vae").expect("it goes")["type"], "vae");
        let vae = fixture("goldens/sd15-tiny/vae/diffusion_pytorch_model.safetensors");
        assert_eq!(add_model(&target, &vae, Some(PartKind::Vae)).expect("it is added")["type"], "vae");
        assert_eq!(remove_model(&target, "vae/diffusion_pytorch_model").expect("it goes")["type"], "vae");

        assert!(remove_model(&target, "../models/loras/kohya").is_err());
        assert!(remove_model(&target, "starter").unwrap_err().contains("part of the program"));
        assert!(remove_model(&target, "none").unwrap_err().contains("no model"));
        assert_eq!(remove_model(&target, "loras/kohya").expect("it is removed")["type"], "lora");
        assert_eq!(remove_model(&target, "llama-tiny").expect("it is removed")["type"], "chat");
        assert!(list_loras(&target).is_empty() && list_chat_models(&target).is_empty());
    }

    #[test]
    fn what_is_copied_in_part_leaves_nothing() {
        let folder = tempfile::tempdir().expect("a folder");
        let target = folder.path().join("models");
        let config = folder.path().join("config");
        fs::create_dir(&config).expect("a folder");
        fs::write(config.join("model_index.json"), b"{}").expect("a file");
        let parts = [
            (config, target.join("dream")),
            (folder.path().join("missing"), target.join("dream.safetensors")),
        ];
        assert!(copy_all(&target, &parts).unwrap_err().contains("missing cannot be copied"));
        assert_eq!(fs::read_dir(&target).expect("the folder").count(), 0);
    }

    #[test]
    fn a_name_of_two_things_removes_neither() {
        let folder = tempfile::tempdir().expect("a folder");
        fs::create_dir_all(folder.path().join("loras")).expect("a folder");
        for file in ["loras/ink.safetensors", "ink.gguf"] {
            fs::write(folder.path().join(file), b"x").expect("a file");
        }
        assert!(remove_model(folder.path(), "ink").unwrap_err().contains("ink.gguf"));
        assert_eq!(remove_model(folder.path(), "ink.gguf").expect("it is removed")["type"], "chat");
        assert_eq!(remove_model(folder.path(), "ink").expect("it is removed")["type"], "lora");
    }

    #[test]
    fn what_is_no_model_is_not_added() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("bad.safetensors");
        fs::write(&file, b"not a model").expect("a file");
        let target = folder.path().join("models");
        assert!(add_model(&target, &file, None).is_err());
        assert!(!target.exists());
        for (name, reason) in [
            ("nothing", "there is no file or folder"),
            ("empty", "an empty folder"),
            ("empty.safetensors", "an empty file"),
            ("note.txt", ".safetensors"),
            ("around", "lie within it: around/sd15-tiny"),
        ] {
            match name {
                "nothing" => {}
                "empty" => fs::create_dir(folder.path().join(name)).expect("a folder"),
                "around" => {
                    fs::create_dir(folder.path().join(name)).expect("a folder");
                    copy(&fixture("goldens/sd15-tiny"), &folder.path().join("around/sd15-tiny"))
                        .expect("a model");
                }
                "note.txt" => fs::write(folder.path().join(name), b"hello").expect("a file"),
                _ => fs::write(folder.path().join(name), b"").expect("a file"),
            }
            let said = add_model(&target, &folder.path().join(name), None).expect_err("it is refused");
            assert!(said.contains(reason), "{said}");
        }
        assert!(!target.exists());
    }

    #[test]
    fn a_name_that_is_taken_and_a_folder_that_cannot_be_written_are_said() {
        let folder = tempfile::tempdir().expect("a folder");
        let target = folder.path().join("models");
        let model = fixture("goldens/sd15-tiny");
        add_model(&target, &model, None).expect("it is added");
        // A link to a model is added under the name of what it leads to, and another of that name is refused.
        let link = folder.path().join("link");
        std::os::unix::fs::symlink(&model, &link).expect("a link");
        assert!(add_model(&target, &link, None).unwrap_err().contains("picture model named sd15-tiny"));
        assert!(
            add_model(&target, &target.join("sd15-tiny"), None).unwrap_err().contains("in the models folder")
        );
        let said = remove_model(&target, "sd15-tini").unwrap_err();
        assert!(said.ends_with("there is sd15-tiny"), "{said}");
        // A file where the folder should be cannot be written to by anyone.
        let file = folder.path().join("file");
        fs::write(&file, b"x").expect("a file");
        let said = add_model(&file.join("models"), &model, None).unwrap_err();
        assert!(said.contains("file/models cannot be made"), "{said}");
        std::os::unix::fs::symlink(&model, target.join("linked")).expect("a link");
        assert_eq!(remove_model(&target, "linked").expect("it is removed")["type"], "image");
        assert!(model.join("model_index.json").is_file(), "what a link leads to stays");
    }
}
