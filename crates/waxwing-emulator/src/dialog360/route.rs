//! The addresses of 360dialog's API (360dialog.md section 1). They carry no phone number id: the key names the number.

/// What a call is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Route<'a> {
    Send,
    Upload,
    MediaInfo(&'a str),
    MediaDelete(&'a str),
    /// The bytes of a file, under the path that Meta's host has.
    MediaBytes,
    WebhookGet,
    WebhookSet,
    TemplateList,
    TemplateCreate,
    TemplateDelete(&'a str),
    Unknown,
}

impl<'a> Route<'a> {
    /// Whether a path without the key header can only be meant for 360dialog.
    pub(crate) fn owns(path: &str) -> bool {
        matches!(path, "/messages" | "/media") || path.starts_with("/v1/configs/")
    }

    pub(crate) fn of(method: &str, path: &'a str) -> Self {
        let path = path.strip_prefix('/').unwrap_or(path);
        let path = path.strip_suffix('/').unwrap_or(path);
        match (method, path) {
            ("POST", "messages") => Self::Send,
            ("POST", "media") => Self::Upload,
            ("GET", "whatsapp_business/attachments") => Self::MediaBytes,
            ("GET", "v1/configs/webhook") => Self::WebhookGet,
            ("POST", "v1/configs/webhook") => Self::WebhookSet,
            ("GET", "v1/configs/templates") => Self::TemplateList,
            ("POST", "v1/configs/templates") => Self::TemplateCreate,
            ("DELETE", path) if path.starts_with("v1/configs/templates/") => {
                Self::TemplateDelete(&path["v1/configs/templates/".len()..])
            }
            ("GET", id) if is_id(id) => Self::MediaInfo(id),
            ("DELETE", id) if is_id(id) => Self::MediaDelete(id),
            _ => Self::Unknown,
        }
    }
}

fn is_id(segment: &str) -> bool {
    !matches!(segment, "" | "messages" | "media")
        && segment.len() <= 64
        && segment
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b == b'-')
}

#[cfg(test)]
mod tests {
    use super::Route;

    #[test]
    fn reads_paths() {
        for (method, path, route) in [
            ("POST", "/messages", Route::Send),
            ("POST", "/media", Route::Upload),
            (
                "GET",
                "/1037543291543636",
                Route::MediaInfo("1037543291543636"),
            ),
            (
                "DELETE",
                "/1037543291543636",
                Route::MediaDelete("1037543291543636"),
            ),
            ("GET", "/whatsapp_business/attachments/", Route::MediaBytes),
            ("GET", "/v1/configs/webhook", Route::WebhookGet),
            ("POST", "/v1/configs/webhook", Route::WebhookSet),
            ("GET", "/v1/configs/templates", Route::TemplateList),
            ("POST", "/v1/configs/templates", Route::TemplateCreate),
            (
                "DELETE",
                "/v1/configs/templates/promo",
                Route::TemplateDelete("promo"),
            ),
            ("GET", "/messages", Route::Unknown),
            ("POST", "/v25.0/318922994632101/messages", Route::Unknown),
        ] {
            assert_eq!(Route::of(method, path), route, "{method} {path}");
        }
        assert!(Route::owns("/messages") && Route::owns("/v1/configs/webhook"));
        assert!(
            !Route::owns("/v25.0/318922994632101/messages") && !Route::owns("/1037543291543636")
        );
    }
}
