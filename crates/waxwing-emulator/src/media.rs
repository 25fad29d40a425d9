//! Media kept in memory: upload, address, download, deletion (meta.md section 14).

use std::collections::{HashMap, VecDeque};

use bytes::Bytes;
use ring::digest;
use serde_json::json;

use crate::answer::Answer;
use crate::hub::Hub;
use crate::ids::{object_id, trace};
use crate::meta::errors::GraphError;
use crate::state::lock;

#[derive(Debug)]
struct Stored {
    mime: String,
    bytes: Bytes,
    sha256: [u8; 32],
    /// Addresses handed out: secret part and the moment at which they end, in milliseconds.
    urls: VecDeque<(String, u64)>,
}

/// Uploaded files, the oldest of which give way when the limit is reached.
#[derive(Debug)]
pub(crate) struct MediaStore {
    limit: usize,
    used: usize,
    files: HashMap<String, Stored>,
    order: VecDeque<String>,
}

/// Addresses that one file can have at the same time.
const URLS: usize = 16;

impl MediaStore {
    pub(crate) fn new(limit: usize) -> Self {
        Self {
            limit,
            used: 0,
            files: HashMap::new(),
            order: VecDeque::new(),
        }
    }

    pub(crate) fn has(&self, id: &str) -> bool {
        self.files.contains_key(id)
    }

    /// Keeps a file; false when it is larger than the whole store.
    pub(crate) fn put(&mut self, id: &str, mime: &str, bytes: Bytes) -> bool {
        if bytes.len() > self.limit {
            return false;
        }
        while self.used + bytes.len() > self.limit {
            let Some(oldest) = self.order.pop_front() else {
                break;
            };
            self.remove(&oldest);
        }
        self.used += bytes.len();
        let mut sha256 = [0; 32];
        sha256.copy_from_slice(digest::digest(&digest::SHA256, &bytes).as_ref());
        self.order.push_back(id.to_owned());
        self.files.insert(
            id.to_owned(),
            Stored {
                mime: mime.to_owned(),
                bytes,
                sha256,
                urls: VecDeque::new(),
            },
        );
        true
    }

    /// Forgets a file; false when there is none.
    pub(crate) fn remove(&mut self, id: &str) -> bool {
        let Some(file) = self.files.remove(id) else {
            return false;
        };
        self.used -= file.bytes.len();
        self.order.retain(|other| other != id);
        true
    }

    /// SHA-256 of a file's content.
    pub(crate) fn sha256(&self, id: &str) -> Option<[u8; 32]> {
        self.files.get(id).map(|f| f.sha256)
    }
}

impl Hub {
    /// Hands out a download address for a file.
    pub(crate) fn media_url(&self, id: &str) -> Option<String> {
        let (hash, until) = self.media_secret(id, self.config.media_url_life)?;
        Some(format!(
            "{}/whatsapp_business/attachments/?mid={id}&ext={}&hash={hash}",
            self.url(),
            until / 1000
        ))
    }

    /// A new secret part of an address of a file, and the moment at which it ends, in milliseconds.
    pub(crate) fn media_secret(
        &self,
        id: &str,
        life: std::time::Duration,
    ) -> Option<(String, u64)> {
        let hash = String::from_utf8_lossy(&trace::<27>(&self.rng)).into_owned();
        let life = u64::try_from(life.as_millis()).unwrap_or(u64::MAX);
        let until = self.now_ms().saturating_add(life);
        let mut store = lock(&self.media);
        let file = store.files.get_mut(id)?;
        if file.urls.len() >= URLS {
            file.urls.pop_front();
        }
        file.urls.push_back((hash.clone(), until));
        Some((hash, until))
    }

    pub(crate) fn media_get(&self, version: &str, id: &str) -> Option<Answer> {
        Some(Answer::value(self, version, &self.media_facts(id)?))
    }

    /// What Meta tells about a file, with a fresh download address.
    pub(crate) fn media_facts(&self, id: &str) -> Option<serde_json::Value> {
        let url = self.media_url(id)?;
        let store = lock(&self.media);
        let file = store.files.get(id)?;
        Some(json!({
            "messaging_product": "whatsapp",
            "url": url,
            "mime_type": file.mime,
            "sha256": hex::encode(file.sha256),
            "file_size": file.bytes.len().to_string(),
            "id": id,
        }))
    }

    pub(crate) fn media_delete(&self, version: &str, id: &str) -> Option<Answer> {
        lock(&self.media)
            .remove(id)
            .then(|| Answer::success(self, version))
    }

    /// Serves a download address; 404 without a body once it has ended.
    pub(crate) fn media_download(&self, id: &str, hash: &str) -> Answer {
        let now = self.now_ms();
        let store = lock(&self.media);
        let file = store
            .files
            .get(id)
            .filter(|f| f.urls.iter().any(|(h, until)| h == hash && *until > now));
        let Some(file) = file else {
            return Answer::plain(404, "text/html", "");
        };
        let (mime, bytes) = (file.mime.clone(), file.bytes.clone());
        drop(store);
        Answer::plain(200, "", bytes).header(http::header::CONTENT_TYPE, &mime)
    }

    /// `POST /{phone-number-id}/media`.
    pub(crate) fn media_upload(&self, version: &str, content_type: &str, body: &Bytes) -> Answer {
        match self.store_upload(content_type, body) {
            Ok(id) => Answer::value(self, version, &json!({ "id": id })),
            Err(error) => Answer::error(self, version, &error),
        }
    }

    fn store_upload(&self, content_type: &str, body: &Bytes) -> Result<String, GraphError> {
        let boundary = boundary(content_type).ok_or_else(|| {
            GraphError::invalid("The request is no multipart form with a boundary")
        })?;
        let parts = multipart(body, boundary)
            .ok_or_else(|| GraphError::invalid("The multipart form is broken"))?;
        let field = |name: &str| parts.iter().find(|p| p.name == name);
        if field("messaging_product").map(|p| p.body.as_ref()) != Some(b"whatsapp") {
            return Err(GraphError::invalid(
                "The parameter messaging_product is required.",
            ));
        }
        let file =
            field("file").ok_or_else(|| GraphError::invalid("The parameter file is required."))?;
        // The part's own type counts; `type` only when the part has none (section 14: words alone are not believed).
        let named = field("type").map(|p| String::from_utf8_lossy(&p.body).into_owned());
        let mime = file.content_type.clone().or(named).unwrap_or_default();
        check_type(&mime, file.body.len())?;
        let id = object_id(&self.rng);
        if lock(&self.media).put(&id, &mime, file.body.clone()) {
            Ok(id)
        } else {
            Err(GraphError::detailed(
                131_053,
                "The file is larger than the memory given to media",
            ))
        }
    }
}

const MB: usize = 1 << 20;

/// Refuses what Meta refuses: unknown types and sizes above the kind's limit.
fn check_type(mime: &str, size: usize) -> Result<(), GraphError> {
    let base = mime
        .split(';')
        .next()
        .unwrap_or("")
        .trim()
        .to_ascii_lowercase();
    let limit = match base.as_str() {
        "image/jpeg" | "image/png" => 5 * MB,
        "image/webp" => 500 * 1024,
        "audio/aac" | "audio/amr" | "audio/mpeg" | "audio/mp4" | "audio/ogg" | "video/mp4"
        | "video/3gpp" => 16 * MB,
        _ if base.starts_with("text/") || base.starts_with("application/") => 100 * MB,
        _ => {
            let kind = base.split('/').next().unwrap_or("");
            let help = if kind == "image" {
                " Please use one of image/jpeg, image/png, image/webp."
            } else {
                ""
            };
            return Err(GraphError::detailed(
                131_053,
                format!("Unsupported {kind} mime type {base}.{help}"),
            ));
        }
    };
    if size == 0 || size > limit {
        return Err(GraphError::detailed(
            131_053,
            format!("Media file size invalid. Min: 1, Max: {limit}"),
        ));
    }
    Ok(())
}

struct Part {
    name: String,
    content_type: Option<String>,
    body: Bytes,
}

fn boundary(content_type: &str) -> Option<&str> {
    let rest = content_type.strip_prefix("multipart/form-data")?;
    let value = rest
        .split(';')
        .find_map(|p| p.trim().strip_prefix("boundary="))?;
    let value = value.trim_matches('"');
    (!value.is_empty() && value.len() <= 70).then_some(value)
}

fn find(haystack: &[u8], needle: &[u8], from: usize) -> Option<usize> {
    haystack
        .get(from..)?
        .windows(needle.len())
        .position(|w| w == needle)
        .map(|at| at + from)
}

/// Splits a form into at most 16 parts.
fn multipart(body: &Bytes, boundary: &str) -> Option<Vec<Part>> {
    let marker = format!("--{boundary}");
    let mut parts = Vec::new();
    let mut at = find(body, marker.as_bytes(), 0)? + marker.len();
    while parts.len() < 16 {
        if body.get(at..at + 2)? == b"--" {
            return Some(parts);
        }
        let head_end = find(body, b"\r\n\r\n", at)?;
        let head = String::from_utf8_lossy(body.get(at..head_end)?).into_owned();
        let start = head_end + 4;
        let end = find(body, format!("\r\n{marker}").as_bytes(), start)?;
        let header = |wanted: &str| {
            head.lines().find_map(|line| {
                let (name, value) = line.split_once(':')?;
                name.trim()
                    .eq_ignore_ascii_case(wanted)
                    .then(|| value.trim().to_owned())
            })
        };
        let disposition = header("content-disposition")?;
        let name = disposition
            .split(';')
            .find_map(|p| p.trim().strip_prefix("name="))?
            .trim_matches('"')
            .to_owned();
        parts.push(Part {
            name,
            content_type: header("content-type"),
            body: body.slice(start..end),
        });
        at = end + 2 + marker.len();
    }
    None
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::{MediaStore, boundary, multipart};

    #[test]
    fn reads_forms() {
        let form = Bytes::from_static(
            b"--xyz\r\nContent-Disposition: form-data; name=\"messaging_product\"\r\n\r\nwhatsapp\r\n--xyz\r\n\
              content-disposition: form-data; name=\"file\"; filename=\"a.jpg\"\r\nContent-Type: image/jpeg\r\n\r\n\
              \x00\r\n--xy\r\n--xyz--\r\n",
        );
        let parts = multipart(
            &form,
            boundary("multipart/form-data; boundary=\"xyz\"").unwrap(),
        )
        .unwrap();
        assert_eq!(parts.len(), 2);
        assert_eq!(parts[1].name, "file");
        assert_eq!(parts[1].content_type.as_deref(), Some("image/jpeg"));
        assert_eq!(&parts[1].body[..], b"\x00\r\n--xy");
        assert!(multipart(&form, "abc").is_none());
        assert!(multipart(&form.slice(..form.len() - 10), "xyz").is_none());
    }

    #[test]
    fn oldest_files_give_way() {
        let mut store = MediaStore::new(10);
        assert!(store.put("a", "image/png", Bytes::from_static(b"123456")));
        assert!(store.put("b", "image/png", Bytes::from_static(b"1234")));
        assert!(store.has("a") && store.has("b"));
        assert!(store.put("c", "image/png", Bytes::from_static(b"1")));
        assert!(!store.has("a") && store.has("b") && store.has("c"));
        assert!(!store.put("d", "image/png", Bytes::from_static(b"12345678901")));
    }
}
