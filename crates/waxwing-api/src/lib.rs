//! The HTTP surface: routes, who may call them, how input is read and how errors look.
//!
//! [`router`] makes the whole surface from an [`ApiState`]. A handler reads its input with the extractors of
//! [`auth`], [`extract`] and [`page`], does its work in the store, and answers with a body of [`answer`] or an
//! [`errors::ApiError`]. Routes are registered with their OpenAPI description in [`routes`].

pub mod access;
pub mod address;
pub mod answer;
pub mod auth;
pub mod check;
pub mod errors;
pub mod extract;
pub mod layers;
pub mod openapi;
pub mod page;
pub mod rates;
pub mod routes;
pub mod state;
pub mod trail;

pub use errors::{ApiError, ApiResult};
pub use routes::router;
pub use state::{ApiSettings, ApiState, AppHandles};
