//! What models of hubs are called here. Most are called as their files are; files that bear the same name in every
//! repository are called after theirs, so that a second one has a place beside the first.

use super::found::last_part;

/// Names that say only how a file was written.
const COMMON_STEMS: [&str; 4] = ["diffusion_pytorch_model", "model", "pytorch_lora_weights", "pytorch_model"];

/// What the file of a repository `OWNER/NAME` is called.
pub(super) fn file_name(repository: &str, file: &str) -> String {
    let (folder, own) = file.rsplit_once('/').unwrap_or(("", file));
    let plain = own.replace(".fp16.", ".");
    match plain.rsplit_once('.') {
        Some((stem, ending)) if COMMON_STEMS.contains(&stem) => {
            format!("{}.{ending}", folder_name(repository, folder))
        }
        _ => own.to_string(),
    }
}

/// What a folder of a repository `OWNER/NAME` is called; the whole repository where the folder has no name.
pub(super) fn folder_name(repository: &str, folder: &str) -> String {
    let name = last_part(repository);
    let parts = folder.split('/').filter(|part| !part.is_empty());
    std::iter::once(name).chain(parts).collect::<Vec<_>>().join("-")
}

/// What the file or folder of a repository is called once it is installed, without an ending.
pub fn hub_name(repository: &str, path: &str) -> String {
    match path.rsplit_once('.') {
        Some((_, "gguf" | "safetensors")) => {
            let name = file_name(repository, path);
            name.rsplit_once('.').map_or(name.clone(), |(stem, _)| stem.to_string())
        }
        _ => folder_name(repository, path),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_many_files_are_called_is_replaced_by_where_it_lies() {
        for (file, name) in [
            ("ink.safetensors", "ink.safetensors"),
            ("models/ip-adapter_sd15.fp16.safetensors", "ip-adapter_sd15.fp16.safetensors"),
            ("diffusion_pytorch_model.fp16.safetensors", "pose.safetensors"),
            ("vae/diffusion_pytorch_model.safetensors", "pose-vae.safetensors"),
            ("pytorch_lora_weights.safetensors", "pose.safetensors"),
        ] {
            assert_eq!(file_name("ada/pose", file), name);
        }
        assert_eq!(folder_name("ada/pose", ""), "pose");
        assert_eq!(folder_name("ada/pose", "sdxl/image_encoder"), "pose-sdxl-image_encoder");
    }
}
