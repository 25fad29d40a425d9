//! A TCP proxy in front of a database: it can refuse everybody, and it can cut all connections so that requests still
//! arrive and their answers do not, which is how the answer to a COMMIT is lost.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use crate::Outcome;

/// What the proxy does with connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    /// Passes everything on. The number changes with each cut.
    Up(u64),
    /// Refuses everybody.
    Down,
}

/// A running proxy.
#[derive(Debug)]
pub struct Proxy {
    address: SocketAddr,
    mode: watch::Sender<Mode>,
}

/// How long requests still pass after a cut, while answers do not.
const DEAF: Duration = Duration::from_millis(3);

impl Proxy {
    /// Starts a proxy in front of an address, on the present runtime.
    ///
    /// # Errors
    /// When it cannot listen.
    pub async fn start(target: SocketAddr) -> Outcome<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, crate::server::quiet_port()?))
            .await
            .map_err(|error| format!("the proxy cannot listen: {error}"))?;
        let address = listener
            .local_addr()
            .map_err(|error| format!("the proxy has no address: {error}"))?;
        let (mode, watched) = watch::channel(Mode::Up(0));
        tokio::spawn(accept(listener, target, watched));
        Ok(Self { address, mode })
    }

    /// Where it listens.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Cuts all connections; new ones are welcome.
    pub fn cut(&self) {
        self.mode.send_modify(|mode| {
            *mode = match *mode {
                Mode::Up(count) => Mode::Up(count + 1),
                Mode::Down => Mode::Down,
            }
        });
    }

    /// Cuts all connections and refuses new ones.
    pub fn down(&self) {
        self.mode.send_replace(Mode::Down);
    }

    /// Welcomes connections again.
    pub fn up(&self) {
        self.mode.send_replace(Mode::Up(0));
    }
}

async fn accept(listener: TcpListener, target: SocketAddr, mode: watch::Receiver<Mode>) {
    while let Ok((client, _)) = listener.accept().await {
        if *mode.borrow() != Mode::Down {
            tokio::spawn(pass(client, target, mode.clone()));
        }
    }
}

async fn pass(client: TcpStream, target: SocketAddr, mut mode: watch::Receiver<Mode>) {
    mode.mark_unchanged();
    let Ok(server) = TcpStream::connect(target).await else {
        return;
    };
    // Latency only.
    let _ = client.set_nodelay(true);
    let _ = server.set_nodelay(true);
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    let requests = tokio::spawn(copy(from_client, to_server));
    let mut answers = tokio::spawn(copy(from_server, to_client));
    tokio::select! {
        _ = &mut answers => {}
        _ = mode.changed() => {
            answers.abort();
            tokio::time::sleep(DEAF).await;
        }
    }
    requests.abort();
}

async fn copy(mut from: OwnedReadHalf, mut to: OwnedWriteHalf) {
    let mut buffer = vec![0; 16 * 1024];
    while let Ok(count @ 1..) = from.read(&mut buffer).await {
        if to.write_all(&buffer[..count]).await.is_err() {
            return;
        }
    }
}
