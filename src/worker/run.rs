//! Claiming, one job after the other.

use std::net::SocketAddr;
use std::time::Duration;

use actors::job_scheduler::{IMAGE_QUEUE, VIDEO_QUEUE};
use actors::render::RemoteJobs;
use tokio::sync::watch;

use super::claimed::{Claimed, Ended};
use super::options::WorkerOptions;
use super::server::{ServerError, WorkedServer};
use crate::config::Config;
use crate::{Running, Stop};

/// How long to wait before asking again when nothing waits.
const IDLE: Duration = Duration::from_secs(1);
/// How long to wait before asking a server again that does not answer: twice as long each time, up to the last.
const PAUSE_MIN: Duration = Duration::from_secs(1);
const PAUSE_MAX: Duration = Duration::from_secs(30);

/// Works until `stop`; what is being drawn then goes back to the server's queue.
pub fn run(options: WorkerOptions, config: Config, stop: Stop) -> Running<Result<(), String>> {
    Box::pin(run_until(options, config, stop))
}

async fn run_until(options: WorkerOptions, config: Config, stop: Stop) -> Result<(), String> {
    let server = WorkedServer::new(&options)?;
    let drawing = crate::render_options(&config)?;
    if !drawing.more_devices.is_empty() {
        let reason = "a worker draws on one device; start one for each";
        return Err(config.sources.blame("image_device", reason));
    }
    let mut jobs = RemoteJobs::new(drawing);
    let (tell, mut stopping) = watch::channel(false);
    tokio::spawn(async move {
        stop.await;
        let _ = tell.send(true);
        // Those who wait for a change are to go on waiting.
        std::future::pending::<()>().await;
    });
    let queues: Vec<&str> = [(options.images, IMAGE_QUEUE), (options.videos, VIDEO_QUEUE)]
        .into_iter()
        .filter_map(|(draws, queue)| draws.then_some(queue))
        .collect();
    let mut answering =
        tokio::spawn(chats(options.chats, options.secret.clone(), config.clone(), stopping.clone()));
    if queues.is_empty() && options.chats.is_none() {
        return Err("--draws nothing and no --chats: there is nothing to do".into());
    }
    tracing::info!(server = server.url(), name = options.name, ?queues, "waiting for jobs");
    let mut pause = PAUSE_MIN;
    let mut was_answered = false;
    // The queue that comes first takes turns, so that neither waits for the other to be empty.
    let mut turn = 0;
    while !*stopping.borrow() {
        turn += 1;
        let mut rest = IDLE;
        for place in 0..queues.len() {
            match server.claim(queues[(turn + place) % queues.len()]).await {
                Ok(claimed) => {
                    (pause, was_answered) = (PAUSE_MIN, true);
                    let Some(job) = claimed else { continue };
                    rest = Duration::ZERO;
                    match (Claimed { server: &server, stopping: &mut stopping }).work(&mut jobs, &job).await {
                        Ended::Reported => {}
                        // It may be this machine that is at fault: another one gets the chance to take the job.
                        Ended::Failed => rest = IDLE * 5,
                    }
                    break;
                }
                // What is refused from the beginning is a wrong address or token, and waiting would not help.
                Err(ServerError::Refused(message)) if !was_answered => return Err(message),
                Err(error) => {
                    tracing::warn!(%error, pause_s = pause.as_secs(), "the server cannot be asked for jobs");
                    rest = pause;
                    pause = (pause * 2).min(PAUSE_MAX);
                    break;
                }
            }
        }
        tokio::select! {
            () = tokio::time::sleep(rest) => {}
            _ = stopping.changed() => {}
            ended = &mut answering => match ended {
                Ok(Ok(())) => break,
                Ok(Err(message)) => return Err(message),
                Err(_) => return Err("answering chats failed unexpectedly".into()),
            },
        }
    }
    tracing::info!("stopped");
    Ok(())
}

/// Answers chats until the worker stops, if it is to.
async fn chats(
    address: Option<SocketAddr>,
    secret: String,
    config: Config,
    mut stopping: watch::Receiver<bool>,
) -> Result<(), String> {
    let stop = async move {
        while !*stopping.borrow() {
            if stopping.changed().await.is_err() {
                return;
            }
        }
    };
    match address {
        Some(address) => super::chats::serve(address, secret, &config, stop).await,
        None => {
            stop.await;
            Ok(())
        }
    }
}
