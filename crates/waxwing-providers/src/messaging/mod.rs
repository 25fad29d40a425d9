//! Messaging providers, one module each. `cloud` holds what all speakers of Meta's Cloud API share.

mod cloud;
pub mod meta;
