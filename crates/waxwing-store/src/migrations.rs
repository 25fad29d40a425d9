//! The list of the steps of the schema. A step is a directory of `migrations` with `up.sql` and `down.sql`.
//!
//! The scripts are written once for both engines, in the dialect of tokens (`{uuid}`, `{json}`, `{strict}` ..). Where
//! the engines differ by more, lines between `--@sqlite` or `--@postgres` and `--@all` serve one of them.

use crate::Step;

/// All steps, the oldest first.
pub const STEPS: &[Step] = crate::steps!["../migrations"; "0001_initial", "0002_media", "0003_message_templates", "0004_portfolio_limits", "0005_accounts", "0006_data_keys", "0007_audit", "0008_privacy", "0009_second_factor", "0010_content_encryption"];
