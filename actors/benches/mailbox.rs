//! What does it cost to ask an actor? Against a plain channel to a thread and a oneshot back.
//!
//! `cargo bench -p actors --bench mailbox`

use std::time::Instant;

use actors::{Actors, Decision, Mailbox, Refusal};
use models::{Aggregate, Claims, schema};
use store::{OpenOptions, Store, Transaction};
use tokio::sync::{mpsc, oneshot};

const PAIRS: usize = 7;
const ROUNDS: u32 = 20_000;

/// Decides nothing, so that only the way there and back is measured.
struct Nothing;

impl Decision for Nothing {
    type Answer = ();

    fn owner(&self) -> Aggregate {
        Aggregate::Project
    }

    fn decide(self, _: &Transaction) -> Result<(), Refusal> {
        Ok(())
    }
}

fn median(mut numbers: Vec<f64>) -> f64 {
    numbers.sort_unstable_by(f64::total_cmp);
    numbers[numbers.len() / 2]
}

/// Microseconds of a round trip with so many asking at once.
async fn each<F: Future<Output = ()> + Send + 'static>(askers: u32, ask: impl Fn(u32) -> F) -> f64 {
    let started = Instant::now();
    let tasks: Vec<_> = (0..askers).map(|_| tokio::spawn(ask(ROUNDS / askers))).collect();
    for task in tasks {
        task.await.expect("no panic");
    }
    started.elapsed().as_secs_f64() * 1e6 / f64::from(ROUNDS / askers * askers)
}

fn main() {
    let folder = tempfile::tempdir().expect("a folder");
    let runtime = || tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("threads");
    actix::System::with_tokio_rt(runtime).block_on(async {
        let (store, _) = Store::open(folder.path(), schema(), &OpenOptions::default()).expect("a store");
        let actors = Actors::start(store, Mailbox::default());
        let (sender, mut receiver) = mpsc::channel::<oneshot::Sender<()>>(1024);
        std::thread::spawn(move || {
            while let Some(reply) = receiver.blocking_recv() {
                let _ = reply.send(());
            }
        });
        println!("{:>7} {:>10} {:>11} {:>7}", "askers", "actor µs", "channel µs", "ratio");
        for askers in [1, 64, 512] {
            let (mut ours, mut yardstick) = (Vec::new(), Vec::new());
            for _ in 0..PAIRS {
                let ask = |rounds| {
                    let actors = actors.clone();
                    async move {
                        let claims = Claims::service();
                        for _ in 0..rounds {
                            actors.ask(&claims, Nothing).await.expect("an answer");
                        }
                    }
                };
                ours.push(each(askers, ask).await);
                let ask = |rounds| {
                    let sender = sender.clone();
                    async move {
                        for _ in 0..rounds {
                            let (reply, answer) = oneshot::channel();
                            sender.send(reply).await.expect("the thread listens");
                            answer.await.expect("an answer");
                        }
                    }
                };
                yardstick.push(each(askers, ask).await);
            }
            let (ours, yardstick) = (median(ours), median(yardstick));
            println!("{askers:>7} {ours:>10.2} {yardstick:>11.2} {:>7.2}", ours / yardstick);
        }
    });
}
