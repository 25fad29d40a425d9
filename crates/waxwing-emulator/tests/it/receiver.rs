//! A server that receives webhooks and answers as told.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::sync::Notify;
use tokio::task::JoinHandle;

use crate::DEADLINE;

#[derive(Clone)]
pub struct Hook {
    /// Path and query.
    pub target: String,
    pub headers: HeaderMap,
    pub body: Bytes,
    pub status: u16,
}

impl Hook {
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    /// Fields of a form.
    pub fn form(&self) -> std::collections::BTreeMap<String, String> {
        form_urlencoded::parse(&self.body).into_owned().collect()
    }

    /// The value of the first change.
    pub fn value(&self) -> Value {
        self.json()["entry"][0]["changes"][0]["value"].clone()
    }
}

#[derive(Default)]
struct Inner {
    hooks: Mutex<Vec<Hook>>,
    /// Statuses for the next requests; 200 when empty.
    script: Mutex<VecDeque<u16>>,
    changed: Notify,
    verify_token: Mutex<String>,
}

pub struct Receiver {
    inner: Arc<Inner>,
    port: u16,
    task: Option<JoinHandle<()>>,
}

async fn handle(
    inner: Arc<Inner>,
    request: Request<Incoming>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let (head, body) = request.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    if head.method == Method::GET {
        let query = head.uri.query().unwrap_or("");
        let part = |name: &str| {
            query
                .split('&')
                .find_map(|p| p.strip_prefix(name))
                .unwrap_or("")
                .to_owned()
        };
        let good = part("hub.verify_token=") == *inner.verify_token.lock().unwrap();
        let mut answer = Response::new(Full::new(Bytes::from(if good {
            part("hub.challenge=")
        } else {
            String::new()
        })));
        *answer.status_mut() = if good {
            http::StatusCode::OK
        } else {
            http::StatusCode::FORBIDDEN
        };
        return Ok(answer);
    }
    let status = inner.script.lock().unwrap().pop_front().unwrap_or(200);
    inner.hooks.lock().unwrap().push(Hook {
        target: head.uri.to_string(),
        headers: head.headers,
        body,
        status,
    });
    inner.changed.notify_waiters();
    let mut answer = Response::new(Full::new(Bytes::new()));
    *answer.status_mut() = http::StatusCode::from_u16(status).unwrap();
    Ok(answer)
}

impl Receiver {
    pub async fn start() -> Self {
        Self::start_at(0).await
    }

    pub async fn start_at(port: u16) -> Self {
        let inner = Arc::new(Inner::default());
        *inner.verify_token.lock().unwrap() = "waxwing-verify-token".into();
        let mut receiver = Self {
            inner,
            port,
            task: None,
        };
        receiver.listen().await;
        receiver
    }

    /// Listens (again), on the port it had.
    pub async fn listen(&mut self) {
        let listener = TcpListener::bind(("127.0.0.1", self.port)).await.unwrap();
        self.port = listener.local_addr().unwrap().port();
        let inner = Arc::clone(&self.inner);
        self.task = Some(tokio::spawn(async move {
            let mut connections = tokio::task::JoinSet::new();
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let inner = Arc::clone(&inner);
                connections.spawn(async move {
                    let service = service_fn(move |request| handle(Arc::clone(&inner), request));
                    let _ = hyper::server::conn::http1::Builder::new()
                        .serve_connection(TokioIo::new(stream), service)
                        .await;
                });
            }
        }));
    }

    /// Stops listening and drops all connections.
    pub async fn down(&mut self) {
        if let Some(task) = self.task.take() {
            task.abort();
            let _ = task.await;
        }
    }

    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}/webhook", self.port)
    }

    pub fn script(&self, statuses: &[u16]) {
        self.inner.script.lock().unwrap().extend(statuses);
    }

    pub fn hooks(&self) -> Vec<Hook> {
        self.inner.hooks.lock().unwrap().clone()
    }

    /// All statuses received with 200, in order.
    pub fn statuses(&self) -> Vec<Value> {
        let hooks = self.hooks();
        hooks
            .iter()
            .filter(|h| h.status == 200)
            .flat_map(|h| {
                h.value()["statuses"]
                    .as_array()
                    .cloned()
                    .unwrap_or_default()
            })
            .collect()
    }

    /// All user messages received with 200, in order.
    pub fn messages(&self) -> Vec<Value> {
        let hooks = self.hooks();
        hooks
            .iter()
            .filter(|h| h.status == 200)
            .flat_map(|h| h.json()["entry"].as_array().cloned().unwrap_or_default())
            .flat_map(|e| {
                e["changes"][0]["value"]["messages"]
                    .as_array()
                    .cloned()
                    .unwrap_or_default()
            })
            .collect()
    }

    pub async fn wait(&self, what: &str, condition: impl Fn(&Self) -> bool) {
        let wait = async {
            loop {
                let changed = self.inner.changed.notified();
                tokio::pin!(changed);
                changed.as_mut().enable();
                if condition(self) {
                    return;
                }
                changed.await;
            }
        };
        assert!(
            tokio::time::timeout(DEADLINE, wait).await.is_ok(),
            "never: {what}"
        );
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        if let Some(task) = &self.task {
            task.abort();
        }
    }
}
