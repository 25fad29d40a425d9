//! A small HTTP/1.1 client over one kept connection. It costs little, so that the generator of load leaves the
//! processor to what is measured, and it never sends a request twice by itself.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// An answer.
#[derive(Debug, Clone, Default)]
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// The body.
    pub body: Vec<u8>,
}

/// A connection.
#[derive(Debug)]
pub struct Conn {
    stream: TcpStream,
    buffer: Vec<u8>,
    closing: bool,
}

/// Headers longer than this are no answer of the server under test.
const HEAD_MAX: usize = 64 * 1024;
const BODY_MAX: usize = 64 * 1024 * 1024;

impl Conn {
    /// Connects.
    ///
    /// # Errors
    /// What the system says.
    pub async fn open(address: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Self {
            stream,
            buffer: Vec::with_capacity(4096),
            closing: false,
        })
    }

    /// Whether the server announced that it closes the connection.
    #[must_use]
    pub const fn closing(&self) -> bool {
        self.closing
    }

    /// Sends a whole request and reads its answer.
    ///
    /// # Errors
    /// When the connection breaks or the answer cannot be read; then the connection is of no more use.
    pub async fn call(&mut self, request: &[u8]) -> io::Result<Answer> {
        self.stream.write_all(request).await?;
        self.buffer.clear();
        let (head, status, length) = loop {
            if let Some(end) = find(&self.buffer, b"\r\n\r\n") {
                let (status, length, closing) = head(&self.buffer[..end])?;
                self.closing = closing;
                break (end + 4, status, length);
            }
            if self.buffer.len() > HEAD_MAX {
                return Err(bad("the head of the answer is too long"));
            }
            self.read_more().await?;
        };
        if length > BODY_MAX {
            return Err(bad("the answer is too long"));
        }
        while self.buffer.len() < head + length {
            self.read_more().await?;
        }
        let body = if length == 0 {
            Vec::new()
        } else {
            self.buffer[head..head + length].to_vec()
        };
        Ok(Answer { status, body })
    }

    async fn read_more(&mut self) -> io::Result<()> {
        match self.stream.read_buf(&mut self.buffer).await? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            _ => Ok(()),
        }
    }
}

fn bad(text: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, text)
}

fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack
        .windows(needle.len())
        .position(|window| window == needle)
}

/// Status, length of the body, and whether the connection ends, from the head of an answer.
fn head(bytes: &[u8]) -> io::Result<(u16, usize, bool)> {
    let text = std::str::from_utf8(bytes).map_err(|_| bad("the head of the answer is not text"))?;
    let mut lines = text.split("\r\n");
    let status = lines
        .next()
        .and_then(|line| line.strip_prefix("HTTP/1.1 "))
        .and_then(|line| line.get(..3))
        .and_then(|code| code.parse().ok())
        .ok_or_else(|| bad("the answer is not HTTP/1.1"))?;
    let (mut length, mut closing) = (0, false);
    for line in lines {
        let Some((name, value)) = line.split_once(':') else {
            continue;
        };
        let value = value.trim();
        if name.eq_ignore_ascii_case("content-length") {
            length = value
                .parse()
                .map_err(|_| bad("the length is not a number"))?;
        } else if name.eq_ignore_ascii_case("connection") {
            closing = value.eq_ignore_ascii_case("close");
        } else if name.eq_ignore_ascii_case("transfer-encoding") {
            return Err(bad("the answer has no length"));
        }
    }
    Ok((status, length, closing))
}

/// A whole request. `headers` are complete lines.
#[must_use]
pub fn request(method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(256 + body.len());
    bytes.extend_from_slice(method.as_bytes());
    bytes.push(b' ');
    bytes.extend_from_slice(path.as_bytes());
    bytes.extend_from_slice(b" HTTP/1.1\r\nhost: 127.0.0.1\r\n");
    for (name, value) in headers {
        bytes.extend_from_slice(name.as_bytes());
        bytes.extend_from_slice(b": ");
        bytes.extend_from_slice(value.as_bytes());
        bytes.extend_from_slice(b"\r\n");
    }
    if !body.is_empty() || method == "POST" {
        bytes.extend_from_slice(format!("content-length: {}\r\n", body.len()).as_bytes());
    }
    bytes.extend_from_slice(b"\r\n");
    bytes.extend_from_slice(body);
    bytes
}

/// A client that reconnects when it has to, and never repeats a request.
#[derive(Debug)]
pub struct Client {
    address: SocketAddr,
    conn: Option<Conn>,
    timeout: Duration,
}

impl Client {
    /// A client; connects with the first call.
    #[must_use]
    pub const fn new(address: SocketAddr, timeout: Duration) -> Self {
        Self {
            address,
            conn: None,
            timeout,
        }
    }

    /// Sends a request and reads its answer.
    ///
    /// # Errors
    /// When there was no answer in time; whether the request took effect is unknown then.
    pub async fn call(&mut self, request: &[u8]) -> io::Result<Answer> {
        let mut conn = self.conn.take();
        let address = self.address;
        let work = async {
            let mut open = match conn.take() {
                Some(conn) => conn,
                None => Conn::open(address).await?,
            };
            let answer = open.call(request).await?;
            Ok::<_, io::Error>((answer, open))
        };
        let (answer, open) = tokio::time::timeout(self.timeout, work)
            .await
            .map_err(|_| io::Error::from(io::ErrorKind::TimedOut))??;
        if !open.closing() {
            self.conn = Some(open);
        }
        Ok(answer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heads_are_read() {
        let text = b"HTTP/1.1 202 Accepted\r\nContent-Length: 12\r\nConnection: close";
        assert_eq!(head(text).expect("it can be read"), (202, 12, true));
        assert!(head(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked").is_err());
        assert!(head(b"SSH-2.0").is_err());
    }

    #[test]
    fn requests_have_a_length() {
        let bytes = request("POST", "/x", &[("a", "b")], b"hi");
        let text = String::from_utf8(bytes).expect("it is text");
        assert_eq!(
            text,
            "POST /x HTTP/1.1\r\nhost: 127.0.0.1\r\na: b\r\ncontent-length: 2\r\n\r\nhi"
        );
    }
}
