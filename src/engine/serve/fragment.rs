//! A fragment: a page of the site, asked for without anything of the visitor that is not in a
//! page's key, and taken whole or not at all.

use std::rc::Rc;

use futures_util::future::{Either, select};

use crate::base::time::Millis;
use crate::cache::esi::address::AddressError;
use crate::cache::forward::is_in_key;
use crate::engine::context::Incoming;
use crate::engine::parts::Server;
use crate::engine::port::{OriginError, Platform};
use crate::engine::serve::AnswerPurpose;
use crate::engine::serve::response::Body;
use crate::http::head::stated_length;
use crate::http::list::{split, trim, unquote};
use crate::http::{Fields, RequestHead};

/// The longest fragment.
pub(super) const MAX_FRAGMENT_BYTES: usize = 1 << 20;

/// Why a page is sent without a fragment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FragmentError {
    /// It leads nowhere.
    Address(AddressError),
    /// It stands too deep in other fragments.
    Depth,
    /// It is part of itself.
    Loop,
    /// The page has too many.
    TooMany,
    /// It was not answered in time.
    Timeout,
    /// It was answered with another status than one of success.
    Status,
    /// Its body ended early.
    Broken,
    /// It is longer than a fragment may be.
    TooLarge,
    /// It is no text.
    MediaType,
    /// It is in another charset than its page.
    Charset,
    /// It is coded, although a plain body was asked for.
    Coding,
    /// It is a composed page: what is made in it has no cookie and no policy here, and would be
    /// kept with the page around it.
    Composed,
    /// It is not the same for all who ask: it is private, sets a cookie, or has no lifetime.
    Private,
    /// It has parts of its own, where none may have any.
    Nested,
}

impl FragmentError {
    /// The reason's name in logs.
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Address(error) => error.as_str(),
            Self::Depth => "fragment-depth",
            Self::Loop => "fragment-loop",
            Self::TooMany => "fragment-limit",
            Self::Timeout => "fragment-timeout",
            Self::Status => "fragment-status",
            Self::Broken => "fragment-broken",
            Self::TooLarge => "fragment-too-large",
            Self::MediaType => "fragment-media-type",
            Self::Charset => "fragment-charset",
            Self::Coding => "fragment-coding",
            Self::Composed => "fragment-composed",
            Self::Private => "fragment-private",
            Self::Nested => "fragment-nested",
        }
    }
}

/// A fragment that arrived whole.
pub(super) struct Fragment<P: Platform> {
    /// Its bytes.
    pub(super) body: P::Chunk,
    /// They have Edge Side Includes of their own.
    pub(super) esi: bool,
    /// It is stored, or comes of a fetch that all share who ask for it.
    pub(super) shared: bool,
}

/// What a fragment is asked with beside what its own route has in the key: never a cookie, never
/// credentials, no condition and no range.
const CARRIED: &[&str] = &["accept-language", "cdn-loop", "sec-ch-ua-mobile", "user-agent"];

impl<P: Platform> Server<P> {
    /// The request for a fragment of a page that a visitor asked for.
    pub(super) fn fragment_request(
        &self,
        visitor: &RequestHead,
        path: String,
        query: Option<String>,
    ) -> RequestHead {
        let route = self.context.config().route(&visitor.host, &path);
        let mut fields = visitor.fields.clone();
        fields.retain(|name, _| CARRIED.contains(&name) || is_in_key(name, route));
        RequestHead {
            method: "GET".to_owned(),
            scheme: visitor.scheme.clone(),
            host: visitor.host.clone(),
            path,
            query,
            fields,
            client: visitor.client.clone(),
        }
    }

    /// Asks for a fragment, within a limit in time.
    pub(super) async fn fragment(
        &self,
        head: RequestHead,
        charset: Option<&str>,
        limit: Millis,
    ) -> Result<Fragment<P>, FragmentError> {
        if limit == Millis(0) {
            return Err(FragmentError::Timeout);
        }
        let fragment = Box::pin(self.ask_for_fragment(head, charset));
        let late = Box::pin(self.context.platform.sleep(limit));
        match select(fragment, late).await {
            Either::Left((fragment, _)) => fragment,
            Either::Right(((), _)) => Err(FragmentError::Timeout),
        }
    }

    async fn ask_for_fragment(
        &self,
        head: RequestHead,
        charset: Option<&str>,
    ) -> Result<Fragment<P>, FragmentError> {
        let incoming = Incoming { head: Rc::new(head), body: None, client_accept_encoding: None };
        let answer = self.answer(incoming, AnswerPurpose::Fragment).await;
        let mut reading =
            Reading { platform: Rc::clone(&self.context.platform), body: answer.body };
        if answer.composed {
            return Err(FragmentError::Composed);
        }
        // A redirect leads a visitor somewhere else, and has no place in a page.
        if !matches!(answer.status, 200..=205 | 207..=299) {
            return Err(FragmentError::Status);
        }
        check(&answer.fields, charset)?;
        let too_large = |length: usize| length > MAX_FRAGMENT_BYTES;
        if stated_length(&answer.fields).is_some_and(|length| too_large(length as usize)) {
            return Err(FragmentError::TooLarge);
        }
        let (mut pieces, mut length) = (Vec::new(), 0);
        let limit = self.context.config().origin_timeout;
        while let Some(piece) =
            reading.next(limit).await.map_err(|_: OriginError| FragmentError::Broken)?
        {
            length += P::length(&piece);
            if too_large(length) {
                return Err(FragmentError::TooLarge);
            }
            pieces.push(piece);
        }
        let body = match pieces.as_slice() {
            [one] => one.clone(),
            several => P::concat(several),
        };
        let shared = answer.shared && !answer.fields.has("set-cookie");
        Ok(Fragment { body, esi: answer.esi, shared })
    }
}

/// Whether a fragment may stand in a page, by what it says of itself.
fn check(fields: &Fields, charset: Option<&str>) -> Result<(), FragmentError> {
    if is_coded(fields) {
        return Err(FragmentError::Coding);
    }
    let Some(stated) = fields.get("content-type") else { return Ok(()) };
    let kind = trim(stated.split(';').next().unwrap_or_default()).to_ascii_lowercase();
    let is_text = kind.starts_with("text/")
        || ["xml", "json", "javascript"].iter().any(|kind_of| kind.ends_with(kind_of));
    if !is_text && !kind.is_empty() {
        return Err(FragmentError::MediaType);
    }
    match (charset_of(fields), charset) {
        (Some(fragment), Some(page)) if fragment != page => Err(FragmentError::Charset),
        (Some(_) | None, Some(_) | None) => Ok(()),
    }
}

/// The charset that a response states, in lower case.
pub(super) fn charset_of(fields: &Fields) -> Option<String> {
    let stated = fields.get("content-type")?;
    split(stated, b';').parts.into_iter().skip(1).find_map(|parameter| {
        let (name, value) = parameter.split_once('=')?;
        let value = unquote(trim(value)).filter(|_| trim(name).eq_ignore_ascii_case("charset"))?;
        Some(value.to_ascii_lowercase())
    })
}

/// Whether a response is compressed, or coded otherwise.
pub(super) fn is_coded(fields: &Fields) -> bool {
    fields
        .all("content-encoding")
        .any(|coding| !matches!(trim(coding).to_ascii_lowercase().as_str(), "" | "identity"))
}

/// A body that is read, and given up where it is not read to its end.
pub(super) struct Reading<P: Platform> {
    pub(super) platform: Rc<P>,
    pub(super) body: Body<P>,
}

impl<P: Platform> Reading<P> {
    /// The next piece; none at the end.
    pub(super) async fn next(&mut self, limit: Millis) -> Result<Option<P::Chunk>, OriginError> {
        match &mut self.body {
            Body::Empty => Ok(None),
            // A shell is no answer: one is composed before it comes here.
            Body::Shell(_) => Err(OriginError::Broken),
            Body::Whole(chunk) => {
                let chunk = chunk.clone();
                self.body = Body::Empty;
                Ok(Some(chunk))
            }
            Body::Fill(reader) => reader.next(&*self.platform).await,
            Body::Composed(composed) => composed.next().await,
            Body::Origin(stream) => {
                let piece = self.platform.read(stream, limit).await?;
                if piece.is_none() {
                    self.body = Body::Empty;
                }
                Ok(piece)
            }
        }
    }
}

impl<P: Platform> Drop for Reading<P> {
    fn drop(&mut self) {
        if let Body::Origin(stream) = std::mem::replace(&mut self.body, Body::Empty) {
            self.platform.cancel(stream);
        }
    }
}
