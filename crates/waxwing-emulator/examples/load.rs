//! Measures how many sends a second the emulator takes on this machine: `cargo run --release --example load`.
//! The load comes over 64 kept-alive connections from the same process, so the figure is a lower bound.

#![expect(clippy::print_stdout, reason = "a program for the terminal")]

use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use waxwing_emulator::{Emulator, EmulatorConfig, NumberConfig, StatusTiming};

async fn connection(
    emulator: std::net::SocketAddr,
    worker: usize,
    until: Instant,
) -> std::io::Result<u64> {
    let mut stream = TcpStream::connect(emulator).await?;
    stream.set_nodelay(true)?;
    let mut buffer = vec![0_u8; 4096];
    let mut done = 0;
    while Instant::now() < until {
        let body = format!(
            "{{\"messaging_product\":\"whatsapp\",\"recipient_type\":\"individual\",\"to\":\"+1650{worker:03}{:04}\",\
             \"type\":\"interactive\",\"interactive\":{{\"type\":\"button\",\"body\":{{\"text\":\"What can we do for you today?\"}},\
             \"action\":{{\"buttons\":[{{\"type\":\"reply\",\"reply\":{{\"id\":\"balance\",\"title\":\"Balance\"}}}},{{\"type\":\"reply\",\
             \"reply\":{{\"id\":\"card\",\"title\":\"Block a card\"}}}}]}}}},\"biz_opaque_callback_data\":\"v1.0198c2f3.{done:08}\"}}",
            done % 10_000
        );
        let request = format!(
            "POST /v25.0/106540352242922/messages HTTP/1.1\r\nhost: a\r\nauthorization: Bearer EAAJB-test-token\r\n\
             content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        );
        stream.write_all(request.as_bytes()).await?;
        let mut got = 0;
        loop {
            let n = stream.read(&mut buffer[got..]).await?;
            got += n;
            if n == 0 || buffer[..got].ends_with(b"}]}") {
                break;
            }
        }
        assert!(
            buffer.starts_with(b"HTTP/1.1 200"),
            "{}",
            String::from_utf8_lossy(&buffer[..got])
        );
        done += 1;
    }
    Ok(done)
}

async fn sink(listener: tokio::net::TcpListener) {
    while let Ok((mut stream, _)) = listener.accept().await {
        tokio::spawn(async move {
            let mut buffer = vec![0_u8; 256 * 1024];
            let mut got = 0;
            while let Ok(n) = stream.read(&mut buffer[got..]).await {
                got += n;
                if n == 0 || got == buffer.len() {
                    break;
                }
                if buffer[..got].ends_with(b"]}") {
                    got = 0;
                    if stream
                        .write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")
                        .await
                        .is_err()
                    {
                        break;
                    }
                }
            }
        });
    }
}

#[tokio::main]
async fn main() -> std::io::Result<()> {
    let receiver = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    let hook = format!("http://{}/", receiver.local_addr()?);
    tokio::spawn(sink(receiver));
    for (name, statuses, ledger) in [
        ("no statuses", false, false),
        ("statuses", true, false),
        ("statuses and ledger", true, true),
    ] {
        let timing = if statuses {
            StatusTiming::default()
        } else {
            StatusTiming {
                sent: None,
                ..StatusTiming::default()
            }
        };
        let emulator = Emulator::start(EmulatorConfig {
            timing,
            ledger,
            ..EmulatorConfig::bench()
        })
        .await?;
        emulator.add_number(NumberConfig {
            webhook_url: Some(hook.clone()),
            ..NumberConfig::default()
        });
        let seconds = 3;
        let until = Instant::now() + Duration::from_secs(seconds);
        let workers: Vec<_> = (0..64)
            .map(|w| tokio::spawn(connection(emulator.address(), w, until)))
            .collect();
        let mut total = 0;
        for worker in workers {
            total += worker.await.map_err(std::io::Error::other)??;
        }
        let idle = emulator.webhooks_idle(Duration::from_secs(20)).await;
        println!(
            "{name}: {} sends/s, all statuses out: {idle}, {:?}",
            total / seconds,
            emulator.ledger().counts()
        );
        emulator.stop().await;
    }
    Ok(())
}
