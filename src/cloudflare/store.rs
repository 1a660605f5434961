//! L1 on the Cache API, and L2 on KV or R2, behind the `Store` port.

use js_sys::Uint8Array;
use wasm_bindgen::JsValue;
use web_sys::Response;

use crate::base::json::read_json;
use crate::base::time::Millis;
use crate::cache::envelope::{self, PREFIX_BYTES, Record};
use crate::engine::platform_limits::KV_VALUE;
use crate::engine::port::{Store, StoreError, Stored};
use crate::journal::delta::SharedDelta;

use super::glue;
use super::stream::EdgeStream;

/// The host of what belongs to no host's requests; it never resolves (RFC 2606 §2).
const NO_HOST: &str = "l1.edge-isr.invalid";
/// L1: the colo's edge cache.
///
/// Records stand under the host of the request, as the vendor asks for: a lookup of another host
/// costs time, and is not kept near. Their paths begin with the site's own id, 256 bits that nobody
/// knows: no visitor asks for them, and what asks for them anyway comes to this worker first.
pub(super) struct ColoStore {
    site: String,
    host: Option<String>,
}

impl ColoStore {
    /// The colo's cache for requests of a host; without one, for what an object does by itself.
    pub(super) fn new(site: &str, host: Option<&str>) -> Self {
        Self { site: site.to_owned(), host: host.map(str::to_owned) }
    }

    fn url(&self, host: Option<&str>, key: &str) -> String {
        let host = self.host.as_deref().or(host).unwrap_or(NO_HOST);
        colo_url(&self.site, host, key)
    }

    /// The news of the journal that are shared.
    pub(super) async fn shared_delta(&self) -> Result<Option<SharedDelta>, StoreError> {
        let Some(found) = glue::cache_get(&self.url(None, "news")).await.map_err(failed)? else {
            return Ok(None);
        };
        let bytes = glue::bytes_of(&found).await.map_err(failed)?;
        read_json(&bytes.to_vec())
            .map(Some)
            .map_err(|error| StoreError::Unreadable(error.to_string()))
    }

    /// Shares news of the journal.
    pub(super) async fn share_delta(
        &self,
        delta: &SharedDelta,
        keep: Millis,
    ) -> Result<(), StoreError> {
        let json =
            serde_json::to_vec(delta).map_err(|error| StoreError::Unreadable(error.to_string()))?;
        let url = self.url(None, "news");
        glue::cache_put(&url, None, &json, &Uint8Array::new_with_length(0), seconds(keep))
            .await
            .map_err(failed)
    }
}

impl Store<Uint8Array> for ColoStore {
    type Body = EdgeStream;

    async fn get(&self, key: &str) -> Result<Option<Stored<EdgeStream>>, StoreError> {
        let Some(found) = glue::cache_get(&self.url(None, key)).await.map_err(failed)? else {
            return Ok(None);
        };
        match glue::cache_record(&found) {
            Some(line) => unread(found, &line).map(Some),
            None => whole(&found).await.map(Some),
        }
    }

    async fn put(
        &self,
        key: &str,
        record: &Record,
        body: &Uint8Array,
        keep: Millis,
    ) -> Result<(), StoreError> {
        let line = envelope::encode_line(record).map_err(unreadable)?;
        let head = if line.is_none() { encode(record)? } else { Vec::new() };
        let host = match record {
            Record::Entry(entry) => Some(entry.page.host.as_str()),
            Record::Vary(_) | Record::Pass { .. } => None,
        };
        glue::cache_put(&self.url(host, key), line.as_deref(), &head, body, seconds(keep))
            .await
            .map_err(failed)
    }
}

/// Where L1 has the record under a key, for requests of a host.
pub(super) fn colo_url(site: &str, host: &str, key: &str) -> String {
    format!("https://{host}/{site}/{key}")
}

/// What stands in L1 with its head in a field; the body is not read.
pub(super) fn unread(found: Response, line: &str) -> Result<Stored<EdgeStream>, StoreError> {
    let record = envelope::decode_line(line).map_err(|error| {
        // Nobody reads it.
        let _ = glue::give_up(&found, None);
        unreadable(error)
    })?;
    let length = match &record {
        Record::Entry(entry) => entry.body_length,
        Record::Vary(_) | Record::Pass { .. } => 0,
    };
    Ok(Stored { record, body: EdgeStream::Stored(found, None, length) })
}

/// What stands in L1 with its head before the body.
pub(super) async fn whole(found: &Response) -> Result<Stored<EdgeStream>, StoreError> {
    let bytes = glue::bytes_of(found).await.map_err(failed)?;
    let Stored { record, body } = open(&bytes)?;
    Ok(Stored { record, body: EdgeStream::Bytes(body) })
}

pub(super) fn failed(error: JsValue) -> StoreError {
    StoreError::Failed(glue::words(&error))
}

fn unreadable(error: envelope::CodecError) -> StoreError {
    StoreError::Unreadable(error.to_string())
}

/// The Cache API counts in whole seconds, and keeps nothing for zero.
fn seconds(keep: Millis) -> f64 {
    keep.as_seconds().0.max(1) as f64
}

/// L2: one KV namespace or one R2 bucket, whichever is bound.
///
/// KV removes a record when its time is over. R2 does not: give the bucket a lifecycle rule.
pub(super) struct GlobalStore {
    binding: JsValue,
    most_bytes: u64,
}

impl GlobalStore {
    pub(super) fn new(binding: JsValue) -> Self {
        let most_bytes = if glue::is_bucket(&binding) { u64::MAX } else { KV_VALUE };
        Self { binding, most_bytes }
    }
}

impl Store<Uint8Array> for GlobalStore {
    type Body = Uint8Array;

    fn most_bytes(&self) -> u64 {
        self.most_bytes
    }

    async fn get(&self, key: &str) -> Result<Option<Stored<Uint8Array>>, StoreError> {
        match glue::global_get(&self.binding, key).await {
            Ok(Some(bytes)) => open(&bytes).map(Some),
            Ok(None) => Ok(None),
            Err(error) => Err(StoreError::Failed(glue::words(&error))),
        }
    }

    async fn put(
        &self,
        key: &str,
        record: &Record,
        body: &Uint8Array,
        keep: Millis,
    ) -> Result<(), StoreError> {
        let head = encode(record)?;
        if head.len() as u64 + u64::from(body.length()) > self.most_bytes {
            return Err(StoreError::TooLarge);
        }
        glue::global_put(&self.binding, key, &head, body, seconds(keep))
            .await
            .map_err(|error| StoreError::Failed(glue::words(&error)))
    }
}

fn encode(record: &Record) -> Result<Vec<u8>, StoreError> {
    envelope::encode(record).map_err(unreadable)
}

/// Cuts an envelope: the head is copied into wasm memory, the body stays where it is.
fn open(bytes: &Uint8Array) -> Result<Stored<Uint8Array>, StoreError> {
    let prefix = bytes.subarray(0, PREFIX_BYTES as u32).to_vec();
    let body_at = envelope::split(&prefix).map_err(unreadable)? as u32;
    let record = envelope::decode(&bytes.subarray(0, body_at).to_vec()).map_err(unreadable)?;
    let body = bytes.subarray(body_at, bytes.length());
    if let Record::Entry(entry) = &record
        && entry.body_length != u64::from(body.length())
    {
        return Err(StoreError::Unreadable("a body of another length than its head says".into()));
    }
    Ok(Stored { record, body })
}
