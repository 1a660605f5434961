//! One request of an audit: the variant that a hit answered with, asked as a warm asks.

use crate::base::time::{Millis, Timestamp};
use crate::cache::admission::{Admission, admit};
use crate::cache::audit::{MAX_BODY_BYTES, Shown};
use crate::cache::forward::{EdgeFacts, add_selecting, cacheable_request_fields, warm_fields};
use crate::cache::status::{is_transient, may_depend_on_request, replaces_stored};
use crate::cache::storage::{Storage, StorageInput, storage};
use crate::cache::variant::selection;
use crate::engine::context::{USER_AGENT, own_request};
use crate::engine::fill::buffer::BodyBuffer;
use crate::engine::fill::request::page_request;
use crate::engine::parts::Auditor;
use crate::engine::platform_limits::BACKGROUND_TASKS;
use crate::engine::port::{OriginError, OriginResponse, Platform};
use crate::http::RequestHead;
use crate::http::head::stated_length;

use super::{Audit, AuditOutcome};

/// How long an audit may take as a whole: what is left of the platform's time for background tasks
/// is for reporting what was found.
const LIMIT: Millis = Millis(BACKGROUND_TASKS.0 - 6_000);

impl<P: Platform> Auditor<P> {
    /// What the origin says now; else what the audit comes to.
    pub(super) async fn ask(&self, audit: &Audit<P>) -> Result<Shown, AuditOutcome> {
        let entry = &audit.page.entry;
        let config = self.context.config();
        let names = entry.selection.names();
        let request = self.request(audit, &names);
        let Admission::Serve(admitted) = admit(&request, config) else {
            return Err(AuditOutcome::NotComparable);
        };
        let facts = EdgeFacts {
            origin_secret: self.context.origin_secret(),
            warm: true,
            user_agent: USER_AGENT,
            client_accept_encoding: None,
            esi: config.is_esi(&entry.page.host, &entry.page.path),
        };
        let mut sent = cacheable_request_fields(&request, &admitted, &facts);
        add_selecting(&mut sent, &request, &names);
        // What a warm does not repeat of its visitor may select another variant.
        let selected = selection(&names, &request, &admitted, &sent);
        if admitted.key != entry.key || selected != entry.selection {
            return Err(AuditOutcome::NotComparable);
        }
        let began = self.context.platform.now();
        let response = self.fetch(page_request(&admitted, sent.clone(), self.left(audit))).await?;
        let input = StorageInput {
            request: &request,
            admitted: &admitted,
            sent: &sent,
            response: &response.head,
            request_time: began,
            response_time: self.context.platform.now(),
        };
        let status = response.head.status;
        match storage(&input) {
            Storage::Store(storable) => {
                let body = self.body(audit, response).await?;
                let ignored = &audit.admitted.route.audit_ignore;
                Ok(Shown::new(status, &storable.fields, storable.tags, (body, ignored)))
            }
            Storage::Share(_, reason) | Storage::Refuse(reason) => {
                self.context.platform.cancel(response.body);
                let of_the_page = replaces_stored(status) && !may_depend_on_request(status);
                if reason.is_of_the_origin() && of_the_page {
                    Ok(Shown::not_stored(status, &response.head.fields, reason.as_str()))
                } else {
                    Err(AuditOutcome::NotComparable)
                }
            }
        }
    }

    /// The request that a warm of the variant makes.
    fn request(&self, audit: &Audit<P>, names: &[String]) -> RequestHead {
        let (incoming, admitted) = (&audit.incoming, &audit.admitted);
        let facts = self.context.facts(incoming, false);
        let mut sent = cacheable_request_fields(&incoming.head, admitted, &facts);
        add_selecting(&mut sent, &incoming.head, names);
        own_request(&audit.page.entry.page, warm_fields(&incoming.head, admitted, &sent))
    }

    /// Asks, if the origin has nothing better to do.
    async fn fetch(
        &self,
        request: crate::engine::port::OriginRequest<P::Stream, P::Chunk>,
    ) -> Result<OriginResponse<P::Stream>, AuditOutcome> {
        let most = self.context.config().origin_concurrency;
        let struggles = {
            let origin = &self.context.isolate().borrow().origin;
            origin.waiting() > 0 || origin.limit() < most
        };
        let permit = self.context.background_permit().filter(|_| !struggles);
        let permit = permit.ok_or(AuditOutcome::PutOff)?;
        match permit.fetch(request).await {
            Ok(response) if is_transient(response.head.status) => {
                self.context.platform.cancel(response.body);
                Err(self.failed())
            }
            Ok(response) => Ok(response),
            Err(_) => Err(self.failed()),
        }
    }

    async fn body(
        &self,
        audit: &Audit<P>,
        response: OriginResponse<P::Stream>,
    ) -> Result<Vec<u8>, AuditOutcome> {
        let stated = stated_length(&response.head.fields);
        if stated.is_some_and(|length| length > MAX_BODY_BYTES) {
            self.context.platform.cancel(response.body);
            return Err(AuditOutcome::NotComparable);
        }
        // What arrives counts as memory.
        let held = BodyBuffer::new(self.context.platform.now());
        let deadline = Some(audit.began.plus(LIMIT));
        let end = self.filler.read_body(response.body, stated, &held, deadline).await;
        held.finish(end, self.context.platform.now());
        match (end, held.whole()) {
            (Ok(()), Some(body)) if P::length(&body) as u64 <= MAX_BODY_BYTES => {
                Ok(P::bytes(&body))
            }
            (Ok(()) | Err(OriginError::Busy), _) => Err(AuditOutcome::NotComparable),
            (Err(_), _) => Err(self.failed()),
        }
    }

    fn failed(&self) -> AuditOutcome {
        let now = self.context.platform.now();
        self.context.isolate().borrow_mut().audits.note_failure(now);
        AuditOutcome::PutOff
    }

    fn left(&self, audit: &Audit<P>) -> Millis {
        let now: Timestamp = self.context.platform.now();
        let left = LIMIT.0.saturating_sub(now.since(audit.began).0);
        self.context.config().origin_timeout.min(Millis(left.max(1)))
    }
}
