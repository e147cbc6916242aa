//! Speech by `espeak-ng`, a program of its own that is asked by standard input and answers with a WAV file.

use std::io::{ErrorKind, Read, Write};
use std::process::{Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use super::spoken::Spoken;
use crate::error::{Kind, ServiceError};

/// The program.
pub const PROGRAM: &str = "espeak-ng";
/// How long it may take.
const TIME_MAX: Duration = Duration::from_secs(60);
/// How long after its start it may still run once its output was closed, or cut off at [`BYTES_MAX`].
const CLOSED_MAX: Duration = Duration::from_secs(30);
/// Largest file, in bytes: ten minutes of what it makes.
const BYTES_MAX: u64 = 32 << 20;
/// Words a minute.
const SPEED: &str = "160";

/// Speaks a text. Blocks.
pub(super) fn speak(text: &str, voice: Option<&str>) -> Result<Spoken, ServiceError> {
    let voice = voice.map(str::trim).filter(|voice| !voice.is_empty()).unwrap_or("en");
    let is_name = voice.len() <= 60
        && voice.starts_with(|letter: char| letter.is_ascii_alphanumeric())
        && voice.chars().all(|letter| letter.is_ascii_alphanumeric() || "-_+".contains(letter));
    if !is_name {
        return Err(ServiceError::field("voice_id", format!("{voice:?} is not a voice of {PROGRAM}")));
    }
    let started = Command::new(PROGRAM)
        .args(["--stdin", "--stdout", "-s", SPEED, "-v", voice])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let mut child = match started {
        Ok(child) => child,
        Err(error) if error.kind() == ErrorKind::NotFound => {
            return Err(ServiceError::new(
                Kind::Bad,
                "nothing speaks here: install espeak-ng, or add a model with modality audio and task tts to api_models, of a \
                 provider that speaks OpenAI's dialect (POST /audio/speech)",
            ));
        }
        Err(error) => return Err(failed(format!("it does not start: {error}"))),
    };
    let (input, output, errors) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
    let text = text.to_string();
    // Each pipe has a thread: a full one would hold up the others.
    let writer = std::thread::spawn(move || input.map(|mut input| input.write_all(text.as_bytes())));
    let reader = std::thread::spawn(move || {
        let mut bytes = Vec::new();
        let read = output.map(|output| output.take(BYTES_MAX + 1).read_to_end(&mut bytes));
        read.map(|read| read.map(|_| bytes))
    });
    let stderr_reader = std::thread::spawn(move || {
        let mut said = String::new();
        let _ = errors.map(|errors| errors.take(2000).read_to_string(&mut said));
        said
    });
    let begun = Instant::now();
    let ended = loop {
        let error = match child.try_wait() {
            Ok(Some(status)) => break Ok(status),
            Ok(None) if begun.elapsed() >= TIME_MAX => {
                let message = format!("{PROGRAM}: timed out after {} s", TIME_MAX.as_secs());
                ServiceError::new(Kind::Timeout, message)
            }
            Ok(None) if reader.is_finished() && begun.elapsed() > CLOSED_MAX => {
                failed(format!("it still runs after {} s without an open output", CLOSED_MAX.as_secs()))
            }
            Ok(None) => {
                std::thread::sleep(Duration::from_millis(5));
                continue;
            }
            Err(error) => failed(format!("its state cannot be read: {error}")),
        };
        // Its pipes close with it, and so end the threads.
        let _ = child.kill();
        let _ = child.wait();
        break Err(error);
    };
    let _ = writer.join();
    let read = match reader.join() {
        Ok(Some(read)) => read.map_err(|error| format!("its output cannot be read: {error}")),
        Ok(None) => Err("it has no output".to_string()),
        Err(_) => Err("reading its output failed unexpectedly".to_string()),
    };
    let said = stderr_reader.join().unwrap_or_default();
    let why = |status: ExitStatus| {
        let said = said.lines().next().unwrap_or_default().trim();
        failed(if said.is_empty() { format!("it ended with {status}") } else { said.to_string() })
    };
    match (ended, read) {
        (_, Ok(bytes)) if bytes.len() as u64 > BYTES_MAX => Err(failed("its sound is too long".into())),
        // What became of its output follows from its failure.
        (Ok(status), _) if !status.success() => Err(why(status)),
        (_, Err(reason)) => Err(failed(reason)),
        (Err(error), Ok(_)) => Err(error),
        (Ok(status), Ok(bytes)) if bytes.len() < 44 => Err(why(status)),
        (Ok(_), Ok(bytes)) => Ok(Spoken {
            bytes: with_lengths(bytes),
            mime_type: "audio/wav",
            extension: "wav",
            model: PROGRAM.into(),
        }),
    }
}

fn failed(reason: String) -> ServiceError {
    ServiceError::new(Kind::Bad, format!("{PROGRAM}: {reason}"))
}

/// A WAV file that was written to a pipe does not say how long it is: that was not known yet.
fn with_lengths(mut file: Vec<u8>) -> Vec<u8> {
    let length = u32::try_from(file.len()).unwrap_or(u32::MAX);
    let data = file.windows(4).take(200).position(|four| four == b"data");
    if let (true, Some(data)) = (file.starts_with(b"RIFF"), data)
        && let Some(said) = file.get(data + 4..data + 8).and_then(|said| said.try_into().ok())
        && u64::from(u32::from_le_bytes(said)) + data as u64 + 8 > u64::from(length)
    {
        file[4..8].copy_from_slice(&(length - 8).to_le_bytes());
        file[data + 4..data + 8].copy_from_slice(&(length - data as u32 - 8).to_le_bytes());
    }
    file
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_from_a_pipe_gets_its_lengths() {
        let mut file = b"RIFF\xff\xff\xff\x7fWAVEfmt \x10\0\0\0".to_vec();
        file.extend([0; 16]);
        file.extend(b"data\xff\xff\xff\x7f");
        file.extend([1; 100]);
        let whole = with_lengths(file.clone());
        assert_eq!(whole[4..8], 136_u32.to_le_bytes());
        assert_eq!(whole[40..44], 100_u32.to_le_bytes());
        // One that knows stays as it is.
        assert_eq!(with_lengths(whole.clone()), whole);
        assert_eq!(with_lengths(b"no sound".to_vec()), b"no sound");
    }

    #[test]
    fn what_is_no_voice_is_no_argument() {
        for voice in ["--help", "en; rm", "../x", &"a".repeat(61)] {
            let error = speak("hello", Some(voice)).expect_err("refused");
            assert_eq!(error.field_name(), Some("voice_id"), "{voice}");
        }
    }
}
