//! The listeners of the process.
//!
//! Each holds a bounded number of connections; more wait in the backlog of the system. A connection that is slow on
//! purpose or by accident is dropped: see [`activity`].

mod activity;

use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::response::Response;
use http::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service as _, service_fn};
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::MissedTickBehavior;
use waxwing_api::address::Peer;

use self::activity::{Activity, Watched};

/// How often a connection is looked at.
const LOOK_EVERY: Duration = Duration::from_secs(2);
/// How long to wait when the system has no more file descriptors.
const OUT_OF_FILES: Duration = Duration::from_millis(50);
/// How long requests may take to end after the process was told to end.
const LAST_REQUESTS: Duration = Duration::from_secs(20);

/// A bound address.
pub struct Listener {
    tcp: TcpListener,
    /// The address, with the port that was taken.
    pub address: SocketAddr,
}

impl Listener {
    /// Takes an address.
    ///
    /// # Errors
    /// When it is taken already, or not one of this machine's.
    pub async fn bind(address: SocketAddr) -> std::io::Result<Self> {
        let tcp = TcpListener::bind(address).await?;
        let address = tcp.local_addr()?;
        Ok(Self { tcp, address })
    }

    /// Where it is reached from this machine.
    pub fn url(&self) -> String {
        local_url(self.address)
    }

    /// Answers requests until `stop` turns true; then no new ones are taken, and those that are being answered end.
    pub async fn serve(
        self,
        router: Router,
        connections_max: usize,
        mut stop: watch::Receiver<bool>,
    ) {
        let room = Arc::new(Semaphore::new(connections_max));
        loop {
            let accepted = tokio::select! {
                _ = stop.changed() => break,
                accepted = self.accept(&room) => accepted,
            };
            match accepted {
                Ok((tcp, peer, place)) => {
                    tokio::spawn(connection(tcp, peer, router.clone(), stop.clone(), place));
                }
                Err(error) => {
                    tracing::warn!(%error, "a connection could not be taken");
                    tokio::time::sleep(OUT_OF_FILES).await;
                }
            }
        }
        drop(self.tcp);
        let all = u32::try_from(connections_max).unwrap_or(u32::MAX);
        if tokio::time::timeout(LAST_REQUESTS, room.acquire_many(all))
            .await
            .is_err()
        {
            tracing::warn!("some requests did not end in time");
        }
    }

    async fn accept(
        &self,
        room: &Arc<Semaphore>,
    ) -> std::io::Result<(TcpStream, Peer, OwnedSemaphorePermit)> {
        let place = Arc::clone(room)
            .acquire_owned()
            .await
            .map_err(std::io::Error::other)?;
        let (tcp, peer) = self.tcp.accept().await?;
        Ok((tcp, Peer(peer.ip()), place))
    }
}

/// An address as a URL for this machine: the one that stands for all addresses is reached by the loopback.
pub fn local_url(mut address: SocketAddr) -> String {
    if address.ip().is_unspecified() {
        address.set_ip(match address {
            SocketAddr::V4(_) => std::net::Ipv4Addr::LOCALHOST.into(),
            SocketAddr::V6(_) => std::net::Ipv6Addr::LOCALHOST.into(),
        });
    }
    format!("http://{address}")
}

async fn connection(
    tcp: TcpStream,
    peer: Peer,
    router: Router,
    mut stop: watch::Receiver<bool>,
    place: OwnedSemaphorePermit,
) {
    // Only latency depends on it.
    let _ = tcp.set_nodelay(true);
    let activity = Arc::new(Activity::new());
    let io = TokioIo::new(Watched::new(tcp, Arc::clone(&activity)));
    let router = TowerToHyperService::new(router);
    let service = service_fn(|mut request: Request<Incoming>| {
        request.extensions_mut().insert(peer);
        let answering = activity.answering();
        let answer = router.call(request.map(Body::new));
        async move {
            let answer: Result<Response, Infallible> = answer.await;
            drop(answering);
            answer
        }
    });
    let mut served = pin!(
        http1::Builder::new()
            .header_read_timeout(None)
            .serve_connection(io, service)
    );
    let mut look = tokio::time::interval(LOOK_EVERY);
    look.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut ending = *stop.borrow_and_update();
    if ending {
        served.as_mut().graceful_shutdown();
    }
    loop {
        tokio::select! {
            biased;
            // A connection that breaks is the other side's business.
            _ = served.as_mut() => break,
            _ = stop.changed(), if !ending => {
                ending = true;
                served.as_mut().graceful_shutdown();
            }
            _ = look.tick() => if activity.is_too_slow() { break },
        }
    }
    drop(place);
}

#[cfg(test)]
mod tests {
    use axum::routing::get;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::sync::Notify;

    use super::*;

    struct Server {
        address: SocketAddr,
        stop: watch::Sender<bool>,
        serving: tokio::task::JoinHandle<()>,
        /// A request for `/slow` is inside.
        inside: Arc<Notify>,
        /// Lets it be answered.
        answer: Arc<Notify>,
    }

    async fn start(connections_max: usize) -> Server {
        let listener = Listener::bind(([127, 0, 0, 1], 0).into()).await.unwrap();
        let address = listener.address;
        let (stop, stopped) = watch::channel(false);
        let (inside, answer) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
        let (entered, released) = (Arc::clone(&inside), Arc::clone(&answer));
        let slow = move || async move {
            entered.notify_one();
            released.notified().await;
            "done"
        };
        let router = Router::new()
            .route("/", get(|| async { "hello" }))
            .route("/slow", get(slow));
        let serving = tokio::spawn(listener.serve(router, connections_max, stopped));
        Server {
            address,
            stop,
            serving,
            inside,
            answer,
        }
    }

    async fn ask(stream: &mut TcpStream, path: &str) {
        let request = format!("GET {path} HTTP/1.1\r\nhost: a\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
    }

    async fn read(stream: &mut TcpStream, until: &str) -> String {
        let mut text = String::new();
        let mut bytes = [0; 1024];
        while !text.contains(until) {
            match stream.read(&mut bytes).await.unwrap() {
                0 => break,
                count => text.push_str(std::str::from_utf8(&bytes[..count]).unwrap()),
            }
        }
        text
    }

    #[tokio::test]
    async fn requests_end_when_the_process_ends_and_no_new_ones_are_taken() {
        let server = start(10).await;
        let mut idle = TcpStream::connect(server.address).await.unwrap();
        ask(&mut idle, "/").await;
        assert!(read(&mut idle, "hello").await.contains("hello"));
        let mut busy = TcpStream::connect(server.address).await.unwrap();
        ask(&mut busy, "/slow").await;
        server.inside.notified().await;
        server.stop.send(true).unwrap();
        assert_eq!(read(&mut idle, "nothing").await, "");
        server.answer.notify_one();
        assert!(read(&mut busy, "done").await.contains("done"));
        server.serving.await.unwrap();
        assert!(TcpStream::connect(server.address).await.is_err());
    }

    #[tokio::test]
    async fn connections_beyond_the_limit_wait() {
        let server = start(1).await;
        let mut first = TcpStream::connect(server.address).await.unwrap();
        ask(&mut first, "/").await;
        assert!(read(&mut first, "hello").await.contains("hello"));
        let mut second = TcpStream::connect(server.address).await.unwrap();
        ask(&mut second, "/").await;
        let early = tokio::time::timeout(Duration::from_millis(200), second.readable()).await;
        assert!(early.is_err(), "the second one has to wait");
        drop(first);
        assert!(read(&mut second, "hello").await.contains("hello"));
    }
}
