//! Files: which types and sizes a provider takes, what a file really is, and names that are safe to show.
//!
//! The limits are protocols/meta.md 14 and protocols/twilio.md 6 as data. What a file is, its own bytes say; words of a
//! sender about it are only believed where the bytes allow them.

use std::time::Duration;

use crate::channel::ChannelKind;
use crate::content::MediaKind;

/// Bytes of the largest file that any provider hands over or takes.
pub const FILE_BYTES: u64 = 100 * MB;
/// Bytes at the beginning of a file that tell its type.
pub const SNIFFED_BYTES: usize = 8 * 1024;
/// Characters of a cleaned file name.
pub const FILE_NAME: usize = 120;
/// How long an id from a webhook names a file (protocols/meta.md 14 says 7 days; one is kept in hand).
pub const INBOUND_LIFE: Duration = Duration::from_secs(6 * 24 * 3_600);
/// How long an uploaded file is used before it is uploaded again (protocols/meta.md 14 says 30 days).
pub const UPLOAD_LIFE: Duration = Duration::from_secs(29 * 24 * 3_600);

const KB: u64 = 1024;
const MB: u64 = 1024 * KB;

const IMAGES: &[&str] = &["image/jpeg", "image/png"];
const AUDIO: &[&str] = &[
    "audio/aac",
    "audio/amr",
    "audio/mpeg",
    "audio/mp4",
    "audio/ogg",
];
const VIDEO: &[&str] = &["video/mp4", "video/3gpp"];
const STICKERS: &[&str] = &["image/webp"];
/// What Twilio takes as a document (protocols/twilio.md 6).
const TWILIO_DOCUMENTS: &[&str] = &[
    "application/pdf",
    "application/msword",
    "application/vnd.ms-excel",
    "application/vnd.ms-powerpoint",
    "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
    "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
    "application/vnd.openxmlformats-officedocument.presentationml.presentation",
    "text/vcard",
];

/// What a provider takes as one kind of media.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limit {
    /// The types; empty for any.
    pub types: &'static [&'static str],
    /// Bytes.
    pub bytes: u64,
}

/// What a provider takes. Where a type may be animated, the larger limit stands here: the provider itself refuses a
/// static sticker above 100 KB.
#[must_use]
pub const fn limit(provider: ChannelKind, kind: MediaKind) -> Limit {
    let twilio = matches!(provider, ChannelKind::Twilio);
    match kind {
        MediaKind::Image => Limit {
            types: IMAGES,
            bytes: 5 * MB,
        },
        MediaKind::Audio => Limit {
            types: AUDIO,
            bytes: 16 * MB,
        },
        MediaKind::Video => Limit {
            types: VIDEO,
            bytes: 16 * MB,
        },
        MediaKind::Sticker => Limit {
            types: STICKERS,
            bytes: 500 * KB,
        },
        MediaKind::Document if twilio => Limit {
            types: TWILIO_DOCUMENTS,
            bytes: 16 * MB,
        },
        MediaKind::Document => Limit {
            types: &[],
            bytes: FILE_BYTES,
        },
    }
}

/// Bytes of a file that is fetched when it comes in as one kind of media. Above what may be sent, since WhatsApp's own
/// apps may send more.
#[must_use]
pub const fn received_bytes(kind: MediaKind) -> u64 {
    match kind {
        MediaKind::Image => 16 * MB,
        MediaKind::Sticker => MB,
        MediaKind::Audio | MediaKind::Video | MediaKind::Document => FILE_BYTES,
    }
}

/// Why a file cannot be sent as a kind of media.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The type is not one of those that the provider takes.
    #[error("{mime} is not taken as {}: use {}", .kind.as_str(), .types.join(", "))]
    Type {
        /// The type of the file.
        mime: String,
        /// As what it was to be sent.
        kind: MediaKind,
        /// What would be taken.
        types: &'static [&'static str],
    },
    /// It is too large.
    #[error("{} bytes are too many for {}: at most {most}", .bytes, .kind.as_str())]
    Size {
        /// The size of the file.
        bytes: u64,
        /// As what it was to be sent.
        kind: MediaKind,
        /// What would be taken.
        most: u64,
    },
    /// It has no bytes.
    #[error("the file is empty")]
    Empty,
}

/// Whether a provider takes a file as a kind of media.
///
/// # Errors
/// Why not.
pub fn check(
    provider: ChannelKind,
    kind: MediaKind,
    mime: &str,
    bytes: u64,
) -> Result<(), Refusal> {
    let limit = limit(provider, kind);
    let mime = essence(mime);
    if bytes == 0 {
        return Err(Refusal::Empty);
    }
    if !limit.types.is_empty() && !limit.types.contains(&mime.as_str()) {
        return Err(Refusal::Type {
            mime,
            kind,
            types: limit.types,
        });
    }
    if bytes > limit.bytes {
        return Err(Refusal::Size {
            bytes,
            kind,
            most: limit.bytes,
        });
    }
    Ok(())
}

/// The type without its parameters, in small letters.
#[must_use]
pub fn essence(mime: &str) -> String {
    mime.split(';')
        .next()
        .unwrap_or_default()
        .trim()
        .to_ascii_lowercase()
}

/// What a file is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sniffed {
    /// Its type, never with parameters.
    pub mime: String,
    /// The type is another one than was claimed, and not just a more exact word for it.
    pub mismatch: bool,
}

/// What a file is, from its beginning (at most [`SNIFFED_BYTES`] are looked at) and what was claimed about it. The bytes
/// win. A claim is believed only where the bytes are a container that others share (an office document is a ZIP file),
/// or are plain text.
#[must_use]
pub fn sniff(beginning: &[u8], claimed: Option<&str>) -> Sniffed {
    let beginning = &beginning[..beginning.len().min(SNIFFED_BYTES)];
    let claimed = claimed.map(essence).filter(|claimed| !claimed.is_empty());
    let found = by_bytes(beginning);
    let Some(found) = found else {
        let text = is_text(beginning);
        return match claimed {
            Some(claimed) if text && is_text_type(&claimed) => Sniffed {
                mime: claimed,
                mismatch: false,
            },
            Some(claimed) if is_opaque(&claimed) && !text => Sniffed {
                mime: claimed,
                mismatch: false,
            },
            claimed => Sniffed {
                mime: if text {
                    "text/plain"
                } else {
                    "application/octet-stream"
                }
                .to_owned(),
                mismatch: claimed.is_some_and(|claimed| claimed != "application/octet-stream"),
            },
        };
    };
    match claimed {
        None => Sniffed {
            mime: found.to_owned(),
            mismatch: false,
        },
        Some(claimed) if same(found, &claimed) => Sniffed {
            mime: claimed,
            mismatch: false,
        },
        Some(claimed) => Sniffed {
            mime: found.to_owned(),
            mismatch: claimed != "application/octet-stream",
        },
    }
}

fn by_bytes(bytes: &[u8]) -> Option<&'static str> {
    // What may carry a script is never taken for anything else, whatever stands in front of it.
    let shown: Vec<u8> = bytes
        .iter()
        .copied()
        .skip_while(|byte| byte.is_ascii_whitespace() || matches!(byte, 0xef | 0xbb | 0xbf))
        .take(1024)
        .map(|byte| byte.to_ascii_lowercase())
        .collect();
    let has = |word: &[u8]| shown.windows(word.len()).any(|part| part == word);
    if shown.starts_with(b"<") {
        if has(b"<svg") {
            return Some("image/svg+xml");
        }
        if [
            &b"<!doctype html"[..],
            b"<html",
            b"<script",
            b"<body",
            b"<head",
        ]
        .into_iter()
        .any(has)
        {
            return Some("text/html");
        }
    }
    if bytes.get(4..8) == Some(b"ftyp") && bytes.get(8..11) == Some(b"3gp") {
        return Some("video/3gpp");
    }
    // The head of an OLE file: the old formats of Office share it.
    if bytes.starts_with(&[0xd0, 0xcf, 0x11, 0xe0, 0xa1, 0xb1, 0x1a, 0xe1]) {
        return Some("application/x-ole-storage");
    }
    infer::get(bytes).map(|found| match found.mime_type() {
        "audio/m4a" => "audio/mp4",
        "video/x-m4v" => "video/mp4",
        "audio/opus" | "application/ogg" => "audio/ogg",
        other => other,
    })
}

/// Whether a claim is another word for what the bytes are, or a kind of it.
fn same(found: &str, claimed: &str) -> bool {
    const ZIPS: [&str; 3] = [
        "application/vnd.openxmlformats-officedocument.",
        "application/vnd.oasis.opendocument.",
        "application/epub+zip",
    ];
    found == claimed
        || match found {
            "application/zip" => ZIPS.iter().any(|zip| claimed.starts_with(zip)),
            "application/x-ole-storage" => matches!(
                claimed,
                "application/msword" | "application/vnd.ms-excel" | "application/vnd.ms-powerpoint"
            ),
            // The container is the same; only the tracks inside tell.
            "video/mp4" => matches!(claimed, "audio/mp4" | "video/3gpp"),
            "audio/mp4" => claimed == "video/mp4",
            "video/3gpp" => matches!(claimed, "audio/3gpp" | "audio/amr" | "video/mp4"),
            "text/xml" => claimed == "application/xml",
            _ => false,
        }
}

fn is_text(bytes: &[u8]) -> bool {
    let whole = match std::str::from_utf8(bytes) {
        Ok(_) => true,
        // A character may be cut off at the end.
        Err(error) => error.error_len().is_none(),
    };
    whole
        && !bytes
            .iter()
            .any(|byte| *byte < 0x20 && !matches!(byte, b'\t' | b'\n' | b'\r' | 0x0c | 0x1b))
}

/// Types that are plain text and carry no script.
fn is_text_type(claimed: &str) -> bool {
    matches!(
        claimed,
        "text/plain"
            | "text/csv"
            | "text/vcard"
            | "text/x-vcard"
            | "text/calendar"
            | "text/markdown"
            | "application/json"
    )
}

/// Types of documents that have no mark at the beginning; nobody shows them inline.
fn is_opaque(claimed: &str) -> bool {
    claimed == "application/octet-stream" || claimed.starts_with("application/vnd.")
}

/// As what a file is sent when nobody says so.
#[must_use]
pub fn kind_of(mime: &str) -> MediaKind {
    let mime = essence(mime);
    let fits = |kind| {
        limit(ChannelKind::Meta, kind)
            .types
            .contains(&mime.as_str())
    };
    [MediaKind::Image, MediaKind::Audio, MediaKind::Video]
        .into_iter()
        .find(|kind| fits(*kind))
        .unwrap_or(MediaKind::Document)
}

/// Whether a browser may show a file of this type in a page: pictures, sound and films that run nothing.
#[must_use]
pub fn is_shown_inline(mime: &str) -> bool {
    matches!(
        mime,
        "image/jpeg"
            | "image/png"
            | "image/webp"
            | "image/gif"
            | "audio/aac"
            | "audio/amr"
            | "audio/mpeg"
            | "audio/mp4"
            | "audio/ogg"
            | "video/mp4"
            | "video/3gpp"
    )
}

/// The usual ending of a file of this type, without the dot; `bin` where there is none.
#[must_use]
pub fn extension(mime: &str) -> &'static str {
    match mime {
        "image/jpeg" => "jpg",
        "image/png" => "png",
        "image/webp" => "webp",
        "image/gif" => "gif",
        "audio/aac" => "aac",
        "audio/amr" => "amr",
        "audio/mpeg" => "mp3",
        "audio/mp4" => "m4a",
        "audio/ogg" => "ogg",
        "video/mp4" => "mp4",
        "video/3gpp" => "3gp",
        "application/pdf" => "pdf",
        "application/msword" => "doc",
        "application/vnd.ms-excel" => "xls",
        "application/vnd.ms-powerpoint" => "ppt",
        "application/vnd.openxmlformats-officedocument.wordprocessingml.document" => "docx",
        "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet" => "xlsx",
        "application/vnd.openxmlformats-officedocument.presentationml.presentation" => "pptx",
        "application/zip" => "zip",
        "application/json" => "json",
        "text/plain" => "txt",
        "text/csv" => "csv",
        "text/vcard" | "text/x-vcard" => "vcf",
        _ => "bin",
    }
}

/// A file name that is safe to show and to save under; `None` when nothing of it is left.
///
/// Paths, control characters, characters that turn the direction of writing, and everything that a file system or a
/// header could read as something else are taken away. The ending survives when the name has to be cut.
#[must_use]
pub fn clean_file_name(name: &str) -> Option<String> {
    let last = name.rsplit(['/', '\\']).next().unwrap_or_default();
    let kept: String = last
        .chars()
        .filter(|c| !c.is_control() && !is_invisible(*c))
        .map(|c| match c {
            '<' | '>' | ':' | '"' | '|' | '?' | '*' | '\'' | '`' | ';' | '%' => '_',
            c if c.is_whitespace() => ' ',
            c => c,
        })
        .collect();
    let kept = kept.trim_matches(|c: char| c == '.' || c == ' ');
    if kept.is_empty() {
        return None;
    }
    let (stem, ending) = match kept.rsplit_once('.') {
        Some((stem, ending)) if !stem.is_empty() && ending.chars().count() <= 10 => {
            (stem, Some(ending))
        }
        _ => (kept, None),
    };
    let room = FILE_NAME - ending.map_or(0, |ending| ending.chars().count() + 1);
    let stem: String = stem.chars().take(room).collect();
    let reserved = [
        "con", "prn", "aux", "nul", "com1", "com2", "com3", "lpt1", "lpt2", "lpt3",
    ]
    .contains(&stem.to_ascii_lowercase().as_str());
    let stem = if reserved { format!("_{stem}") } else { stem };
    Some(match ending {
        Some(ending) => format!("{stem}.{ending}"),
        None => stem,
    })
}

/// Characters that are not seen and change how others look.
const fn is_invisible(c: char) -> bool {
    matches!(c,
        '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

/// How long a file waits before it is fetched again, after `attempts` that failed for a passing reason. `jitter` is a
/// random number in `0.0..1.0`.
#[must_use]
pub fn fetch_again(attempts: u32, jitter: f64) -> Duration {
    const FIRST: f64 = 2.0;
    const MOST: f64 = 6.0 * 3_600.0;
    let exponent = i32::try_from(attempts.saturating_sub(1)).unwrap_or(i32::MAX);
    let seconds = (FIRST * 4f64.powi(exponent.min(12))).min(MOST);
    Duration::from_secs_f64(seconds * (1.0 + jitter.clamp(0.0, 1.0) / 2.0))
}

#[cfg(test)]
#[path = "media_tests.rs"]
mod tests;
