//! Answers to visitors: from a stored response, from a fill, from the origin, or of the edge's own
//! making.

use std::rc::Rc;

use crate::base::time::Timestamp;
use crate::cache::admission::Admitted;
use crate::cache::compose::shell::is_stored_shell;
use crate::cache::entry::Entry;
use crate::cache::esi;
use crate::cache::forward::{pass_tags, visitor_fields};
use crate::cache::range::{RangeAnswer, range_answer};
use crate::cache::validation::{not_modified, not_modified_fields};
use crate::config::{ErrorPage, Route};
use crate::control::problem::Problem;
use crate::engine::port::{OriginError, Platform};
use crate::http::accept::prefers_html;
use crate::http::cache_status::CacheStatus;
use crate::http::{Fields, RequestHead};

use crate::engine::compose::Composed;
use crate::engine::fill::arriving::BodyPart;
use crate::engine::fill::reader::BodyReader;
use crate::engine::memory::StoredPage;

/// An answer to a visitor.
pub struct Answer<P: Platform> {
    /// The status code.
    pub status: u16,
    /// The fields, Cache-Status included.
    pub fields: Fields,
    /// The body.
    pub body: Body<P>,
    /// What Cache-Status, logs and metrics say.
    pub cache_status: CacheStatus,
    /// Why the edge itself answers, if it does.
    pub problem: Option<Problem>,
    /// The body has Edge Side Includes that are still to be processed.
    pub esi: bool,
    /// Everyone who asks gets it: it is stored, or comes of a fill.
    pub shared: bool,
    /// It was composed for this request.
    pub composed: bool,
}

/// A shell that is not what was asked for.
const COMPOSE_RAW: &str = "compose-raw";

/// The body of an answer.
pub enum Body<P: Platform> {
    /// None.
    Empty,
    /// A stored body, whole.
    Whole(P::Chunk),
    /// A body that arrives through a fill.
    Fill(BodyReader<P>),
    /// The origin's own, unread: WebSockets too.
    Origin(P::Stream),
    /// A body that is put together while it is sent.
    Composed(Composed<P>),
    /// A composed page's shell. It never leaves as it is.
    Shell(Shell<P>),
}

/// A stored shell, from which an answer is to be composed.
pub struct Shell<P: Platform>(pub(super) Rc<StoredPage<P::Chunk>>);

/// What a visitor asked for, as far as it shapes an answer out of a stored response.
pub struct VisitorRequest<'a> {
    /// The head of the request.
    pub head: &'a RequestHead,
    /// HEAD: no body.
    pub head_only: bool,
    /// The route.
    pub route: &'a Route,
}

impl<'a> VisitorRequest<'a> {
    /// What a request that was admitted asked for.
    #[must_use]
    pub fn of(head: &'a RequestHead, admitted: &'a Admitted<'_>) -> Self {
        Self { head, head_only: admitted.head_only, route: &admitted.route }
    }
}

/// The head of an answer out of a stored response, and which part of its body to send.
pub struct StoredAnswer {
    /// The status code.
    pub status: u16,
    /// The fields, without Cache-Status.
    pub fields: Fields,
    /// What to send of the body.
    pub part: Part,
}

/// What to send of a stored body.
pub enum Part {
    /// Nothing.
    None,
    /// All of it.
    Whole,
    /// From byte `.0` up to and without byte `.1`.
    Slice(u64, u64),
    /// Several parts with the text before each, and the text after the last.
    Multi(Vec<(String, u64, u64)>, String),
}

/// Shapes the answer that a stored response gives to a request (RFC 9110 §13, §14). `whole_body` is
/// whether the body is there as a whole, so that ranges can be cut from it.
#[must_use]
pub fn shape(
    visitor: &VisitorRequest<'_>,
    entry: &Entry,
    now: Timestamp,
    whole_body: bool,
) -> StoredAnswer {
    let mut fields = entry_fields(visitor, entry);
    // RFC 9111 §5.1: a response that has not been stored yet has the age that the origin gave it.
    if whole_body {
        fields.set("age", entry.age(now).0.to_string());
    }
    let empty = visitor.head_only || has_no_content(entry.status);
    let whole = if empty { Part::None } else { Part::Whole };
    // Neither validators nor ranges are those of what is put together of it.
    if esi::applies(visitor.route, &entry.fields) {
        return StoredAnswer { status: entry.status, fields, part: whole };
    }
    if not_modified(visitor.head, entry) {
        return StoredAnswer {
            status: 304,
            fields: not_modified_fields(&fields),
            part: Part::None,
        };
    }
    if whole_body && entry.status == 200 {
        match range_answer(visitor.head, entry) {
            RangeAnswer::Whole => {}
            RangeAnswer::Partial { from, to } => {
                fields
                    .set("content-range", format!("bytes {from}-{}/{}", to - 1, entry.body_length));
                fields.set("content-length", (to - from).to_string());
                let part = if visitor.head_only { Part::None } else { Part::Slice(from, to) };
                return StoredAnswer { status: 206, fields, part };
            }
            RangeAnswer::Multiple { content_type, parts, closing } => {
                fields.set("content-type", content_type);
                fields.remove("content-length");
                let part = if visitor.head_only { Part::None } else { Part::Multi(parts, closing) };
                return StoredAnswer { status: 206, fields, part };
            }
            RangeAnswer::Unsatisfiable => {
                fields.set("content-range", format!("bytes */{}", entry.body_length));
                fields.set("content-length", "0");
                return StoredAnswer { status: 416, fields, part: Part::None };
            }
        }
    }
    StoredAnswer { status: entry.status, fields, part: whole }
}

/// The fields of a stored response as visitors get them.
pub(super) fn entry_fields(visitor: &VisitorRequest<'_>, entry: &Entry) -> Fields {
    let mut fields = visitor_fields(&entry.fields, visitor.route, entry.freshness.source);
    // What was stored when the route still said so is not handed out any more.
    if !visitor.route.store_set_cookie {
        fields.remove("set-cookie");
    }
    // Its own may be inherited: the origin need not have sent them.
    pass_tags(&mut fields, visitor.route, Some(&entry.tags));
    fields
}

/// Whether a response of this status never has content (RFC 9110 §15.3.5, §15.3.6).
pub(super) const fn has_no_content(status: u16) -> bool {
    matches!(status, 204 | 205)
}

/// A larger body is handed out in pieces, as its reader takes them: what is handed out at once is
/// held until the visitor has it, however slowly.
pub(super) const LARGE_BODY: u64 = 256 << 10;

fn stored_body<P: Platform>(
    page: &Rc<StoredPage<P::Chunk>>,
    (from, to): (u64, u64),
    now: Timestamp,
) -> Body<P> {
    if to - from > LARGE_BODY {
        Body::Fill(BodyReader::of_page(page, (from, to), now))
    } else if (from, to) == (0, page.entry.body_length) {
        Body::Whole(page.body.clone())
    } else {
        Body::Whole(P::slice(&page.body, from, to))
    }
}

/// A body that is put together of parts of a stored one: a large one as it is taken.
pub(super) fn body_of_parts<P: Platform>(
    page: &Rc<StoredPage<P::Chunk>>,
    parts: Vec<BodyPart<P>>,
    now: Timestamp,
) -> Body<P> {
    if parts.iter().map(BodyPart::length).sum::<u64>() > LARGE_BODY {
        return Body::Fill(BodyReader::of_parts(page, parts, now));
    }
    let chunks: Vec<P::Chunk> = parts.iter().map(|part| part.chunk(&page.body)).collect();
    Body::Whole(P::concat(&chunks))
}

impl<P: Platform> Answer<P> {
    /// An answer out of a complete stored response.
    #[must_use]
    pub fn stored(
        visitor: &VisitorRequest<'_>,
        page: &Rc<StoredPage<P::Chunk>>,
        now: Timestamp,
        cache_status: CacheStatus,
    ) -> Self {
        if is_stored_shell(&page.entry) {
            return Self::new(
                200,
                Fields::new(),
                Body::Shell(Shell(Rc::clone(page))),
                cache_status,
            );
        }
        let shaped = shape(visitor, &page.entry, now, true);
        let body = match shaped.part {
            Part::None => Body::Empty,
            Part::Whole => stored_body(page, (0, page.entry.body_length), now),
            Part::Slice(from, to) => stored_body(page, (from, to), now),
            Part::Multi(parts, closing) => {
                let mut all = Vec::with_capacity(parts.len() * 2 + 1);
                for (before, from, to) in parts {
                    all.push(BodyPart::Text(P::chunk(before.as_bytes())));
                    all.push(BodyPart::Stored(from, to));
                }
                all.push(BodyPart::Text(P::chunk(closing.as_bytes())));
                body_of_parts(page, all, now)
            }
        };
        let esi = esi::applies(visitor.route, &page.entry.fields);
        let answer = Self::new(shaped.status, shaped.fields, body, cache_status);
        Self { esi, shared: true, ..answer }
    }

    /// An answer out of a response whose body still arrives.
    #[must_use]
    pub fn streaming(
        visitor: &VisitorRequest<'_>,
        entry: &Entry,
        reader: BodyReader<P>,
        now: Timestamp,
        cache_status: CacheStatus,
    ) -> Self {
        if is_stored_shell(entry) {
            return Self::raw_shell(cache_status);
        }
        let shaped = shape(visitor, entry, now, false);
        let body = match shaped.part {
            Part::Whole => Body::Fill(reader),
            Part::None | Part::Slice(..) | Part::Multi(..) => Body::Empty,
        };
        let esi = esi::applies(visitor.route, &entry.fields);
        let answer = Self::new(shaped.status, shaped.fields, body, cache_status);
        Self { esi, shared: true, ..answer }
    }

    /// What stands in the place of a shell that nothing was composed of.
    #[must_use]
    pub fn raw_shell(cache_status: CacheStatus) -> Self {
        let detail = "The page's shell came where only a whole page may.";
        let problem = Problem::origin(502, COMPOSE_RAW, detail);
        Self::problem(&problem, cache_status.detail(COMPOSE_RAW))
    }

    /// The same with these fields besides, in the place of those of the same name.
    #[must_use]
    pub fn with(mut self, fields: &Fields) -> Self {
        self.fields.retain(|name, _| !fields.has(name));
        for (name, value) in fields.iter() {
            self.fields.append(name, value);
        }
        self
    }

    /// An answer of the edge's own making: a problem document (RFC 9457).
    #[must_use]
    pub fn problem(problem: &Problem, cache_status: CacheStatus) -> Self {
        let mut fields = problem.fields();
        fields.set("cache-control", "no-store");
        let body = Body::Whole(P::chunk(&problem.body()));
        let answer = Self::new(problem.status(), fields, body, cache_status);
        Self { problem: Some(problem.clone()), ..answer }
    }

    /// The same as a page for people, if it is a problem and its visitor has a browser.
    #[must_use]
    pub fn for_people(mut self, request: &RequestHead, page: &ErrorPage) -> Self {
        let Some(problem) = &self.problem else { return self };
        if request.fields.joined("accept").is_some_and(|accept| prefers_html(&accept)) {
            let html = page.html(self.status, problem.reason());
            self.fields.set("content-type", "text/html; charset=utf-8");
            self.fields.set(
                "content-security-policy",
                "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'",
            );
            self.body = Body::Whole(P::chunk(html.as_bytes()));
        }
        if request.method == "HEAD" {
            self.body = Body::Empty;
        }
        self
    }

    /// What a visitor gets when the origin gave no answer and nothing stored may stand in.
    #[must_use]
    pub fn origin_failed(error: OriginError, cache_status: CacheStatus) -> Self {
        Self::problem(
            &Problem::origin(error.status(), error.as_str(), error.detail()),
            cache_status,
        )
    }

    /// An answer with its Cache-Status.
    #[must_use]
    pub fn new(status: u16, mut fields: Fields, body: Body<P>, cache_status: CacheStatus) -> Self {
        cache_status.append_to(&mut fields);
        let (problem, esi, shared, composed) = (None, false, false, false);
        Self { status, fields, body, cache_status, problem, esi, shared, composed }
    }
}
