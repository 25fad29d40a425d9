//! The sample files of headers. A draft names a file of ours, a link or a handle of the provider; what is handed in names
//! what the provider takes.

use std::time::Duration;

use http::{HeaderMap, Method};
use waxwing_core::channel::ChannelKind;
use waxwing_core::content::MediaKind;
use waxwing_core::ids::{MediaId, TenantId};
use waxwing_core::media::{self as rules, extension};
use waxwing_core::message_template::{Component, Header, HeaderFormat, MessageTemplate};
use waxwing_providers::http::guard::Guard;
use waxwing_providers::http::{DownloadLimits, HttpRequest, StreamBody};
use waxwing_providers::messaging::media::own_origin;
use waxwing_providers::messaging::{
    Sample, SampleWay, TemplateError, TemplateFailure, template_api,
};
use waxwing_store::domain::media::{self, MediaRow};

use super::{ManageError, MessageTemplates};
use crate::directory::Channel;
use crate::media::{Described, FileError, PROVIDER_LINK_LIFE, fits};

/// Samples of one template: a header, or one on each of ten cards.
const SAMPLES_MAX: usize = 10;
/// How long a sample may take on its way, and how long there may be silence.
const TRANSFER_DEADLINE: Duration = Duration::from_secs(120);
const SILENCE: Duration = Duration::from_secs(20);
/// What Meta takes as the sample of each kind (its upload knows fewer types than its messages).
const TYPES: [(MediaKind, &[&str]); 3] = [
    (MediaKind::Image, &["image/jpeg", "image/png"]),
    (MediaKind::Video, &["video/mp4"]),
    (MediaKind::Document, &["application/pdf"]),
];

impl MessageTemplates {
    /// The template with its samples as the provider of the channel takes them.
    ///
    /// # Errors
    /// [`ManageError::NotPossible`] says what is wrong with a sample; [`ManageError::Provider`] when the provider refused
    /// it. Nothing was handed in then.
    pub(super) async fn with_samples(
        &self,
        channel: &Channel,
        template: &MessageTemplate,
    ) -> Result<MessageTemplate, ManageError> {
        let mut template = template.clone();
        let mut count = 0;
        for header in headers(&mut template.components) {
            let Some(kind) = kind_of(&header.format) else {
                continue;
            };
            for handle in &mut header.handles {
                count += 1;
                if count > SAMPLES_MAX {
                    return Err(refused(format!("more than {SAMPLES_MAX} sample files")));
                }
                *handle = self.sample(channel, kind, handle).await?;
            }
        }
        Ok(template)
    }

    async fn sample(
        &self,
        channel: &Channel,
        kind: MediaKind,
        named: &str,
    ) -> Result<String, ManageError> {
        let way = template_api(channel.kind).sample_way();
        if let Ok(id) = named.parse::<MediaId>() {
            let row = self.own_file(channel.tenant_id, id, kind).await?;
            return match way {
                SampleWay::Handle => self.handle_of(channel, &row).await,
                SampleWay::Link => match &self.endpoints.public_url {
                    Some(public) => {
                        let path = self.files.link(channel.tenant_id, id, PROVIDER_LINK_LIFE);
                        Ok(format!("{public}{path}"))
                    }
                    None => Err(refused(
                        "the provider fetches the sample by link, so PUBLIC_URL has to be set",
                    )),
                },
                SampleWay::LastingLink => Err(refused(
                    "the provider sends the sample itself with every message, so it needs a public link that stays",
                )),
            };
        }
        if way == SampleWay::Handle && named.contains("://") {
            let row = self.fetched(channel, kind, named).await?;
            return self.handle_of(channel, &row).await;
        }
        Ok(named.to_owned())
    }

    async fn own_file(
        &self,
        tenant: TenantId,
        id: MediaId,
        kind: MediaKind,
    ) -> Result<MediaRow, ManageError> {
        let read = self.base.store.read(move |tx| media::get(tx, tenant, id));
        let row = read
            .await?
            .ok_or_else(|| refused(format!("there is no file {id} for the sample")))?;
        fitting(&row, kind)?;
        Ok(row)
    }

    /// Fetches what a link leads to and keeps it as a file of the tenant.
    async fn fetched(
        &self,
        channel: &Channel,
        kind: MediaKind,
        link: &str,
    ) -> Result<MediaRow, ManageError> {
        let wrong = |why: &dyn std::fmt::Display| refused(format!("the link of the sample: {why}"));
        let guard = Guard::allowing(own_origin(channel.kind, &self.endpoints));
        let address = guard.check(link).map_err(|why| wrong(&why))?;
        let limits = DownloadLimits {
            bytes: rules::limit(ChannelKind::Meta, kind).bytes,
            deadline: TRANSFER_DEADLINE,
            silence: SILENCE,
        };
        let request = HttpRequest {
            method: Method::GET,
            url: link.to_owned(),
            headers: HeaderMap::new(),
            body: bytes::Bytes::new(),
        };
        let mut download = self
            .client
            .open(request, &address, limits)
            .await
            .map_err(|why| wrong(&why))?;
        if download.status != 200 {
            return Err(wrong(&format!("it answers with {}", download.status)));
        }
        let mut incoming = self.files.upload(channel.tenant_id).await.map_err(file)?;
        loop {
            let written = match download.chunk().await {
                Ok(None) => break,
                Ok(Some(piece)) => incoming.write(&piece).await.map_err(file),
                Err(why) => Err(wrong(&why)),
            };
            if let Err(error) = written {
                incoming.abort().await;
                return Err(error);
            }
        }
        let described = Described {
            kind: Some(kind),
            ..Described::default()
        };
        let row = incoming.finish(described, None).await.map_err(file)?;
        fitting(&row, kind)?;
        Ok(row)
    }

    /// Uploads a file as a sample; the provider's handle.
    async fn handle_of(&self, channel: &Channel, row: &MediaRow) -> Result<String, ManageError> {
        let api = template_api(channel.kind);
        let (account, endpoints) = (&channel.account, &*self.endpoints);
        let mime = row.mime.clone().unwrap_or_default();
        let size = row.size.and_then(|size| u64::try_from(size).ok());
        let size = size.unwrap_or(0);
        let sample = Sample {
            mime: &mime,
            bytes: size,
            filename: &format!("sample.{}", extension(&mime)),
        };
        let request = api.build_sample(account, endpoints, sample)?;
        let session = api.interpret_sample(&self.call(request).await);
        let session = session.map_err(nothing_done)?;
        let request = api.build_sample_bytes(account, endpoints, &session)?;
        let (reader, _reading) = self
            .files
            .read(channel.tenant_id, row)
            .await
            .map_err(file)?;
        let body = StreamBody::new(reader.stream(0..size), size);
        let answer = self.client.send(request, body, TRANSFER_DEADLINE).await;
        Ok(api.interpret_sample_bytes(&answer).map_err(nothing_done)?)
    }
}

/// An upload that was lost is no template that may have been made.
fn nothing_done(mut error: TemplateError) -> TemplateError {
    if error.failure == TemplateFailure::Unknown {
        error.failure = TemplateFailure::Unreachable;
    }
    error
}

fn refused(why: impl Into<String>) -> ManageError {
    ManageError::NotPossible(why.into())
}

fn file(error: FileError) -> ManageError {
    match error {
        FileError::Store(error) => error.into(),
        other => refused(format!("the sample: {other}")),
    }
}

/// Whether a file can be the sample of a header.
fn fitting(row: &MediaRow, kind: MediaKind) -> Result<(), ManageError> {
    fits(row, ChannelKind::Meta, kind).map_err(|why| refused(format!("the sample {why}")))?;
    let mime = rules::essence(row.mime.as_deref().unwrap_or_default());
    let types = TYPES.iter().find(|(one, _)| *one == kind);
    match types {
        Some((_, types)) if !types.contains(&mime.as_str()) => Err(refused(format!(
            "the sample is {mime}; use {}",
            types.join(" or ")
        ))),
        _ => Ok(()),
    }
}

fn kind_of(format: &HeaderFormat) -> Option<MediaKind> {
    match format {
        HeaderFormat::Image => Some(MediaKind::Image),
        HeaderFormat::Video => Some(MediaKind::Video),
        HeaderFormat::Document => Some(MediaKind::Document),
        _ => None,
    }
}

/// The headers of a template, those of its cards too.
fn headers(components: &mut [Component]) -> Vec<&mut Header> {
    let mut found = Vec::new();
    for component in components {
        match component {
            Component::Header(header) => found.push(header),
            Component::Carousel(cards) => {
                for card in cards {
                    found.extend(card.iter_mut().filter_map(|part| match part {
                        Component::Header(header) => Some(header),
                        _ => None,
                    }));
                }
            }
            _ => {}
        }
    }
    found
}
