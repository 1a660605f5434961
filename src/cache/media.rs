//! Web cache deception: a page that answers under the name of a file (`/account/x.css`).
//!
//! Extension and `Content-Type` are compared where the route, not the origin, says that a response
//! may be kept: a rule for `*.css` was made for style sheets. Extensions that are not listed say
//! nothing. Statuses other than 200 and 203 are not looked at: the 404 of a file is a page.

use crate::http::ResponseHead;
use crate::http::list::trim;

/// Extensions, and the beginnings of the media types that go with them.
const KINDS: &[(&[&str], &[&str])] = &[
    (&["css"], &["text/css"]),
    (
        &["js", "mjs"],
        &[
            "text/javascript",
            "application/javascript",
            "application/x-javascript",
            "text/ecmascript",
        ],
    ),
    (&["json", "map", "webmanifest"], &["application/", "text/json"]),
    (
        &["png", "jpg", "jpeg", "gif", "webp", "avif", "svg", "ico", "bmp", "tiff"],
        &["image/", "application/octet-stream"],
    ),
    (
        &["woff", "woff2", "ttf", "otf", "eot"],
        &[
            "font/",
            "application/font",
            "application/x-font",
            "application/vnd.ms-fontobject",
            "application/octet-stream",
        ],
    ),
    (
        &["mp4", "webm", "mp3", "ogg", "wav", "m4a", "mov", "flac"],
        &["video/", "audio/", "application/ogg", "application/octet-stream"],
    ),
    (&["pdf", "zip", "gz", "wasm", "docx", "xlsx", "pptx"], &["application/"]),
];

/// Whether a response's media type contradicts the extension of the path it answers for.
#[must_use]
pub fn contradicts(path: &str, response: &ResponseHead) -> bool {
    if !matches!(response.status, 200 | 203) {
        return false;
    }
    let name = path.rsplit('/').next().unwrap_or_default();
    let Some((_, extension)) = name.rsplit_once('.') else { return false };
    let extension = extension.to_ascii_lowercase();
    let Some((_, types)) = KINDS.iter().find(|(list, _)| list.contains(&extension.as_str())) else {
        return false;
    };
    let stated = response.fields.get("content-type").unwrap_or_default().to_ascii_lowercase();
    let stated = trim(&stated);
    // A text is no file of these kinds, whatever else the type begins with.
    !types.iter().any(|kind| stated.starts_with(kind))
}
