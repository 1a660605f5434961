//! Composed pages: an answer for one visitor, made of a stored shell (docs/composition.md).
//!
//! Everything that is stored for a route that composes comes through here before it leaves. What
//! can't be composed for a visitor is asked for whole, with a reason.

use std::rc::Rc;

use crate::cache::admission::Admitted;
use crate::cache::compose::field::{Audience, ComposeField};
use crate::cache::compose::personal::PersonalError;
use crate::cache::compose::pieces::{Leaf, Piece};
use crate::cache::compose::shell::is_stored_shell;
use crate::cache::compose::visitor::{Minted, NotComposed, Visitor, fields_of_head};
use crate::control::log::Event;
use crate::control::metrics::Counter;
use crate::engine::compose::{Composed, Node};
use crate::engine::context::{Context, Incoming};
use crate::engine::fill::arriving::BodyPart;
use crate::engine::memory::{ShellPieces, StoredPage};
use crate::engine::parts::Server;
use crate::engine::port::Platform;
use crate::engine::serve::bypass::BypassReason;
use crate::engine::serve::decision::Decision;
use crate::engine::serve::personal::{OwnParts, PersonalRequest, SharedTask};
use crate::engine::serve::response::{Answer, Body, Shell, body_of_parts};
use crate::engine::serve::shared::SharedParts;
use crate::http::Fields;

impl<P: Platform> Server<P> {
    /// Whether what is stored may be for a visitor who has a bypass cookie.
    pub(super) fn is_for(&self, admitted: &Admitted<'_>, page: &StoredPage<P::Chunk>) -> bool {
        !admitted.known
            || (is_stored_shell(&page.entry)
                && page
                    .shell_pieces(P::bytes)
                    .is_none_or(|shell| shell.field.audience == Audience::All))
    }

    /// What a visitor gets of an answer that may be a shell, or may be for others.
    pub(super) async fn composed(
        &self,
        incoming: Incoming<P>,
        admitted: &Admitted<'_>,
        answer: Answer<P>,
    ) -> Answer<P> {
        let Answer { body: Body::Shell(Shell(page)), cache_status, .. } = answer else {
            if admitted.known && answer.shared {
                return self.bypass(incoming, admitted, &BypassReason::Known).await;
            }
            return answer;
        };
        match self.compose(&incoming, admitted, &page).await {
            Ok(ComposedAnswer { fields, body, detail }) => {
                self.context.count(Counter::Composed);
                let cache_status = match detail {
                    Some(detail) => cache_status.detail(detail),
                    None => cache_status,
                };
                Answer { composed: true, ..Answer::new(200, fields, body, cache_status) }
            }
            Err(why) => {
                if why != NotComposed::Audience {
                    self.context.count(Counter::NotComposed);
                    let url = admitted.page.url();
                    self.context.log(&Event::NotComposed { url: &url, reason: why.as_str() });
                }
                self.bypass(incoming, admitted, &instead(why)).await
            }
        }
    }

    /// What a page gets of an answer that may be a shell: none is a fragment, which could have
    /// itself in it.
    pub(super) fn not_composed(answer: Answer<P>) -> Answer<P> {
        let Answer { body: Body::Shell(_), cache_status, .. } = answer else { return answer };
        Answer { composed: true, ..Answer::raw_shell(cache_status) }
    }

    /// What a decision comes to where what is stored is a shell, as far as it is known before
    /// anything is asked.
    pub(crate) fn decision_of_shell(
        incoming: &Incoming<P>,
        admitted: &Admitted<'_>,
        decision: Decision<P>,
    ) -> Decision<P> {
        let (Decision::Fresh(page, ..) | Decision::Stale(page, ..)) = &decision else {
            return decision;
        };
        if !is_stored_shell(&page.entry) {
            return decision;
        }
        match Self::composable(incoming, admitted, page) {
            Ok(_) => decision,
            Err(why) => Decision::Bypass(instead(why)),
        }
    }

    /// The pieces of a page that can be composed for a visitor, and whether they have parts of
    /// their own in it.
    fn composable(
        incoming: &Incoming<P>,
        admitted: &Admitted<'_>,
        page: &StoredPage<P::Chunk>,
    ) -> Result<(Rc<ShellPieces>, bool), NotComposed> {
        let shell = page.shell_pieces(P::bytes).ok_or(NotComposed::Unreadable)?;
        let field = &shell.field;
        let visitor = Visitor { request: &incoming.head, known: admitted.known };
        visitor.may_have(field)?;
        let has_parts = visitor.has_parts(field);
        // The checks' answer comes with the parts, which a HEAD does not ask for.
        if admitted.head_only && has_parts && field.gate {
            return Err(NotComposed::Gate);
        }
        Ok((shell, has_parts))
    }

    async fn compose(
        &self,
        incoming: &Incoming<P>,
        admitted: &Admitted<'_>,
        page: &Rc<StoredPage<P::Chunk>>,
    ) -> Result<ComposedAnswer<P>, NotComposed> {
        let request = &incoming.head;
        let (shell, has_parts) = Self::composable(incoming, admitted, page)?;
        let (field, route, stored) = (&shell.field, &admitted.route, &page.entry.fields);
        let visitor = Visitor { request, known: admitted.known };
        if admitted.head_only {
            let fields = fields_of_head(stored, field, route, has_parts);
            return Ok(ComposedAnswer { fields, body: Body::Empty, detail: None });
        }
        let mut random = || self.context.platform.random();
        let minted = Minted::new(field, &request.fields, has_parts, &mut random);
        let minted = minted.ok_or(NotComposed::Random)?;
        let fields = minted.fields(stored, field, route, has_parts);
        let fields = fields.ok_or(NotComposed::Unreadable)?;
        let url = admitted.page.url();
        let mut filling = Filling { context: &self.context, page, minted };
        let waits = has_parts && visitor.waits(field);
        let personal = if has_parts {
            let (target, filled) = (admitted.page.path_and_query(), (&shell, &filling.minted));
            let page = (url.clone(), target.as_str());
            let request = PersonalRequest::new(&self.context, incoming, page, filled, !waits);
            Some(SharedTask::new(request.ok_or(NotComposed::Unreadable)?.send()))
        } else {
            None
        };
        if field.shared.is_empty() && (waits || personal.is_none()) {
            let (fields, detail, personal) = match personal {
                Some(personal) => with_own_parts(field, fields, personal.wait().await)?,
                None => (fields, None, None),
            };
            let personal = personal.as_deref().and_then(|parts| parts.as_ref().ok());
            let made = filling.whole(&shell.pieces, fields, personal).ok_or(NotComposed::Random)?;
            return Ok(ComposedAnswer { detail, ..made });
        }
        let shared = SharedParts::new(self, request, &shell, url, &fields);
        let body = filling.streamed(&shell.pieces, personal.as_ref(), &shared);
        let mut body = body.ok_or(NotComposed::Random)?;
        body.begin().await;
        let (fields, detail, _) = match personal.filter(|_| waits) {
            Some(personal) => with_own_parts(field, fields, body.meanwhile(personal.wait()).await)?,
            None => (fields, None, None),
        };
        let detail = detail.or_else(|| shared.failed().then_some(FAILED));
        Ok(ComposedAnswer { fields, body: Body::Composed(body), detail })
    }
}

/// What Cache-Status says where a part is known to have failed before the head is sent.
const FAILED: &str = "fragment-failed";

type WithOwnParts = (Fields, Option<&'static str>, Option<Rc<Result<OwnParts, PersonalError>>>);

/// The head that has waited for a visitor's own parts: with their cookies, or with what failed.
fn with_own_parts(
    field: &ComposeField,
    mut fields: Fields,
    personal: Rc<Result<OwnParts, PersonalError>>,
) -> Result<WithOwnParts, NotComposed> {
    let detail = match personal.as_ref() {
        Ok(parts) => {
            for line in &parts.cookies {
                fields.append("set-cookie", line.as_str());
            }
            None
        }
        Err(_) if field.gate => return Err(NotComposed::Gate),
        Err(_) => Some(FAILED),
    };
    Ok((fields, detail, Some(personal)))
}

/// How the origin answers where a page is not composed.
const fn instead(why: NotComposed) -> BypassReason {
    match why {
        NotComposed::Audience => BypassReason::Known,
        why => BypassReason::NotComposed(why),
    }
}

/// An answer that was composed.
struct ComposedAnswer<P: Platform> {
    fields: Fields,
    body: Body<P>,
    detail: Option<&'static str>,
}

/// A page whose placeholders are filled for one visitor.
struct Filling<'a, P: Platform> {
    context: &'a Context<P>,
    page: &'a Rc<StoredPage<P::Chunk>>,
    minted: Minted,
}

impl<P: Platform> Filling<'_, P> {
    /// The page in one piece: with the visitor's own parts, or with their fallbacks.
    fn whole(
        &mut self,
        pieces: &[Piece],
        mut fields: Fields,
        personal: Option<&OwnParts>,
    ) -> Option<ComposedAnswer<P>> {
        let mut parts = Vec::with_capacity(pieces.len());
        for piece in pieces {
            match piece {
                Piece::Leaf(leaf) => parts.push(self.leaf(leaf)?),
                Piece::Personal { part, fallback } => {
                    match personal.and_then(|parts| parts.of(*part)) {
                        Some(text) => parts.push(BodyPart::Text(P::chunk(text.as_bytes()))),
                        None => self.leaves(fallback, &mut parts)?,
                    }
                }
                Piece::Shared { fallback, .. } => self.leaves(fallback, &mut parts)?,
            }
        }
        let length: u64 = parts.iter().map(BodyPart::length).sum();
        fields.set("content-length", length.to_string());
        let body = body_of_parts(self.page, parts, self.context.platform.now());
        Some(ComposedAnswer { fields, body, detail: None })
    }

    /// The page as it is sent: up to the first part at once, while parts are asked for.
    fn streamed(
        &mut self,
        pieces: &[Piece],
        personal: Option<&Rc<SharedTask<Result<OwnParts, PersonalError>>>>,
        shared: &SharedParts<P>,
    ) -> Option<Composed<P>> {
        let mut nodes = Vec::with_capacity(pieces.len());
        for piece in pieces {
            nodes.push(match piece {
                Piece::Leaf(leaf) => Node::Ready(self.leaf(leaf)?.chunk(&self.page.body)),
                Piece::Shared { part, fallback } => {
                    let (once, fallback) = (shared.of(*part), self.chunk_of(fallback)?);
                    Node::Placeholder(Box::pin(async move {
                        let made = once.wait().await;
                        vec![Node::Ready(made.as_ref().clone().unwrap_or(fallback))]
                    }))
                }
                Piece::Personal { part, fallback } => {
                    let (part, fallback) = (*part, self.chunk_of(fallback)?);
                    match personal.map(Rc::clone) {
                        None => Node::Ready(fallback),
                        Some(once) => Node::Personal(Box::pin(async move {
                            let personal = once.wait().await;
                            let text =
                                personal.as_ref().as_ref().ok().and_then(|parts| parts.of(part));
                            vec![Node::Ready(match text {
                                Some(text) => P::chunk(text.as_bytes()),
                                None => fallback,
                            })]
                        })),
                    }
                }
            });
        }
        Some(Composed::new(Box::pin(futures_util::stream::iter([Ok(nodes)]))))
    }

    /// The bytes that stand in the place of leaves.
    fn chunk_of(&mut self, leaves: &[Leaf]) -> Option<P::Chunk> {
        let mut parts = Vec::with_capacity(leaves.len());
        self.leaves(leaves, &mut parts)?;
        let chunks: Vec<P::Chunk> = parts.iter().map(|part| part.chunk(&self.page.body)).collect();
        Some(P::concat(&chunks))
    }

    fn leaves(&mut self, leaves: &[Leaf], parts: &mut Vec<BodyPart<P>>) -> Option<()> {
        for leaf in leaves {
            parts.push(self.leaf(leaf)?);
        }
        Some(())
    }

    fn leaf(&mut self, leaf: &Leaf) -> Option<BodyPart<P>> {
        Some(match leaf {
            Leaf::Text(range) => BodyPart::Stored(range.start as u64, range.end as u64),
            Leaf::Token(number) => {
                let mut random = || self.context.platform.random();
                let token = self.minted.token(*number, &mut random)?;
                BodyPart::Text(P::chunk(token.as_bytes()))
            }
            Leaf::Nonce => BodyPart::Text(P::chunk(self.minted.nonce()?.as_bytes())),
        })
    }
}
