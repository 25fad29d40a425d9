//! Objects in an S3-compatible store, reached through the one outbound client.

use std::sync::Arc;

use async_trait::async_trait;
use http_body_util::BodyExt as _;
use object_store::aws::AmazonS3Builder;
use object_store::client::{
    HttpClient as StoreClient, HttpConnector, HttpError, HttpErrorKind, HttpRequest, HttpResponse,
    HttpResponseBody, HttpService,
};
use object_store::prefix::PrefixStore;
use object_store::{ClientOptions, ObjectStore};
use waxwing_core::secret::Secret;
use waxwing_providers::http::{HttpClient, RelayError};
use waxwing_store::domain::crypto::Keyring;

use super::{Vault, VaultError};

/// Where an S3-compatible store is.
#[derive(Debug, Clone)]
pub struct S3 {
    /// The bucket.
    pub bucket: String,
    /// Put before the names of all objects; may be empty.
    pub prefix: String,
    /// The address of the service; AWS's own when not given.
    pub endpoint: Option<String>,
    /// The region.
    pub region: String,
    /// The name of the key.
    pub access_key_id: String,
    /// The key.
    pub secret_access_key: Secret,
}

impl Vault {
    /// Objects in an S3-compatible store.
    ///
    /// # Errors
    /// When the settings do not fit together. Nothing is called yet.
    pub fn s3(keyring: Keyring, client: HttpClient, place: &S3) -> Result<Self, VaultError> {
        let mut builder = AmazonS3Builder::new()
            .with_bucket_name(&place.bucket)
            .with_region(&place.region)
            .with_access_key_id(&place.access_key_id)
            .with_secret_access_key(place.secret_access_key.expose())
            .with_http_connector(Connector(client))
            // Not every service knows the other form.
            .with_disable_bulk_delete(true);
        if let Some(endpoint) = &place.endpoint {
            builder = builder
                .with_endpoint(endpoint)
                .with_allow_http(endpoint.starts_with("http://"));
        }
        let objects = builder.build()?;
        let objects: Arc<dyn ObjectStore> = if place.prefix.is_empty() {
            Arc::new(objects)
        } else {
            Arc::new(PrefixStore::new(objects, place.prefix.as_str()))
        };
        Ok(Self::new(keyring, objects))
    }
}

#[derive(Debug)]
struct Connector(HttpClient);

impl HttpConnector for Connector {
    fn connect(&self, _options: &ClientOptions) -> object_store::Result<StoreClient> {
        Ok(StoreClient::new(Relay(self.0.clone())))
    }
}

#[derive(Debug)]
struct Relay(HttpClient);

#[async_trait]
impl HttpService for Relay {
    async fn call(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        let answer = self.0.relay(request).await.map_err(|error| {
            let kind = match error {
                RelayError::NotSent(_) => HttpErrorKind::Connect,
                RelayError::Lost(_) => HttpErrorKind::Interrupted,
            };
            HttpError::new(kind, error)
        })?;
        Ok(answer.map(|body| {
            HttpResponseBody::new(
                body.map_err(|error| HttpError::new(HttpErrorKind::Interrupted, error)),
            )
        }))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;
    use std::sync::Mutex;

    use super::*;
    use futures_util::TryStreamExt as _;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::{TcpListener, TcpStream};
    use uuid::Uuid;
    use waxwing_core::ids::TenantId;
    use waxwing_providers::http::HttpLimits;

    type Objects = Arc<Mutex<HashMap<String, Vec<u8>>>>;

    /// As much of S3 as a small object needs.
    async fn bucket() -> (String, Objects) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let objects = Objects::default();
        let served = Arc::clone(&objects);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, Arc::clone(&served)));
            }
        });
        (format!("http://{address}"), objects)
    }

    async fn serve(mut stream: TcpStream, objects: Objects) {
        let mut seen = Vec::new();
        loop {
            let head = loop {
                if let Some(end) = seen.windows(4).position(|part| part == b"\r\n\r\n") {
                    break end + 4;
                }
                let mut piece = [0; 4_096];
                match stream.read(&mut piece).await {
                    Ok(0) | Err(_) => return,
                    Ok(read) => seen.extend_from_slice(&piece[..read]),
                }
            };
            let text = String::from_utf8(seen[..head].to_vec()).unwrap();
            let field = |name: &str| {
                text.lines().find_map(|line| {
                    let (key, value) = line.split_once(':')?;
                    key.eq_ignore_ascii_case(name)
                        .then(|| value.trim().to_owned())
                })
            };
            assert!(
                field("authorization").is_some_and(|value| value.starts_with("AWS4-HMAC-SHA256 ")),
                "{text}"
            );
            let length: usize = field("content-length").map_or(0, |value| value.parse().unwrap());
            while seen.len() < head + length {
                let mut piece = [0; 4_096];
                let read = stream.read(&mut piece).await.unwrap();
                seen.extend_from_slice(&piece[..read]);
            }
            let body = seen[head..head + length].to_vec();
            seen.drain(..head + length);
            let mut words = text.split_whitespace();
            let (method, path) = (words.next().unwrap(), words.next().unwrap().to_owned());
            let answer = answer(&objects, method, path, body, field("range"));
            stream.write_all(&answer).await.unwrap();
        }
    }

    fn answer(
        objects: &Objects,
        method: &str,
        path: String,
        body: Vec<u8>,
        range: Option<String>,
    ) -> Vec<u8> {
        const FACTS: &str = "ETag: \"1\"\r\nLast-Modified: Wed, 25 Nov 2026 00:00:00 GMT\r\n";
        let mut objects = objects.lock().unwrap();
        let found = objects.get(&path).cloned();
        match (method, found) {
            ("PUT", _) => {
                objects.insert(path, body);
                format!("HTTP/1.1 200 OK\r\n{FACTS}Content-Length: 0\r\n\r\n").into_bytes()
            }
            ("DELETE", _) => {
                objects.remove(&path);
                b"HTTP/1.1 204 No Content\r\n\r\n".to_vec()
            }
            ("GET", Some(whole)) => {
                let range = range.unwrap();
                let (from, to) = range
                    .strip_prefix("bytes=")
                    .unwrap()
                    .split_once('-')
                    .unwrap();
                let from: usize = from.parse().unwrap();
                let to = to.parse::<usize>().unwrap().min(whole.len() - 1);
                let part = &whole[from..=to];
                let head = format!(
                    "HTTP/1.1 206 Partial Content\r\n{FACTS}Content-Range: bytes {from}-{to}/{}\r\nContent-Length: {}\r\n\r\n",
                    whole.len(),
                    part.len()
                );
                [head.as_bytes(), part].concat()
            }
            _ => b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n".to_vec(),
        }
    }

    #[tokio::test]
    async fn a_bucket_holds_objects() {
        let (endpoint, objects) = bucket().await;
        let place = S3 {
            bucket: "files".into(),
            prefix: "waxwing".into(),
            endpoint: Some(endpoint),
            region: "us-east-1".into(),
            access_key_id: "AKID".into(),
            secret_access_key: Secret::new("secret"),
        };
        let keyring = Keyring::for_tests(1);
        let vault = Vault::s3(keyring, HttpClient::new(HttpLimits::default()), &place).unwrap();
        let (tenant, object) = (TenantId::from_uuid(Uuid::from_u128(1)), Uuid::from_u128(2));
        let bytes = vec![7; 200_000];
        let mut writer = vault.write(tenant, object, 1_000_000);
        writer.write(&bytes).await.unwrap();
        let stored = writer.finish(None).await.unwrap();
        assert_eq!(stored.size, 200_000);
        let names: Vec<String> = objects.lock().unwrap().keys().cloned().collect();
        assert!(
            names.len() == 1 && names[0].starts_with("/files/waxwing/"),
            "{names:?}"
        );
        let reader = vault.read(tenant, object, stored.size).await.unwrap();
        let found: Vec<bytes::Bytes> = reader.stream(100_000..200_000).try_collect().await.unwrap();
        assert!(found.concat() == bytes[100_000..]);
        vault.delete(tenant, object).await.unwrap();
        assert!(objects.lock().unwrap().is_empty());
        assert!(matches!(
            vault.read(tenant, object, 1).await,
            Err(VaultError::Missing)
        ));
    }
}
