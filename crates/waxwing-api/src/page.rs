//! Pages of lists: `limit`, an opaque `cursor`, and `nextCursor`.
//!
//! A cursor is a position behind which the next page begins, bound to the list it comes from. It grants nothing: the
//! list is filtered by tenant whatever the cursor says.

use axum::extract::FromRequestParts;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::request::Parts;
use serde::Deserialize;
use utoipa::IntoParams;
use uuid::Uuid;
use waxwing_core::limits;
use waxwing_core::time::Timestamp;

use crate::errors::ApiError;
use crate::extract::ApiQuery;

/// How many items a page has when the caller does not say.
const DEFAULT_LIMIT: u32 = 50;
const VERSION: u8 = 1;

/// The parameters of a list, for the document.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct PageQuery {
    /// How many items at most, 1 to 200.
    #[param(value_type = Option<u32>, minimum = 1, maximum = 200, default = 50)]
    limit: Option<String>,
    /// `nextCursor` of the page before.
    cursor: Option<String>,
}

/// Which page of a list is wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    /// How many items at most.
    pub limit: u32,
    cursor: Option<String>,
}

impl<S: Send + Sync> FromRequestParts<S> for Page {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let ApiQuery(query) = ApiQuery::<PageQuery>::from_request_parts(parts, state).await?;
        let limit = match query.limit {
            None => DEFAULT_LIMIT,
            Some(text) => text
                .parse()
                .map_err(|_| ApiError::malformed_field("limit", "must be a number"))?,
        };
        if !(1..=limits::PAGE).contains(&limit) {
            return Err(ApiError::invalid_field(
                "limit",
                format!("must be 1 to {}", limits::PAGE),
            ));
        }
        Ok(Self {
            limit,
            cursor: query.cursor,
        })
    }
}

/// A place in a list: what its items are ordered by.
pub trait Position: Sized {
    /// The bytes of the position.
    fn encode(&self) -> Vec<u8>;
    /// Reads the bytes of [`Position::encode`].
    fn decode(bytes: &[u8]) -> Option<Self>;
}

impl Position for Uuid {
    fn encode(&self) -> Vec<u8> {
        self.as_bytes().to_vec()
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        Self::from_slice(bytes).ok()
    }
}

impl Position for (Timestamp, Uuid) {
    fn encode(&self) -> Vec<u8> {
        [self.0.micros().to_be_bytes().as_slice(), self.1.as_bytes()].concat()
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let (at, id) = bytes.split_first_chunk::<8>()?;
        Some((
            Timestamp::from_micros(i64::from_be_bytes(*at)),
            Uuid::from_slice(id).ok()?,
        ))
    }
}

impl Page {
    /// How many rows to read: one more than shown, to know whether there is a next page.
    #[must_use]
    pub const fn rows(&self) -> u32 {
        self.limit + 1
    }

    /// The position behind which the page begins; `None` for the first page.
    ///
    /// # Errors
    /// 400 for a cursor that is not one of this list.
    pub fn after<P: Position>(&self, list: &'static str) -> Result<Option<P>, ApiError> {
        let Some(text) = &self.cursor else {
            return Ok(None);
        };
        decode(list, text)
            .map(Some)
            .ok_or_else(|| ApiError::malformed_field("cursor", "is not a cursor of this list"))
    }

    /// Cuts the rows that were read down to the page; the answer is `nextCursor`, `None` on the last page.
    pub fn finish<T, P: Position>(
        &self,
        list: &'static str,
        rows: &mut Vec<T>,
        position: impl Fn(&T) -> P,
    ) -> Option<String> {
        let limit = usize::try_from(self.limit).unwrap_or(usize::MAX);
        if rows.len() <= limit {
            return None;
        }
        rows.truncate(limit);
        rows.last().map(|last| encode(list, &position(last)))
    }
}

fn encode<P: Position>(list: &str, position: &P) -> String {
    URL_SAFE_NO_PAD.encode(
        [
            &[VERSION],
            list.as_bytes(),
            &[0],
            position.encode().as_slice(),
        ]
        .concat(),
    )
}

fn decode<P: Position>(list: &str, text: &str) -> Option<P> {
    // Longer than any cursor that was given out.
    if text.len() > 200 {
        return None;
    }
    let bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
    let rest = bytes
        .strip_prefix(&[VERSION])?
        .strip_prefix(list.as_bytes())?
        .strip_prefix(&[0])?;
    P::decode(rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cursors_round_trip_and_belong_to_one_list() {
        let position = (Timestamp::from_micros(-7), Uuid::from_u128(9));
        let text = encode("conversations", &position);
        assert_eq!(decode("conversations", &text), Some(position));
        assert_eq!(decode::<(Timestamp, Uuid)>("messages", &text), None);
        assert_eq!(decode::<Uuid>("conversations", &text), None);
        let id = encode("messages", &Uuid::from_u128(9));
        assert_eq!(decode("messages", &id), Some(Uuid::from_u128(9)));
        for bad in [
            "",
            "AQ",
            "not base64!",
            &id[1..],
            &format!("{id}AA"),
            &"A".repeat(300),
        ] {
            assert_eq!(decode::<Uuid>("messages", bad), None, "{bad}");
        }
    }

    #[test]
    fn a_page_is_cut_and_says_where_the_next_begins() {
        let page = Page {
            limit: 2,
            cursor: None,
        };
        let mut rows = vec![Uuid::from_u128(1), Uuid::from_u128(2), Uuid::from_u128(3)];
        let next = page.finish("list", &mut rows, |id| *id).unwrap();
        assert_eq!(rows.len(), 2);
        let second = Page {
            limit: 2,
            cursor: Some(next),
        };
        assert_eq!(
            second.after::<Uuid>("list").unwrap(),
            Some(Uuid::from_u128(2))
        );
        let mut rest = vec![Uuid::from_u128(3)];
        assert_eq!(second.finish("list", &mut rest, |id| *id), None);
    }
}
