//! What all requests share, and the address of a client.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use axum::http::{HeaderMap, request};
use store::StoreError;
use store::shares::{Held, Owner, ReadShare, Shares, Waiting};

use crate::config::Config;
use crate::machine;

/// Memory for requests: this part of the machine's, within these bounds.
const MEMORY_PART: u64 = 8;
const MEMORY_BYTES_MIN: u64 = 192 << 20;
const MEMORY_BYTES_MAX: u64 = 4 << 30;
/// Reads that are worked on at one time; each may keep a thread.
const READS_MAX: usize = 256;
/// How long a read waits to begin.
const READ_PATIENCE: Duration = Duration::from_secs(10);
/// Bytes of large JSON bodies that are taken apart at one time; each byte may take thirty for a while.
const PARSED_BYTES_MAX: usize = 16 << 20;
/// From here on a body is large, in bytes.
const LARGE_BYTES: usize = 256 << 10;
/// How long a large body waits for others.
const LARGE_PATIENCE: Duration = Duration::from_secs(60);
/// Files for functions that arrive at one time, as they are kept in memory; and files that are read and written, since
/// unpacking may take many times their size.
const FILES_MAX: usize = 8;
const READING_MAX: usize = 2;
/// Accounts whose data goes out whole at one time; each keeps a thread for as long as its client takes.
const EXPORTS_MAX: usize = 4;
/// Pictures made smaller at one time: each may take hundreds of MiB.
const RENDERS_MAX: usize = 2;
/// Uploads to storage at one time.
const UPLOADS_MAX: usize = 64;
/// Tables that all sockets together listen to, counted for each binding: a changed row may concern each of them.
const SUBSCRIPTIONS_MAX: usize = 65_536;
/// Passwords that are computed or wait for it at one time.
const PASSWORDS_MAX: usize = 64;

/// What all requests share.
#[derive(Debug)]
pub struct Budgets {
    /// Memory of reads and of answers on their way, in bytes.
    pub memory: Arc<Shares>,
    /// Memory of bodies, in bytes.
    pub bodies: Arc<Shares>,
    /// Places for reads that take longer than a moment.
    pub turns: Arc<Shares>,
    /// Places for reads.
    pub reads: Arc<Shares>,
    /// Bytes of large bodies being taken apart.
    pub parsed: Arc<Shares>,
    /// Places for files that functions are given.
    pub files: Arc<Shares>,
    /// Places for files that functions read and write.
    pub reading: Arc<Shares>,
    /// Places for accounts whose data goes out whole.
    pub exports: Arc<Shares>,
    /// Places for uploads to storage.
    pub uploads: Arc<Shares>,
    /// Places for pictures that are made smaller.
    pub renders: Arc<Shares>,
    /// Places for passwords.
    pub passwords: Arc<Shares>,
    /// Places for realtime sockets.
    pub sockets: Arc<Shares>,
    /// Places for what realtime sockets listen to.
    pub subscriptions: Arc<Shares>,
}

impl Budgets {
    /// By configuration, or by the machine.
    pub fn new(config: &Config) -> Budgets {
        let memory = config.memory_bytes_max.unwrap_or_else(|| {
            let part = machine::memory_bytes().map_or(MEMORY_BYTES_MIN, |bytes| bytes / MEMORY_PART);
            part.clamp(MEMORY_BYTES_MIN, MEMORY_BYTES_MAX) as usize
        });
        let bodies = config.bodies_bytes_max.unwrap_or(memory / 2).min(memory);
        // As many as there are cores, so that one owner's leave others half of them.
        let cores = std::thread::available_parallelism().map_or(2, |cores| cores.get().max(2));
        Budgets {
            memory: Shares::new((memory - bodies).max(memory / 4)),
            bodies: Shares::new(bodies),
            turns: Shares::new(cores),
            reads: Shares::new(READS_MAX),
            parsed: Shares::new(PARSED_BYTES_MAX.max(config.body_bytes_max)),
            files: Shares::new(FILES_MAX),
            reading: Shares::new(READING_MAX),
            exports: Shares::new(EXPORTS_MAX),
            uploads: Shares::new(UPLOADS_MAX),
            renders: Shares::new(RENDERS_MAX),
            passwords: Shares::new(PASSWORDS_MAX),
            sockets: Shares::new(config.sockets_max),
            subscriptions: Shares::new(SUBSCRIPTIONS_MAX),
        }
    }

    /// A turn to take a JSON body apart, held while it is worked on; nothing is held for a small one.
    pub async fn begin_parse(&self, owner: Owner, bytes: usize) -> Result<Held, StoreError> {
        if bytes <= LARGE_BYTES {
            return Ok(self.parsed.open(owner));
        }
        let held = self.parsed.hold(owner, bytes.min(self.parsed.total()), LARGE_PATIENCE).await;
        held.ok_or(StoreError::Shared { what: "work on large requests" })
    }

    /// A place for a read, what it takes from the rest, and what ends it when it is dropped; `None` if others of the
    /// same owner keep it waiting.
    pub async fn begin_read(&self, owner: Owner) -> Option<(Held, ReadShare, Waiting)> {
        let place = self.reads.hold(owner, 1, READ_PATIENCE).await?;
        let (memory, turns, left) = (self.memory.clone(), self.turns.clone(), Arc::default());
        let waiting = Waiting(Arc::clone(&left));
        Some((place, ReadShare { memory, turns, owner, left }, waiting))
    }
}

/// The address at the other end of a connection.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Peer(pub SocketAddr);

/// The address of the client: the other end, or what a proxy that is trusted says.
pub(crate) fn client_address(parts: &request::Parts, config: &Config) -> IpAddr {
    address_of(parts.extensions.get::<Peer>().copied(), &parts.headers, config)
}

/// The same for a request that is whole.
pub(crate) fn client_of(request: &axum::extract::Request, config: &Config) -> IpAddr {
    address_of(request.extensions().get::<Peer>().copied(), request.headers(), config)
}

fn address_of(peer: Option<Peer>, headers: &HeaderMap, config: &Config) -> IpAddr {
    let unknown = IpAddr::from([0, 0, 0, 0]);
    let peer = peer.map_or(unknown, |Peer(peer)| peer.ip().to_canonical());
    if !config.trusted_proxies.contains(&peer) {
        return network(peer);
    }
    // Each proxy adds at the end whom it heard from; what stands before the last stranger may be invented.
    let said = headers.get_all("x-forwarded-for").iter().filter_map(|value| value.to_str().ok());
    let said: Vec<IpAddr> = said
        .flat_map(|value| value.split(','))
        .filter_map(|address| address.trim().parse::<IpAddr>().ok())
        .map(|address| address.to_canonical())
        .collect();
    let client = said.into_iter().rev().find(|address| !config.trusted_proxies.contains(address));
    network(client.unwrap_or(peer))
}

/// What one client has of addresses: with IPv6 a network of 64 bits.
fn network(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(long) if long.is_loopback() => address,
        IpAddr::V6(long) => {
            let [a, b, c, d, ..] = long.segments();
            IpAddr::from([a, b, c, d, 0, 0, 0, 0])
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn large_bodies_are_taken_apart_in_turn() {
        let budgets = Budgets::new(&Config::default());
        let owner = Owner::Address(IpAddr::from([127, 0, 0, 1]));
        let small = budgets.begin_parse(owner, LARGE_BYTES).await.expect("room");
        let large = budgets.begin_parse(owner, 1 << 20).await.expect("room");
        assert_eq!((small.amount(), large.amount(), budgets.parsed.used()), (0, 1 << 20, 1 << 20));
        drop(large);
        assert_eq!(budgets.parsed.used(), 0);
    }

    fn seen(peer: &str, forwarded: &[&str], trusted: &[&str]) -> String {
        let mut headers = HeaderMap::new();
        for value in forwarded {
            headers.append("x-forwarded-for", value.parse().expect("a header"));
        }
        let trusted_proxies = trusted.iter().map(|address| address.parse().expect("an address")).collect();
        let config = Config { trusted_proxies, ..Config::default() };
        let peer = Peer(SocketAddr::new(peer.parse().expect("an address"), 1));
        address_of(Some(peer), &headers, &config).to_string()
    }

    #[test]
    fn only_trusted_proxies_are_believed() {
        assert_eq!(seen("9.9.9.9", &["1.2.3.4"], &[]), "9.9.9.9");
        assert_eq!(seen("127.0.0.1", &["1.2.3.4"], &["127.0.0.1"]), "1.2.3.4");
        assert_eq!(
            seen("127.0.0.1", &["6.6.6.6, 1.2.3.4", "10.0.0.1"], &["127.0.0.1", "10.0.0.1"]),
            "1.2.3.4"
        );
        assert_eq!(seen("127.0.0.1", &["nonsense"], &["127.0.0.1"]), "127.0.0.1");
        assert_eq!(seen("2001:db8:1:2:3:4:5:6", &[], &[]), "2001:db8:1:2::");
        assert_eq!(seen("::ffff:1.2.3.4", &[], &[]), "1.2.3.4");
    }
}
