//! Files at providers that name them by link and fetch ours by link: Twilio and MSG91 (protocols/twilio.md 6,
//! protocols/msg91.md 4).

use bytes::Bytes;
use http::{HeaderMap, Method};
use reqwest::Url;
use waxwing_core::channel::ChannelKind;
use waxwing_core::content::Media;
use waxwing_core::errors::ProviderError;

use super::{FetchStep, MediaApi, wrong_place};
use crate::http::HttpRequest;
use crate::messaging::adapter::{Account, BuildError, Endpoints};
use crate::messaging::twilio;

/// Twilio: credentials for its own hosts, then a redirect to a host of files, without them.
#[derive(Debug)]
pub(super) struct TwilioFiles;

impl MediaApi for TwilioFiles {
    fn kind(&self) -> ChannelKind {
        ChannelKind::Twilio
    }

    fn fetch(
        &self,
        account: &Account,
        endpoints: &Endpoints,
        media: &Media,
    ) -> Result<FetchStep, BuildError> {
        let link = media.link.as_deref().ok_or(BuildError::NoMedia)?;
        let fetch = twilio::media_request(account, endpoints, link)?;
        Ok(FetchStep::Download(fetch.request))
    }

    fn redirected(
        &self,
        endpoints: &Endpoints,
        from: &str,
        location: &str,
    ) -> Result<FetchStep, ProviderError> {
        twilio::media_redirect(endpoints, from, location)
            .map(|fetch| FetchStep::Download(fetch.request))
            .map_err(|error| wrong_place(&error.to_string()))
    }
}

/// MSG91: links that need no credentials and get none.
#[derive(Debug)]
pub(super) struct Msg91Files;

impl MediaApi for Msg91Files {
    fn kind(&self) -> ChannelKind {
        ChannelKind::Msg91
    }

    fn fetch(
        &self,
        _account: &Account,
        _endpoints: &Endpoints,
        media: &Media,
    ) -> Result<FetchStep, BuildError> {
        let link = media.link.clone().ok_or(BuildError::NoMedia)?;
        Ok(FetchStep::Download(plain(link)))
    }

    fn redirected(
        &self,
        _endpoints: &Endpoints,
        from: &str,
        location: &str,
    ) -> Result<FetchStep, ProviderError> {
        let from = Url::parse(from).map_err(|_| wrong_place("the link cannot be read"))?;
        let url = from
            .join(location)
            .map_err(|_| wrong_place("the link leads nowhere"))?;
        if from.scheme() == "https" && url.scheme() != "https" {
            return Err(wrong_place("the link leads away from https"));
        }
        Ok(FetchStep::Download(plain(url.into())))
    }
}

fn plain(url: String) -> HttpRequest {
    HttpRequest {
        method: Method::GET,
        url,
        headers: HeaderMap::new(),
        body: Bytes::new(),
    }
}
