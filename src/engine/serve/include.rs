//! Edge Side Includes of an answer (ESI 1.0): its fields, and its body, which is put together while
//! it is sent.
//!
//! What it is put together of is stored apart, each part for its own time. So an answer has no
//! validator and no length, no part of it can be asked for, and no cache in front of the edge keeps
//! it: that could not be purged by the parts' invalidations.

use std::cell::Cell;
use std::rc::Rc;

use futures_util::stream;

use crate::base::time::{Millis, Timestamp};
use crate::cache::admission::page;
use crate::cache::esi::address::address;
use crate::cache::esi::{EsiPiece, EsiReader, Include};
use crate::cache::key::Page;
use crate::control::log::Event;
use crate::control::metrics::Counter;
use crate::engine::compose::{Composed, Node, NodeStream};
use crate::engine::context::Context;
use crate::engine::parts::Server;
use crate::engine::port::Platform;
use crate::engine::serve::fragment::{FragmentError, Reading, charset_of, is_coded};
use crate::engine::serve::response::{Answer, Body};
use crate::http::{Fields, RequestHead};

/// How deep fragments may stand in one another.
const MAX_DEPTH: usize = 3;
/// Fragments of an answer, all depths together.
const MAX_FRAGMENTS: usize = 32;

/// Fields that describe the body as it is stored, not as it is sent.
const OF_THE_STORED: &[&str] = &[
    "accept-ranges",
    "content-digest",
    "content-length",
    "content-md5",
    "digest",
    "etag",
    "last-modified",
    "repr-digest",
];

/// What all includes of one answer share.
struct Includes<P: Platform> {
    server: Server<P>,
    visitor: Rc<RequestHead>,
    charset: Option<String>,
    /// How many more fragments it may have.
    left: Cell<usize>,
    /// Whether it goes without one.
    failed: Cell<bool>,
}

/// The page, or a fragment in it.
struct Level {
    head: RequestHead,
    page: Page,
    depth: usize,
    above: Option<Rc<Self>>,
}

impl<P: Platform> Server<P> {
    /// The answer with what its Edge Side Includes name.
    pub(super) async fn include(
        &self,
        visitor: &Rc<RequestHead>,
        mut answer: Answer<P>,
    ) -> Answer<P> {
        let url = page_of(&self.context, visitor).url();
        if is_coded(&answer.fields) {
            self.context.esi_fault(&url, "esi-coding");
            return answer;
        }
        for name in OF_THE_STORED {
            answer.fields.remove(name);
        }
        keep_from_shared_caches(&mut answer.fields);
        if visitor.method == "HEAD" || matches!(answer.body, Body::Empty) {
            return answer;
        }
        let includes = Rc::new(Includes {
            server: Self::new(&self.context),
            visitor: Rc::clone(visitor),
            charset: charset_of(&answer.fields),
            left: Cell::new(MAX_FRAGMENTS),
            failed: Cell::new(false),
        });
        let level = Level {
            head: visitor.as_ref().clone(),
            page: page_of(&self.context, visitor),
            depth: 0,
            above: None,
        };
        let body = std::mem::replace(&mut answer.body, Body::Empty);
        let mut composed = Composed::new(includes.source(Rc::new(level), body));
        composed.begin().await;
        if includes.failed.get() {
            add_detail(&mut answer, "fragment-failed");
        }
        answer.body = Body::Composed(composed);
        answer
    }
}

fn page_of<P: Platform>(context: &Context<P>, head: &RequestHead) -> Page {
    let config = context.config();
    page(head, config.route(&head.host, &head.path), config)
}

/// Browsers may keep it, as the origin says; caches in front of the edge may not.
fn keep_from_shared_caches(fields: &mut Fields) {
    fields.set("cdn-cache-control", "no-store");
    fields.set("surrogate-control", "no-store");
    fields.append("cache-control", "private");
}

/// Says a reason in Cache-Status, where it says none yet.
fn add_detail<P: Platform>(answer: &mut Answer<P>, reason: &str) {
    if answer.cache_status.detail.is_some() {
        return;
    }
    let member = answer.cache_status.to_string();
    let with_reason = answer.cache_status.clone().detail(reason);
    if let Some(value) = answer.fields.joined("cache-status")
        && let Some(came) = value.strip_suffix(&member)
    {
        answer.fields.set("cache-status", format!("{came}{with_reason}"));
        answer.cache_status = with_reason;
    }
}

impl<P: Platform> Context<P> {
    /// Edge Side Includes that are malformed: they are sent as they are.
    fn esi_fault(&self, url: &str, reason: &str) {
        self.count(Counter::EsiFault);
        self.log(&Event::EsiFault { url, reason });
    }
}

impl<P: Platform> Includes<P> {
    const fn context(&self) -> &Context<P> {
        &self.server.context
    }

    fn now(&self) -> Timestamp {
        self.context().platform.now()
    }

    /// A body as nodes, as it arrives.
    fn source(self: &Rc<Self>, level: Rc<Level>, body: Body<P>) -> NodeStream<P> {
        let reading = Reading { platform: Rc::clone(&self.context().platform), body };
        let state = (Rc::clone(self), level, reading, Some(EsiReader::default()));
        Box::pin(stream::try_unfold(state, |(includes, level, mut reading, reader)| async move {
            let Some(mut reader) = reader else { return Ok(None) };
            let limit = includes.context().config().origin_timeout;
            let piece = reading.next(limit).await?;
            let mut pieces = Vec::new();
            match piece {
                Some(piece) => {
                    let nodes = includes.read(&level, &mut reader, piece, &mut pieces);
                    Ok(Some((nodes, (includes, level, reading, Some(reader)))))
                }
                None => {
                    reader.end(&mut pieces);
                    includes.log_fault(&level, &reader);
                    let nodes = includes.nodes(&level, pieces);
                    Ok(Some((nodes, (includes, level, reading, None))))
                }
            }
        }))
    }

    /// The nodes of a piece. One without Edge Side Includes goes on as it is.
    fn read(
        self: &Rc<Self>,
        level: &Rc<Level>,
        reader: &mut EsiReader,
        piece: P::Chunk,
        pieces: &mut Vec<EsiPiece>,
    ) -> Vec<Node<P>> {
        let bytes = P::bytes(&piece);
        reader.push(&bytes, pieces);
        match pieces.as_slice() {
            [EsiPiece::Text(text)] if *text == bytes => vec![Node::Ready(piece)],
            _ => self.nodes(level, std::mem::take(pieces)),
        }
    }

    fn nodes(self: &Rc<Self>, level: &Rc<Level>, pieces: Vec<EsiPiece>) -> Vec<Node<P>> {
        let node = |piece| match piece {
            EsiPiece::Text(text) => Some(Node::Ready(P::chunk(&text))),
            EsiPiece::Include(include) => self.placeholder(level, include),
        };
        pieces.into_iter().filter_map(node).collect()
    }

    /// The placeholder of a fragment; none if there is nothing to wait for.
    fn placeholder(self: &Rc<Self>, level: &Rc<Level>, include: Include) -> Option<Node<P>> {
        let below = match self.below(level, &include) {
            Ok(below) => Rc::new(below),
            Err(error) => {
                self.fail(level, &include, error);
                return None;
            }
        };
        let (includes, level) = (Rc::clone(self), Rc::clone(level));
        // From now on, not from when it has its turn: a visitor waits no longer, however many there
        // are.
        let end = self.now().plus(self.context().config().compose_timeout);
        Some(Node::Placeholder(Box::pin(async move {
            let (head, charset) = (below.head.clone(), includes.charset.as_deref());
            let limit = Millis(end.since(includes.now()).0);
            match includes.server.fragment(head, charset, limit).await {
                Ok(fragment) => {
                    includes.context().count(Counter::FragmentIncluded);
                    if !fragment.esi {
                        return vec![Node::Ready(fragment.body)];
                    }
                    let (mut reader, mut pieces) = (EsiReader::default(), Vec::new());
                    let mut nodes = includes.read(&below, &mut reader, fragment.body, &mut pieces);
                    pieces.clear();
                    reader.end(&mut pieces);
                    includes.log_fault(&below, &reader);
                    nodes.extend(includes.nodes(&below, pieces));
                    nodes
                }
                Err(error) => {
                    includes.fail(&level, &include, error);
                    Vec::new()
                }
            }
        })))
    }

    /// Where an include leads, and that it may.
    fn below(&self, level: &Rc<Level>, include: &Include) -> Result<Level, FragmentError> {
        if level.depth == MAX_DEPTH {
            return Err(FragmentError::Depth);
        }
        let found = address(&include.src, &level.head, self.context().config())
            .map_err(FragmentError::Address)?;
        let head = self.server.fragment_request(&self.visitor, found.path, found.query);
        let page = page_of(self.context(), &head);
        let mut above = Some(level);
        while let Some(level) = above {
            if level.page == page {
                return Err(FragmentError::Loop);
            }
            above = level.above.as_ref();
        }
        let left = self.left.get().checked_sub(1).ok_or(FragmentError::TooMany)?;
        self.left.set(left);
        Ok(Level { head, page, depth: level.depth + 1, above: Some(Rc::clone(level)) })
    }

    /// The page goes on without a fragment.
    fn fail(&self, level: &Level, include: &Include, error: FragmentError) {
        self.failed.set(true);
        self.context().count(Counter::FragmentFailed);
        if !include.may_fail {
            let (url, reason) = (level.page.url(), error.as_str());
            let fragment = &include.src;
            self.context().log(&Event::FragmentFailed { url: &url, fragment, reason });
        }
    }

    fn log_fault(&self, level: &Level, reader: &EsiReader) {
        if let Some(fault) = reader.fault() {
            self.context().esi_fault(&level.page.url(), fault.as_str());
        }
    }
}
