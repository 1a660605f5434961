//! The stored form of what L1 and L2 hold: a versioned envelope of head and body.
//!
//! ```text
//! "EISR"  version:u8  head_length:u32 (big-endian)  head (JSON)  body
//! ```
//!
//! The body's bytes never pass through here: a store writes them behind the prefix that [`encode`]
//! returns, and cuts them off where [`split`] says. What can't be read is a [`CodecError`], which
//! the engine treats as a miss with a reason. A reader takes every version up to its own; fields
//! are only ever added.

use std::fmt::Write as _;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::base::json::{parse_json, read_value};
use crate::base::time::{Epoch, Seconds, Timestamp};
use crate::cache::entry::{Entry, Freshness};
use crate::cache::key::{CacheKey, Page, Selection};
use crate::cache::tag::TagSet;
use crate::http::Fields;

/// The envelope's first bytes.
pub const MAGIC: [u8; 4] = *b"EISR";
/// The version that [`encode`] writes.
pub const VERSION: u8 = 1;
/// Bytes before the head.
pub const PREFIX_BYTES: usize = 9;
/// The longest head that is written as a field: runtimes and caches bound what fields may hold.
pub const MAX_LINE_BYTES: usize = 8 << 10;
/// The longest head that is read: far above 1,000 tags of 1,024 bytes and 128 KiB of fields.
pub const MAX_HEAD_BYTES: usize = 4 << 20;

/// What can stand under a key in L1 or L2.
#[derive(Clone, Debug, PartialEq)]
pub enum Record {
    /// A stored response; its body follows.
    Entry(Box<Entry>),
    /// The page varies: look under the key of the variant that these request fields select.
    Vary(Vec<String>),
    /// Hit-for-pass: the page's answers can't be stored; pass until then.
    Pass {
        /// Why the last answer was not stored.
        reason: String,
        /// When to try again.
        until: Timestamp,
    },
}

/// Why bytes are not an envelope.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CodecError {
    /// They do not begin with [`MAGIC`].
    Magic,
    /// Written by a version that this one does not know.
    Version(u8),
    /// They end inside the prefix or the head.
    Truncated,
    /// The head is longer than [`MAX_HEAD_BYTES`].
    TooLong,
    /// The head is not what its version says.
    Head(String),
}

impl std::fmt::Display for CodecError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Magic => f.write_str("not an envelope"),
            Self::Version(version) => write!(f, "an envelope of unknown version {version}"),
            Self::Truncated => f.write_str("a truncated envelope"),
            Self::TooLong => f.write_str("an envelope whose head is too long"),
            Self::Head(problem) => write!(f, "an envelope whose head can't be read: {problem}"),
        }
    }
}

impl std::error::Error for CodecError {}

/// What follows in the head beside this field. It is read first, on its own: a derived enum with
/// its name inside buffers the whole head before it reads it.
#[derive(Deserialize)]
struct Kinded {
    kind: Kind,
}

#[derive(Clone, Copy, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Kind {
    Entry,
    Vary,
    Pass,
}

#[derive(Serialize, Deserialize)]
struct StoredVary {
    kind: Kind,
    names: Vec<String>,
}

#[derive(Serialize, Deserialize)]
struct StoredPass {
    kind: Kind,
    reason: String,
    until: Timestamp,
}

#[derive(Serialize, Deserialize)]
struct StoredEntry {
    kind: Kind,
    key: CacheKey,
    page: Page,
    #[serde(default)]
    selection: Selection,
    status: u16,
    fields: Fields,
    #[serde(default)]
    tags: TagSet,
    stamp: Epoch,
    #[serde(default)]
    fence: u64,
    request_time: Timestamp,
    response_time: Timestamp,
    initial_age: Seconds,
    freshness: Freshness,
    body_length: u64,
}

/// The bytes that stand before a record's body.
///
/// # Errors
/// When the head can't be written as JSON, or is too long to be read again.
pub fn encode(record: &Record) -> Result<Vec<u8>, CodecError> {
    let json = json(record)?;
    let length = u32::try_from(json.len()).map_err(|_| CodecError::TooLong)?;
    if json.len() > MAX_HEAD_BYTES {
        return Err(CodecError::TooLong);
    }
    let mut bytes = Vec::with_capacity(PREFIX_BYTES + json.len());
    bytes.extend_from_slice(&MAGIC);
    bytes.push(VERSION);
    bytes.extend_from_slice(&length.to_be_bytes());
    bytes.extend_from_slice(&json);
    Ok(bytes)
}

/// The same as the value of a field: the version's digit, and the head in ASCII. None for one that
/// is too long for a field.
///
/// # Errors
/// When the head can't be written as JSON.
pub fn encode_line(record: &Record) -> Result<Option<String>, CodecError> {
    let json = String::from_utf8(json(record)?).map_err(|e| CodecError::Head(e.to_string()))?;
    let mut line = String::with_capacity(json.len() + 1);
    // Writing to a String can't fail.
    let _ = write!(line, "{VERSION}");
    for character in json.chars() {
        if matches!(character, ' '..='~') {
            line.push(character);
        } else {
            let mut units = [0; 2];
            for unit in character.encode_utf16(&mut units) {
                let _ = write!(line, "\\u{unit:04x}");
            }
        }
    }
    Ok((line.len() <= MAX_LINE_BYTES).then_some(line))
}

/// What the head of a stored response begins with.
const ENTRY: &str = r#"{"kind":"entry","#;

/// Reads what [`encode_line`] wrote.
///
/// # Errors
/// When it is no head of a known version.
pub fn decode_line(line: &str) -> Result<Record, CodecError> {
    let (version, json) = line.split_at_checked(1).ok_or(CodecError::Truncated)?;
    match version.parse() {
        // What most hits in the colo read is read at once, not by way of a tree.
        Ok(VERSION) if json.starts_with(ENTRY) => {
            let stored: StoredEntry = serde_json::from_str(json).map_err(unreadable)?;
            Ok(Record::Entry(Box::new(entry(stored))))
        }
        Ok(VERSION) => decode_json(json.as_bytes()),
        Ok(version) => Err(CodecError::Version(version)),
        Err(_) => Err(CodecError::Magic),
    }
}

fn json(record: &Record) -> Result<Vec<u8>, CodecError> {
    match record {
        Record::Entry(entry) => serde_json::to_vec(&stored(entry)),
        Record::Vary(names) => {
            serde_json::to_vec(&StoredVary { kind: Kind::Vary, names: names.clone() })
        }
        Record::Pass { reason, until } => serde_json::to_vec(&StoredPass {
            kind: Kind::Pass,
            reason: reason.clone(),
            until: *until,
        }),
    }
    .map_err(unreadable)
}

/// Where the body begins, from the first [`PREFIX_BYTES`] bytes.
///
/// # Errors
/// When they are not the prefix of an envelope.
pub fn split(prefix: &[u8]) -> Result<usize, CodecError> {
    let prefix: &[u8; PREFIX_BYTES] =
        prefix.first_chunk::<PREFIX_BYTES>().ok_or(CodecError::Truncated)?;
    let [m0, m1, m2, m3, version, l0, l1, l2, l3] = *prefix;
    if [m0, m1, m2, m3] != MAGIC {
        return Err(CodecError::Magic);
    }
    if version == 0 || version > VERSION {
        return Err(CodecError::Version(version));
    }
    let length = u32::from_be_bytes([l0, l1, l2, l3]) as usize;
    if length > MAX_HEAD_BYTES {
        return Err(CodecError::TooLong);
    }
    Ok(PREFIX_BYTES + length)
}

/// Reads an envelope's prefix and head; `bytes` may go on with the body.
///
/// # Errors
/// When they are not an envelope of a known version.
pub fn decode(bytes: &[u8]) -> Result<Record, CodecError> {
    let end = split(bytes)?;
    decode_json(bytes.get(PREFIX_BYTES..end).ok_or(CodecError::Truncated)?)
}

fn decode_json(json: &[u8]) -> Result<Record, CodecError> {
    let head = parse_json(json).map_err(unreadable)?;
    let kinded: Kinded = read(&head)?;
    Ok(match kinded.kind {
        Kind::Vary => {
            let stored: StoredVary = read(&head)?;
            Record::Vary(stored.names)
        }
        Kind::Pass => {
            let stored: StoredPass = read(&head)?;
            Record::Pass { reason: stored.reason, until: stored.until }
        }
        Kind::Entry => {
            let stored: StoredEntry = read(&head)?;
            Record::Entry(Box::new(entry(stored)))
        }
    })
}

fn read<T: DeserializeOwned>(head: &Value) -> Result<T, CodecError> {
    read_value(head).map_err(|error| CodecError::Head(error.to_string()))
}

fn stored(e: &Entry) -> StoredEntry {
    StoredEntry {
        kind: Kind::Entry,
        key: e.key.clone(),
        page: e.page.clone(),
        selection: e.selection.clone(),
        status: e.status,
        fields: e.fields.clone(),
        tags: e.tags.clone(),
        stamp: e.stamp,
        fence: e.fence,
        request_time: e.request_time,
        response_time: e.response_time,
        initial_age: e.initial_age,
        freshness: e.freshness.clone(),
        body_length: e.body_length,
    }
}

fn entry(stored: StoredEntry) -> Entry {
    let targets = stored.page.targets(&stored.tags);
    Entry {
        key: stored.key,
        page: stored.page,
        selection: stored.selection,
        status: stored.status,
        fields: stored.fields,
        tags: stored.tags,
        targets,
        stamp: stored.stamp,
        fence: stored.fence,
        request_time: stored.request_time,
        response_time: stored.response_time,
        initial_age: stored.initial_age,
        freshness: stored.freshness,
        body_length: stored.body_length,
    }
}

fn unreadable(error: serde_json::Error) -> CodecError {
    CodecError::Head(error.to_string())
}
