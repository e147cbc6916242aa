//! How fast is a peer in the same minute? It runs beside the bench, waits on its input, and takes turns with it.

use std::io::{BufRead, BufReader, Lines, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Instant;

/// Turns of each, of which the middle one counts.
const ROUNDS: usize = 3;

/// Seconds by the clock and of the processor.
#[derive(Clone, Copy)]
pub struct Took {
    pub clock: f64,
    pub processor: f64,
}

/// Measures `work`.
pub fn took(work: impl FnOnce()) -> Took {
    let (begin, processor) = (Instant::now(), processor_seconds());
    work();
    Took { clock: begin.elapsed().as_secs_f64(), processor: processor_seconds() - processor }
}

/// What all threads of this process have had of the processor, in the system's ticks of a hundredth of a second.
fn processor_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields = stat.rsplit(')').next().unwrap_or_default().split_whitespace().skip(11).take(2);
    fields.filter_map(|ticks| ticks.parse::<f64>().ok()).sum::<f64>() / 100.0
}

/// A peer that `decode.py` runs.
pub struct Peer {
    name: String,
    process: Child,
    input: ChildStdin,
    answers: Lines<BufReader<ChildStdout>>,
}

impl Peer {
    /// Starts the peer of this name, if `PLAYHOUSE_PEER_PYTHON` names a Python that has it.
    pub fn start(name: &str, model: &Path) -> Option<Peer> {
        let python = std::env::var_os("PLAYHOUSE_PEER_PYTHON")?;
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/peers/decode.py");
        let threads = std::thread::available_parallelism().map_or(1, usize::from).to_string();
        let mut process = Command::new(python)
            .arg(script)
            .arg(model)
            .args(["--answer", name])
            .env("THREADS", std::env::var("RAYON_NUM_THREADS").unwrap_or(threads))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the Python starts");
        let input = process.stdin.take().expect("its input is ours");
        let output = process.stdout.take().expect("its output is ours");
        let mut answers = BufReader::new(output).lines();
        match answers.next() {
            Some(Ok(line)) if line == "ready" => {
                Some(Peer { name: name.to_string(), process, input, answers })
            }
            said => {
                println!("{name} is left out: {said:?}");
                None
            }
        }
    }

    /// Has it do something; see the script.
    pub fn ask(&mut self, what: &str) -> Took {
        writeln!(self.input, "{what}").expect("the peer listens");
        let line = self.answers.next().expect("the peer answers").expect("it answers text");
        let numbers: Vec<f64> = line.split_whitespace().filter_map(|number| number.parse().ok()).collect();
        Took { clock: numbers[0], processor: numbers[1] }
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn middle(mut numbers: Vec<f64>) -> f64 {
    numbers.sort_by(f64::total_cmp);
    numbers[numbers.len() / 2]
}

/// Prints how many tokens a second ours makes, and how many times as many as the peer in turns: by the clock, and for each
/// second of the processor.
pub fn in_turns(
    what: &str,
    tokens: usize,
    mut ours: impl FnMut() -> Took,
    peer: Option<&mut Peer>,
    mut theirs: impl FnMut(&mut Peer) -> Took,
) {
    let tokens = tokens as f64;
    let Some(peer) = peer else {
        let clock = middle((0..ROUNDS).map(|_| ours().clock).collect());
        return println!("{what:34} {:8.1} tokens/s", tokens / clock);
    };
    let mut pairs: Vec<(Took, Took)> = Vec::new();
    for round in 0..ROUNDS {
        pairs.push(if round % 2 == 0 {
            let first = ours();
            (first, theirs(peer))
        } else {
            let first = theirs(peer);
            (ours(), first)
        });
    }
    let of = |value: &dyn Fn(&(Took, Took)) -> f64| middle(pairs.iter().map(value).collect());
    println!(
        "{what:34} {:8.1} tokens/s, {} {:8.1}: {:.2} times by the clock, {:.2} by the processor",
        of(&|pair| tokens / pair.0.clock),
        peer.name,
        of(&|pair| tokens / pair.1.clock),
        of(&|pair| pair.1.clock / pair.0.clock),
        of(&|pair| pair.1.processor / pair.0.processor.max(0.01)),
    );
}
