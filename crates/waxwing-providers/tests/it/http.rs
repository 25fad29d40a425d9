//! The client against small TCP servers that misbehave in one way each.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use ::http::{HeaderMap, Method};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use waxwing_providers::http::{HttpClient, HttpLimits, HttpOutcome, HttpRequest};

const LONG: Duration = Duration::from_secs(20);
const SHORT: Duration = Duration::from_millis(300);

fn client() -> HttpClient {
    HttpClient::new(HttpLimits {
        connect_timeout: Duration::from_secs(5),
        ..HttpLimits::default()
    })
}

fn request(address: SocketAddr) -> HttpRequest {
    HttpRequest {
        method: Method::POST,
        url: format!("http://{address}/v25.0/1/messages"),
        headers: HeaderMap::new(),
        body: "{\"hello\":1}".into(),
    }
}

/// A server that does `serve` with each connection; it is counted in the returned number.
async fn server<F, S>(serve: S) -> (SocketAddr, Arc<AtomicUsize>)
where
    S: Fn(TcpStream, usize) -> F + Send + 'static,
    F: Future<Output = ()> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let count = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&count);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let number = counter.fetch_add(1, Ordering::SeqCst);
            tokio::spawn(serve(stream, number));
        }
    });
    (address, count)
}

/// Reads one request of the kind that [`request`] makes; `None` at the end of the connection.
async fn read_request(stream: &mut TcpStream) -> Option<String> {
    let mut seen = Vec::new();
    while !seen.ends_with(b"{\"hello\":1}") {
        let mut chunk = [0; 1_024];
        match stream.read(&mut chunk).await {
            Ok(0) | Err(_) => return None,
            Ok(read) => seen.extend_from_slice(&chunk[..read]),
        }
    }
    Some(String::from_utf8(seen).unwrap())
}

async fn answer(stream: &mut TcpStream, text: &str) {
    // The client may be gone already; that is its right.
    let _ = stream.write_all(text.as_bytes()).await;
}

/// Keeps the connection open until the client closes it.
async fn hold(stream: &mut TcpStream) {
    let mut rest = [0; 64];
    while matches!(stream.read(&mut rest).await, Ok(1..)) {}
}

const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}";

fn is_lost(outcome: &HttpOutcome) -> bool {
    matches!(outcome, HttpOutcome::Lost(_))
}

fn is_not_sent(outcome: &HttpOutcome) -> bool {
    matches!(outcome, HttpOutcome::NotSent(_))
}

#[tokio::test]
async fn a_whole_answer_comes_back_as_it_is() {
    let (address, _) = server(|mut stream, _| async move {
        let request = read_request(&mut stream).await.unwrap();
        assert!(request.starts_with("POST /v25.0/1/messages HTTP/1.1\r\n"), "{request}");
        assert!(request.contains("user-agent: waxwing/"), "{request}");
        for unwanted in ["accept-encoding", "referer", "expect"] {
            assert!(!request.contains(unwanted), "{request}");
        }
        answer(
            &mut stream,
            "HTTP/1.1 429 Busy\r\nRetry-After: 7\r\ncontent-encoding: gzip\r\ncontent-length: 4\r\n\r\n\x1f\x0b{}",
        )
        .await;
    })
    .await;
    match client().call(request(address), LONG).await {
        HttpOutcome::Response {
            status,
            headers,
            body,
        } => {
            assert_eq!(
                (status, &headers["retry-after"]),
                (429, &"7".parse().unwrap())
            );
            assert_eq!(body.as_ref(), b"\x1f\x0b{}");
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_refused_port_got_nothing() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let outcome = client().call(request(address), LONG).await;
    assert!(is_not_sent(&outcome), "{outcome:?}");
}

#[tokio::test]
async fn a_name_without_address_got_nothing() {
    let mut request = request("127.0.0.1:1".parse().unwrap());
    request.url = "http://nobody.invalid/".into();
    let outcome = client().call(request, LONG).await;
    assert!(is_not_sent(&outcome), "{outcome:?}");
}

#[tokio::test]
async fn what_is_no_http_url_got_nothing() {
    for url in ["", "messages", "ftp://127.0.0.1/", "http://"] {
        let mut request = request("127.0.0.1:1".parse().unwrap());
        request.url = url.into();
        let outcome = client().call(request, LONG).await;
        assert!(is_not_sent(&outcome), "{url}: {outcome:?}");
    }
}

#[tokio::test]
async fn a_failed_handshake_got_nothing() {
    let (address, _) = server(|mut stream, _| async move {
        let mut hello = [0; 64];
        let _ = stream.read(&mut hello).await;
        answer(&mut stream, "this is no TLS\r\n\r\n").await;
    })
    .await;
    let mut request = request(address);
    request.url = format!("https://localhost:{}/", address.port());
    let outcome = client().call(request, LONG).await;
    assert!(is_not_sent(&outcome), "{outcome:?}");
}

#[tokio::test]
async fn accepted_and_closed_may_have_got_it() {
    let (address, count) = server(|stream, _| async move { drop(stream) }).await;
    let outcome = client().call(request(address), LONG).await;
    assert!(is_lost(&outcome), "{outcome:?}");
    assert_eq!(count.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_reset_after_reading_may_have_got_it() {
    let (address, count) = server(|mut stream, _| async move {
        // What stays unread makes the system send a reset.
        let mut some = [0; 16];
        stream.read_exact(&mut some).await.unwrap();
    })
    .await;
    let outcome = client().call(request(address), LONG).await;
    assert!(is_lost(&outcome), "{outcome:?}");
    assert_eq!(count.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn silence_ends_at_the_deadline() {
    let (address, count) = server(|mut stream, _| async move { hold(&mut stream).await }).await;
    let start = Instant::now();
    let outcome = client().call(request(address), SHORT).await;
    assert!(is_lost(&outcome), "{outcome:?}");
    assert!(start.elapsed() >= SHORT && start.elapsed() < LONG);
    assert_eq!(count.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn broken_answers_are_none() {
    for text in [
        "",
        "garbage without end\r\n\r\n",
        "HTTP/1.1 200 OK\r\ncontent-le",
        "HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{\"messages\"",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\n{\"me",
        "HTTP/1.1 200 OK\r\ncontent-length: 5\r\ncontent-length: 9\r\n\r\n{}",
    ] {
        let (address, count) = server(move |mut stream, _| async move {
            read_request(&mut stream).await;
            answer(&mut stream, text).await;
        })
        .await;
        let outcome = client().call(request(address), LONG).await;
        assert!(is_lost(&outcome), "{text:?}: {outcome:?}");
        assert_eq!(count.load(Ordering::SeqCst), 1, "{text:?}");
    }
}

#[tokio::test]
async fn an_answer_in_drops_ends_at_the_deadline() {
    let (address, _) = server(|mut stream, _| async move {
        read_request(&mut stream).await;
        answer(
            &mut stream,
            "HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n",
        )
        .await;
        let mut drops = tokio::time::interval(Duration::from_millis(20));
        loop {
            drops.tick().await;
            if stream.write_all(b"x").await.is_err() {
                return;
            }
        }
    })
    .await;
    let start = Instant::now();
    let outcome = client().call(request(address), SHORT).await;
    assert!(is_lost(&outcome), "{outcome:?}");
    assert!(start.elapsed() < LONG);
}

#[tokio::test]
async fn an_answer_larger_than_a_mebibyte_is_not_read() {
    const MIB: usize = 1024 * 1024;
    for (chunked, size) in [
        (false, MIB + 1),
        (true, MIB + 1),
        (true, 8 * MIB),
        (false, MIB),
    ] {
        let (address, _) = server(move |mut stream, _| async move {
            read_request(&mut stream).await;
            let head = if chunked {
                format!("transfer-encoding: chunked\r\n\r\n{size:x}\r\n")
            } else {
                format!("content-length: {size}\r\n\r\n")
            };
            answer(&mut stream, &format!("HTTP/1.1 200 OK\r\n{head}")).await;
            answer(&mut stream, &"x".repeat(size)).await;
            answer(&mut stream, "\r\n0\r\n\r\n").await;
            hold(&mut stream).await;
        })
        .await;
        match client().call(request(address), LONG).await {
            HttpOutcome::TooLarge => assert!(size > MIB),
            HttpOutcome::Response { body, .. } => assert_eq!((size, body.len()), (MIB, MIB)),
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn redirects_are_not_followed() {
    let (elsewhere, reached) = server(|mut stream, _| async move {
        answer(&mut stream, OK).await;
    })
    .await;
    for status in [301, 302, 303, 307, 308] {
        let (address, _) = server(move |mut stream, _| async move {
            read_request(&mut stream).await;
            answer(
                &mut stream,
                &format!("HTTP/1.1 {status} Away\r\nlocation: http://{elsewhere}/\r\ncontent-length: 0\r\n\r\n"),
            )
            .await;
        })
        .await;
        match client().call(request(address), LONG).await {
            HttpOutcome::Response { status: found, .. } => assert_eq!(found, status),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(reached.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn connections_are_used_again() {
    let (address, count) = server(|mut stream, _| async move {
        while read_request(&mut stream).await.is_some() {
            answer(&mut stream, OK).await;
        }
    })
    .await;
    let client = client();
    for _ in 0..50 {
        let outcome = client.call(request(address), LONG).await;
        assert!(
            matches!(outcome, HttpOutcome::Response { status: 200, .. }),
            "{outcome:?}"
        );
    }
    assert_eq!(count.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_connection_that_breaks_after_the_second_request_is_not_made_good_for() {
    let copies = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&copies);
    let (address, _) = server(move |mut stream, _| {
        let counter = Arc::clone(&counter);
        async move {
            read_request(&mut stream).await;
            answer(&mut stream, OK).await;
            if read_request(&mut stream).await.is_some() {
                counter.fetch_add(1, Ordering::SeqCst);
            }
        }
    })
    .await;
    let client = client();
    let first = client.call(request(address), LONG).await;
    assert!(matches!(first, HttpOutcome::Response { .. }), "{first:?}");
    let second = client.call(request(address), LONG).await;
    assert!(is_lost(&second), "{second:?}");
    assert_eq!(copies.load(Ordering::SeqCst), 1);
}

/// A pooled connection that the other side closed, at every moment around the next request: each request arrives at
/// most once, and an answer means that it arrived.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stale_connection_never_doubles_a_request() {
    let arrived = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&arrived);
    let (address, _) = server(move |mut stream, number| {
        let counter = Arc::clone(&counter);
        async move {
            if read_request(&mut stream).await.is_none() {
                return;
            }
            counter.fetch_add(1, Ordering::SeqCst);
            answer(&mut stream, OK).await;
            // Closes a little later each time, from at once to well after the next request.
            for _ in 0..number % 16 {
                tokio::task::yield_now().await;
            }
        }
    })
    .await;
    let client = client();
    for round in 0..400_usize {
        let before = arrived.load(Ordering::SeqCst);
        let outcome = client.call(request(address), LONG).await;
        let copies = arrived.load(Ordering::SeqCst) - before;
        match outcome {
            HttpOutcome::Response { .. } => assert_eq!(copies, 1, "round {round}"),
            HttpOutcome::Lost(_) => assert!(copies <= 1, "round {round}"),
            HttpOutcome::NotSent(_) => assert_eq!(copies, 0, "round {round}"),
            HttpOutcome::TooLarge => panic!("round {round}"),
        }
    }
}

#[tokio::test]
async fn a_stale_connection_is_replaced_when_nothing_was_written() {
    let closed = Arc::new(Semaphore::new(0));
    let closing = Arc::clone(&closed);
    let (address, count) = server(move |mut stream, _| {
        let closing = Arc::clone(&closing);
        async move {
            read_request(&mut stream).await;
            answer(&mut stream, OK).await;
            drop(stream);
            closing.add_permits(1);
        }
    })
    .await;
    let client = client();
    for _ in 0..20 {
        let outcome = client.call(request(address), LONG).await;
        assert!(
            matches!(outcome, HttpOutcome::Response { .. }),
            "{outcome:?}"
        );
        closed.acquire().await.unwrap().forget();
        // On one thread the client's connection learns of the end at the next turn of the scheduler.
        for _ in 0..10 {
            tokio::task::yield_now().await;
        }
    }
    assert_eq!(count.load(Ordering::SeqCst), 20);
}

#[tokio::test]
async fn what_is_shown_holds_no_answer() {
    let outcome = HttpOutcome::Response {
        status: 200,
        headers: HeaderMap::new(),
        body: "16505551234".into(),
    };
    assert_eq!(format!("{outcome:?}"), "Response(200, 11 bytes)");
}
