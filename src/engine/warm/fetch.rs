//! One warm: the origin is asked for a page without a visitor, and what comes is stored.

use std::rc::Rc;

use crate::base::time::{Millis, Timestamp};
use crate::cache::admission::{Admission, Admitted, admit};
use crate::cache::compose::shell::is_stored_shell;
use crate::cache::entry::Entry;
use crate::cache::forward::{EdgeFacts, add_selecting, cacheable_request_fields, warm_fields};
use crate::cache::not_forwarded::impersonal_fields;
use crate::cache::status::{ends_page, is_transient, replaces_stored};
use crate::cache::storage::{NoStore, Storage, storage};
use crate::engine::context::{USER_AGENT, own_request};
use crate::engine::fill::buffer::BodyBuffer;
use crate::engine::fill::request::{FetchContext, page_request};
use crate::engine::fill::terms::{FetchTerms, Lease};
use crate::engine::invalidate::gone::{ENDED, Gone};
use crate::engine::memory::StoredPage;
use crate::engine::origin_limit::Sender;
use crate::engine::parts::Warmer;
use crate::engine::port::{OriginError, OriginResponse, Platform};
use crate::engine::stores::content_of;
use crate::engine::unread_body::UnreadBody;
use crate::http::head::stated_length;
use crate::http::retry_after::retry_after;
use crate::http::{Fields, RequestHead};
use crate::index::lease::Version;
use crate::index::{Outcome, RecordRequest, WarmResult, WarmTask};

/// How long a warm may take as a whole: the time limit of the origin, this at least, and a little
/// more.
const LEAST_LIMIT: Millis = Millis(20_000);
const AFTER_HEAD: Millis = Millis(2_000);

impl<P: Platform> Warmer<P> {
    /// Refetches one page.
    pub(super) async fn warm(&self, task: &WarmTask) -> WarmResult {
        let platform = &self.context.platform;
        let request = own_request(&task.page, task.request.clone());
        let Admission::Serve(admitted) = admit(&request, self.context.config()) else {
            return fetched(task, Outcome::Uncacheable { reason: "route".to_owned() }, 0);
        };
        if admitted.key != task.key {
            // The rules of the key have changed since: nobody will ask for this one again.
            return fetched(task, Outcome::Gone, 0);
        }
        let facts = EdgeFacts {
            origin_secret: self.context.origin_secret(),
            warm: true,
            user_agent: USER_AGENT,
            client_accept_encoding: None,
            esi: self.context.config().is_esi(&task.page.host, &task.page.path),
        };
        let mut sent = cacheable_request_fields(&request, &admitted, &facts);
        add_selecting(&mut sent, &request, &task.vary);
        let end = platform.now().plus(self.warm_limit());
        let fetched = self.ask_for_warm(&request, &admitted, (task, sent), end).await;
        let (mut response, mut fetch, mut decision) = match fetched {
            Ok(fetched) => fetched,
            Err(failure) => return failure,
        };
        if let Storage::Refuse(reason) = decision
            && task.stored.is_some()
            && replaces_stored(response.head.status)
            && reason.is_of_the_origin()
        {
            // Who asked for the page first said what this warm repeats. Before what is stored of it
            // is given up for all, the origin is asked without.
            let sent = impersonal_fields(&fetch.sent, &admitted, &task.vary);
            if sent != fetch.sent {
                platform.cancel(response.body);
                let fetched = self.ask_for_warm(&request, &admitted, (task, sent), end).await;
                (response, fetch, decision) = match fetched {
                    Ok(fetched) => fetched,
                    Err(failure) => return failure,
                };
            }
        }
        let status = response.head.status;
        match decision {
            Storage::Store(storable) => {
                let entry = fetch.entry(&request, &admitted, storable, status);
                let fields = warm_fields(&request, &admitted, &fetch.sent);
                self.store_warm((task, &admitted), (entry, fields, end), response).await
            }
            Storage::Share(_, reason) | Storage::Refuse(reason) => {
                platform.cancel(response.body);
                self.warm_not_stored(task, &admitted, status, reason).await
            }
        }
    }

    /// The page is not for everyone any more, or gone: what is stored of it ends.
    async fn warm_not_stored(
        &self,
        task: &WarmTask,
        admitted: &Admitted<'_>,
        status: u16,
        reason: NoStore,
    ) -> WarmResult {
        if !replaces_stored(status) {
            return failed(OriginError::Status(status), None);
        }
        if task.stored.is_some() && reason.is_of_the_way() {
            return WarmResult::NotStored { reason: reason.as_str().to_owned() };
        }
        if let Some(stamp) = task.stored.filter(|_| reason.is_of_the_origin()) {
            let gone = Gone { status, reason: reason.as_str(), stamp, via: "warm" };
            if self.invalidator.invalidate_gone(admitted, gone).await.is_err() {
                let reason = "journal-unreachable".to_owned();
                return WarmResult::Failed { reason, after: None };
            }
        }
        let outcome = match status {
            404 | 410 => Outcome::Gone,
            _ => Outcome::Uncacheable { reason: reason.as_str().to_owned() },
        };
        fetched(task, outcome, status)
    }

    /// Asks the origin for a page, and decides on the answer; a failure is the warm's own.
    async fn ask_for_warm(
        &self,
        request: &RequestHead,
        admitted: &Admitted<'_>,
        (task, sent): (&WarmTask, Fields),
        end: Timestamp,
    ) -> Result<(OriginResponse<P::Stream>, FetchContext, Storage), WarmResult> {
        let platform = &self.context.platform;
        let permit = self.context.permit(Sender::Background, None, None).await;
        let permit = permit.map_err(|error| failed(error, None))?;
        let began = platform.now();
        let timeout = self.context.config().origin_timeout.min(end.since(began));
        let response = permit.fetch(page_request(admitted, sent.clone(), timeout)).await;
        let response = response.map_err(|error| failed(error, None))?;
        if is_transient(response.head.status) {
            platform.cancel(response.body);
            let after = retry_after(&response.head.fields, platform.now());
            return Err(failed(OriginError::Status(response.head.status), after));
        }
        let terms = FetchTerms::Leased(Lease::of_warm(task));
        let arrived = platform.now();
        let fetch = FetchContext { terms, stamp: task.stamp, sent, began, arrived };
        let decision = storage(&fetch.input(request, admitted, &response.head));
        Ok((response, fetch, decision))
    }

    async fn store_warm(
        &self,
        (task, admitted): (&WarmTask, &Admitted<'_>),
        (mut entry, request, end): (Entry, Fields, Timestamp),
        response: OriginResponse<P::Stream>,
    ) -> WarmResult {
        let platform = &self.context.platform;
        let status = entry.status;
        // It counts as memory until it is stored.
        let held = BodyBuffer::new(platform.now());
        let body = match self.read_whole(response, end, &held).await {
            Ok(Some(body)) => body,
            Ok(None) => {
                return fetched(
                    task,
                    Outcome::Uncacheable { reason: "body-too-large".to_owned() },
                    status,
                );
            }
            Err(error) => return failed(error, None),
        };
        entry.body_length = P::length(&body) as u64;
        let page = Rc::new(StoredPage::new(entry, body));
        held.became(&page);
        let entry = &page.entry;
        if is_stored_shell(entry) && page.shell_pieces(P::bytes).is_none() {
            return self.warm_not_stored(task, admitted, status, NoStore::ComposeBody).await;
        }
        let Ok(l2_key) = self.stores.store_in_l2(&page).await else {
            return WarmResult::Failed { reason: "l2-failed".to_owned(), after: None };
        };
        self.stores.store_in_colo(&page).await;
        if ends_page(task.stored_status, status)
            && let Some(stamp) = task.stored
        {
            let gone = Gone { status, reason: ENDED, stamp, via: "warm" };
            if self.invalidator.invalidate_gone(admitted, gone).await.is_err() {
                let reason = "journal-unreachable".to_owned();
                return WarmResult::Failed { reason, after: None };
            }
        }
        WarmResult::Fetched(Box::new(RecordRequest {
            l2_key,
            content: content_of(platform, &page).await,
            ..RecordRequest::stored(entry, &task.selection, request)
        }))
    }

    /// How long a warm may take as a whole: its lease outlives it.
    fn warm_limit(&self) -> Millis {
        Millis(self.context.config().origin_timeout.max(LEAST_LIMIT).0.saturating_add(AFTER_HEAD.0))
    }

    /// The whole body, by the time that the warm has as a whole; none if it is larger than what may
    /// be stored. It counts as memory of the isolate.
    async fn read_whole(
        &self,
        response: OriginResponse<P::Stream>,
        end: Timestamp,
        held: &BodyBuffer<P>,
    ) -> Result<Option<P::Chunk>, OriginError> {
        let platform = &self.context.platform;
        let stated = stated_length(&response.head.fields);
        let mut body = UnreadBody { platform, body: Some(response.body) };
        let most = self.context.config().max_body;
        if stated.is_some_and(|length| length > most) {
            return Ok(None);
        }
        self.context.isolate().borrow_mut().watch_buffer(held);
        if let Some(length) = stated {
            if !self.context.has_room(length) {
                return Err(OriginError::Busy);
            }
            held.reserve(length);
            body.body = body.body.take().map(|stream| platform.gather(stream, length));
        }
        loop {
            let now = platform.now();
            let timeout = self.context.config().origin_timeout.min(end.since(now));
            let Some(stream) = &mut body.body else { return Err(OriginError::Broken) };
            let Some(piece) = platform.read(stream, timeout).await? else { break };
            held.push(piece, platform.now());
            if held.total() > most {
                return Ok(None);
            }
            let mut isolate = self.context.isolate().borrow_mut();
            let most_held = self.context.config().fill_memory;
            if stated.is_none() && isolate.fill_bytes() > most_held {
                isolate.shed(now, most_held);
                if isolate.fill_bytes() > most_held {
                    return Err(OriginError::Busy);
                }
            }
        }
        body.body = None;
        if stated.is_some_and(|length| length != held.total()) {
            return Err(OriginError::Broken);
        }
        Ok(held.whole())
    }
}

fn failed(error: OriginError, after: Option<Millis>) -> WarmResult {
    let reason = match error {
        OriginError::Status(status) => format!("origin-error {status}"),
        OriginError::Unreachable
        | OriginError::Timeout
        | OriginError::Broken
        | OriginError::Unreadable
        | OriginError::Busy
        | OriginError::Upload
        | OriginError::Left => error.as_str().to_owned(),
    };
    WarmResult::Failed { reason, after }
}

fn fetched(task: &WarmTask, outcome: Outcome, status: u16) -> WarmResult {
    let version = Version { stamp: task.stamp, fence: task.fence };
    let page = (&task.page, &task.key);
    let record = RecordRequest::not_stored(page, &task.selection, version, status, outcome);
    WarmResult::Fetched(Box::new(record))
}
