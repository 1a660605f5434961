//! A reader that fell behind resumes by itself: it asks the origin for the rest of the same
//! representation (RFC 9110 §13.1.5, §14.2). Only a strong entity tag says that it is the same.

use futures_util::future::LocalBoxFuture;

use crate::base::time::Millis;
use crate::cache::entry::Entry;
use crate::engine::port::{Content, OriginError, OriginRequest, OriginResponse, Platform};
use crate::http::Fields;
use crate::http::head::stated_length;
use crate::http::range::reaches_the_end;

/// Sends a request to the origin in its visitor's turn, as any other of theirs.
pub(super) type SendRequest<P> = Box<
    dyn FnOnce(
        OriginRequest<<P as Platform>::Stream, <P as Platform>::Chunk>,
    ) -> LocalBoxFuture<
        'static,
        Result<OriginResponse<<P as Platform>::Stream>, OriginError>,
    >,
>;

/// What a reader needs to resume by itself.
pub(super) struct ResumeRequest<P: Platform> {
    target: String,
    fields: Fields,
    etag: String,
    length: Option<u64>,
    timeout: Millis,
    ask: SendRequest<P>,
}

/// The rest of a body, for one reader.
pub(super) struct RestOfBody<P: Platform> {
    body: P::Stream,
    /// Bytes that the reader has already.
    skip: u64,
    /// Where the body ends, if that is known.
    end: Option<u64>,
}

impl<P: Platform> ResumeRequest<P> {
    /// None if it can't be known that what the origin says later is the same.
    #[must_use]
    pub(super) fn of(
        entry: &Entry,
        target: String,
        mut sent: Fields,
        timeout: Millis,
        ask: SendRequest<P>,
    ) -> Option<Self> {
        let etag = entry.fields.get("etag")?.trim();
        if entry.status != 200 || !etag.starts_with('"') {
            return None;
        }
        for name in ["if-none-match", "if-modified-since", "range"] {
            sent.remove(name);
        }
        sent.set("if-range", etag);
        let length = stated_length(&entry.fields);
        Some(Self { target, fields: sent, etag: etag.to_owned(), length, timeout, ask })
    }

    /// Asks for what follows a place of the body.
    pub(super) async fn rest(self, platform: &P, at: u64) -> Result<RestOfBody<P>, OriginError> {
        let mut fields = self.fields;
        fields.set("range", format!("bytes={at}-"));
        let request = OriginRequest {
            method: "GET".to_owned(),
            target: self.target,
            fields,
            content: Content::None,
            timeout: self.timeout,
        };
        let response = (self.ask)(request).await?;
        let said = &response.head.fields;
        let same = said.get("etag").is_some_and(|etag| etag.trim() == self.etag);
        // A part that ends earlier would leave the answer without its end (RFC 9110 §15.3.7).
        let complete = reaches_the_end(said, at);
        let (skip, end) = match (response.head.status, complete) {
            (206, Some(complete)) if same && self.length.is_none_or(|it| it == complete) => {
                (0, Some(complete))
            }
            (200, _) if same => (at, self.length.or(stated_length(said))),
            _ => {
                platform.cancel(response.body);
                return Err(OriginError::Broken);
            }
        };
        Ok(RestOfBody { body: response.body, skip, end })
    }
}

impl<P: Platform> RestOfBody<P> {
    /// The next piece for a reader that has all up to `at`; none at the end.
    pub(super) async fn next(
        &mut self,
        platform: &P,
        at: u64,
        limit: Millis,
    ) -> Result<Option<P::Chunk>, OriginError> {
        while let Some(piece) = platform.read(&mut self.body, limit).await? {
            let length = P::length(&piece) as u64;
            if length > self.skip {
                let skip = std::mem::take(&mut self.skip);
                return Ok(Some(if skip > 0 { P::slice(&piece, skip, length) } else { piece }));
            }
            self.skip -= length;
        }
        let whole = self.skip == 0 && self.end.is_none_or(|end| end == at);
        if whole { Ok(None) } else { Err(OriginError::Broken) }
    }
}
