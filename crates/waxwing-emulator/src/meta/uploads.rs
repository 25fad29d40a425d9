//! Resumable uploads, which sample files of templates go by (meta.md section 14): a session, then its bytes, then a handle.

use std::collections::VecDeque;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::answer::Answer;
use crate::hub::Hub;
use crate::ids::{Rng, trace};
use crate::meta::errors::GraphError;
use crate::meta::graph::APP_ID;
use crate::server::Call;
use crate::state::lock;

/// Sessions that are open, and handles that are known; older ones give way.
const KEPT: usize = 256;
/// Largest file.
const LARGEST: u64 = 100 << 20;
/// What the upload takes.
const TYPES: [&str; 5] = [
    "application/pdf",
    "image/jpeg",
    "image/jpg",
    "image/png",
    "video/mp4",
];

#[derive(Debug)]
struct Session {
    id: String,
    signature: String,
    mime: String,
    length: u64,
}

/// Uploads of all apps.
#[derive(Debug, Default)]
pub(crate) struct Uploads {
    open: VecDeque<Session>,
    handles: VecDeque<String>,
}

fn push<T>(list: &mut VecDeque<T>, item: T) {
    if list.len() >= KEPT {
        list.pop_front();
    }
    list.push_back(item);
}

impl Uploads {
    /// Whether a handle was given out.
    pub(crate) fn knows(&self, handle: &str) -> bool {
        self.handles.iter().any(|known| known == handle)
    }

    fn begin(&mut self, call: &Call<'_>, rng: &Rng) -> Result<Value, GraphError> {
        let mime = call.param("file_type").unwrap_or_default();
        if !TYPES.contains(&mime.as_str()) {
            return Err(GraphError::invalid(format!(
                "Param file_type must be one of {{{}}}",
                TYPES.join(", ")
            )));
        }
        let length = call.param("file_length").and_then(|text| text.parse().ok());
        let Some(length) = length.filter(|length| (1..=LARGEST).contains(length)) else {
            return Err(GraphError::invalid(
                "Param file_length must be a size of 1 to 104857600",
            ));
        };
        let id = format!("upload:{}", hex::encode(trace::<16>(rng)));
        let signature = hex::encode(trace::<8>(rng));
        let name = format!("{id}?sig={signature}");
        push(
            &mut self.open,
            Session {
                id,
                signature,
                mime,
                length,
            },
        );
        Ok(json!({ "id": name }))
    }

    fn fill(&mut self, call: &Call<'_>, rng: &Rng) -> Result<Value, GraphError> {
        let signature = call.param("sig").unwrap_or_default();
        let place = self
            .open
            .iter()
            .position(|open| open.id == call.id && open.signature == signature)
            .ok_or_else(|| GraphError::unknown_object("post", call.id))?;
        if call.file_offset != "0" {
            return Err(GraphError::invalid(
                "The header file_offset must be 0 for a new upload",
            ));
        }
        let session = &self.open[place];
        if call.body.len() as u64 != session.length {
            return Err(GraphError::invalid(format!(
                "The upload has {} bytes instead of {}",
                call.body.len(),
                session.length
            )));
        }
        let handle = format!(
            "4::{}:{}",
            STANDARD.encode(&session.mime),
            hex::encode(trace::<24>(rng))
        );
        self.open.remove(place);
        push(&mut self.handles, handle.clone());
        Ok(json!({ "h": handle }))
    }
}

/// Serves a call about uploads; `None` when it is about something else.
pub(crate) fn serve(hub: &Hub, call: &Call<'_>) -> Option<Answer> {
    if *call.method != http::Method::POST {
        return None;
    }
    let mut uploads = lock(&hub.meta.uploads);
    let done = if call.edge == "uploads" && matches!(call.id, "app" | APP_ID) {
        uploads.begin(call, &hub.rng)
    } else if call.id.starts_with("upload:") && call.edge.is_empty() {
        uploads.fill(call, &hub.rng)
    } else {
        return None;
    };
    Some(match done {
        Ok(value) => Answer::value(hub, call.version, &value),
        Err(error) => Answer::error(hub, call.version, &error),
    })
}

/// The first sample of a template to be made that is no handle of an upload.
pub(crate) fn unknown_handle(hub: &Hub, template: &Value) -> Option<GraphError> {
    let uploads = lock(&hub.meta.uploads);
    let parts = template.get("components")?.as_array()?;
    let handles = parts
        .iter()
        .filter_map(|part| part.pointer("/example/header_handle/0"));
    handles
        .filter_map(Value::as_str)
        .any(|handle| !uploads.knows(handle))
        .then(|| GraphError::invalid("Param example.header_handle is not a handle of an upload"))
}
