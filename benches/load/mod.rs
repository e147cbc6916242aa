//! Clients that keep their connections, a server that only returns what it has, and what a process takes.

// Each bench uses a part of it.
#![allow(dead_code)]

use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::rc::Rc;
use std::time::Instant;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const PAIRS: usize = 7;
/// Makes the program the bare server that answers with the variable's text.
pub const BARE: &str = "PLAYHOUSE_BENCH_BARE";

pub fn median(mut numbers: Vec<f64>) -> f64 {
    numbers.sort_unstable_by(f64::total_cmp);
    numbers[numbers.len() / 2]
}

/// One kept connection: bytes out, one whole answer in.
pub struct Client {
    stream: TcpStream,
    buffer: Vec<u8>,
}

impl Client {
    async fn connect(address: SocketAddr) -> Client {
        let stream = TcpStream::connect(address).await.expect("a connection");
        stream.set_nodelay(true).expect("an option");
        Client { stream, buffer: Vec::with_capacity(8192) }
    }

    async fn send(&mut self, request: &[u8], status: &[u8]) {
        self.stream.write_all(request).await.expect("sent");
        self.buffer.clear();
        loop {
            assert!(self.stream.read_buf(&mut self.buffer).await.expect("read") > 0, "closed");
            let Some(head) = self.buffer.windows(4).position(|bytes| bytes == b"\r\n\r\n") else { continue };
            let text = std::str::from_utf8(&self.buffer[..head]).expect("a head");
            let length = text.lines().find_map(|line| line.strip_prefix("content-length: "));
            let length: usize = length.map_or(0, |length| length.parse().expect("a length"));
            if self.buffer.len() >= head + 4 + length {
                assert_eq!(&self.buffer[9..12], status, "{}", String::from_utf8_lossy(&self.buffer));
                return;
            }
        }
    }
}

/// Requests a second over so many connections.
pub fn requests(
    address: SocketAddr,
    clients: usize,
    total: usize,
    status: &[u8],
    request: impl Fn(usize) -> Vec<u8>,
) -> f64 {
    let prepared: Vec<Rc<[u8]>> = (0..clients).map(|client| request(client).into()).collect();
    requests_each(address, clients, total, status, move |client, _| prepared[client].clone())
}

/// The same with a request for each client and call.
pub fn requests_each<B: AsRef<[u8]> + 'static>(
    address: SocketAddr,
    clients: usize,
    total: usize,
    status: &[u8],
    request: impl Fn(usize, usize) -> B + 'static,
) -> f64 {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let mut connections = Vec::new();
        for _ in 0..clients {
            connections.push(Client::connect(address).await);
        }
        let request = Rc::new(request);
        let started = Instant::now();
        let local = tokio::task::LocalSet::new();
        for (number, mut client) in connections.into_iter().enumerate() {
            let (status, request) = (status.to_vec(), request.clone());
            local.spawn_local(async move {
                for call in 0..total / clients {
                    client.send(request(number, call).as_ref(), &status).await;
                }
            });
        }
        local.await;
        (total / clients * clients) as f64 / started.elapsed().as_secs_f64()
    })
}

/// What a handler costs that only returns JSON it has.
pub fn bare(body: String) {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("threads");
    runtime.block_on(async {
        let handler = move || {
            let body = body.clone();
            async move { ([("content-type", "application/json")], body) }
        };
        let router = axum::Router::new().route("/", axum::routing::get(handler));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        println!("{}", listener.local_addr().expect("an address"));
        axum::serve(listener, router).await.expect("it serves");
    });
}

pub fn start_bare(body: &str) -> (Child, SocketAddr) {
    start_self(BARE, body)
}

/// Starts this program as another server, which prints its address.
pub fn start_self(variable: &str, value: &str) -> (Child, SocketAddr) {
    let mut child = Command::new(std::env::current_exe().expect("this program"))
        .env(variable, value)
        .stdout(Stdio::piped())
        .spawn()
        .expect("it starts");
    let mut line = String::new();
    let mut output = std::io::BufReader::new(child.stdout.take().expect("output"));
    std::io::BufRead::read_line(&mut output, &mut line).expect("an address");
    (child, line.trim().parse().expect("an address"))
}

pub fn rss_mb(pid: u32) -> f64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("the process runs");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("its memory");
    line.trim().trim_end_matches(" kB").parse::<f64>().expect("a number") / 1024.0
}

/// Seconds of processor time that a process has taken.
pub fn cpu_s(pid: u32) -> f64 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).expect("the process runs");
    let after_name = stat.rsplit_once(')').expect("a name").1;
    let ticks = after_name.split_whitespace().skip(11).take(2).filter_map(|ticks| ticks.parse::<f64>().ok());
    ticks.sum::<f64>() / 100.0
}

/// Measures both in turns, after one turn to warm up.
pub fn report(
    name: &str,
    yardstick_name: &str,
    goal: f64,
    ours: impl Fn() -> f64,
    yardstick: impl Fn() -> f64,
) {
    ours();
    yardstick();
    let (mut of_ours, mut of_yardstick) = (Vec::new(), Vec::new());
    for _ in 0..PAIRS {
        of_ours.push(ours());
        of_yardstick.push(yardstick());
    }
    let ratios = of_ours.iter().zip(&of_yardstick).map(|(ours, yardstick)| ours / yardstick).collect();
    println!(
        "{name}: {:.0}, {yardstick_name}: {:.0}, ratio {:.2} (goal: at least {goal})",
        median(of_ours),
        median(of_yardstick),
        median(ratios)
    );
}
