//! Exports opened by programs that others wrote, where they are installed on this machine.

use std::process::Command;

use serde_json::{Value as Json, json};

/// What a program prints of a file; nothing where it is not installed.
fn said_by(program: &str, arguments: &[&str], name: &str, bytes: &[u8]) -> Option<String> {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join(name);
    std::fs::write(&path, bytes).expect("a file");
    match Command::new(program).args(arguments).arg(&path).output() {
        Ok(output) => {
            assert!(output.status.success(), "{program}: {}", String::from_utf8_lossy(&output.stderr));
            Some(String::from_utf8_lossy(&output.stdout).into_owned())
        }
        Err(_) => {
            eprintln!("left out: {program} is not installed");
            None
        }
    }
}

/// A film of so many frames, by ffprobe: 720 × 1280 at 30 frames a second, H.264 with 4:2:0.
pub fn film(bytes: &[u8], frames: u64) {
    let arguments =
        ["-v", "error", "-select_streams", "v:0", "-count_frames", "-show_streams", "-print_format", "json"];
    let Some(said) = said_by("ffprobe", &arguments, "film.mp4", bytes) else { return };
    let said: Json = serde_json::from_str(&said).expect("JSON");
    let stream = &said["streams"][0];
    assert_eq!(
        (&stream["codec_name"], &stream["width"], &stream["height"], &stream["pix_fmt"]),
        (&json!("h264"), &json!(720), &json!(1280), &json!("yuv420p")),
        "{stream}"
    );
    assert_eq!(stream["r_frame_rate"], "30/1", "{stream}");
    assert_eq!(stream["nb_read_frames"], json!(frames.to_string()), "{stream}");
}

/// A PDF of so many pages, by poppler.
pub fn pages(bytes: &[u8], pages: usize) {
    let Some(said) = said_by("pdfinfo", &[], "book.pdf", bytes) else { return };
    let counted = said.lines().find_map(|line| line.strip_prefix("Pages:")).map(str::trim);
    assert_eq!(counted, Some(pages.to_string().as_str()), "{said}");
}
