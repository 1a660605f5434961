//! A visitor's own parts of a composed page: one request with their cookies, by a way of its own.
//!
//! What comes is a value that belongs to one answer: it is never cloned, has no key, and knows no
//! store, no fill and no other request. Whatever the origin does, the task ends within
//! `compose_timeout`.

use std::cell::RefCell;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context as Polled, Poll, Waker};

use futures_util::future::{Either, select};

use crate::base::time::Millis;
use crate::cache::compose::mint::letters;
use crate::cache::compose::personal::{
    MAX_BYTES, PATH, PartsRequest, PersonalError, check_head, cookies_set, parts, request_fields,
    target,
};
use crate::cache::compose::visitor::Minted;
use crate::control::log::Event;
use crate::control::metrics::Counter;
use crate::engine::context::{Context, Incoming};
use crate::engine::memory::ShellPieces;
use crate::engine::origin_limit::Sender;
use crate::engine::port::{Content, OriginError, OriginRequest, Platform};
use crate::engine::unread_body::UnreadBody;

/// What the origin gave for one visitor.
pub(super) struct OwnParts {
    /// In the order of the field; none for one that failed at the origin.
    pub(super) parts: Vec<Option<String>>,
    /// The cookies that it sets.
    pub(super) cookies: Vec<String>,
}

impl OwnParts {
    pub(super) fn of(&self, part: usize) -> Option<&str> {
        self.parts.get(part)?.as_deref()
    }
}

/// A request for a visitor's parts, as its task can own it.
pub(super) struct PersonalRequest<P: Platform> {
    context: Context<P>,
    incoming: Incoming<P>,
    shell: Rc<ShellPieces>,
    request: OriginRequest<P::Stream, P::Chunk>,
    id: String,
    url: String,
    limit: Millis,
}

impl<P: Platform> PersonalRequest<P> {
    /// What is asked for a page; none if it can't be written.
    pub(super) fn new(
        context: &Context<P>,
        incoming: &Incoming<P>,
        (url, page): (String, &str),
        (shell, minted): (&Rc<ShellPieces>, &Minted),
        late: bool,
    ) -> Option<Self> {
        let id = letters(&context.platform.random())?;
        let field = &shell.field;
        let request = &incoming.head;
        let ask = PartsRequest { request, field, minted, id: &id, page, late };
        let fields = request_fields(&ask, &context.facts(incoming, false))?;
        let limit = context.config().compose_timeout;
        let request = OriginRequest {
            method: "GET".to_owned(),
            target: target(field),
            fields,
            content: Content::None,
            timeout: limit,
        };
        let (incoming, shell) = (incoming.share(), Rc::clone(shell));
        Some(Self { context: context.clone(), incoming, shell, request, id, url, limit })
    }

    /// Asks. A failure is logged here.
    pub(super) async fn send(self) -> Result<OwnParts, PersonalError> {
        let Self { context, incoming, shell, request, id, url, limit } = self;
        let answer = ask(&context, &incoming, &shell, request, &id);
        let late = context.platform.sleep(limit);
        let outcome = match select(Box::pin(answer), Box::pin(late)).await {
            Either::Left((outcome, _)) => outcome,
            Either::Right(((), _)) => Err(PersonalError::Timeout),
        };
        match &outcome {
            Ok(_) => context.count(Counter::PersonalAsked),
            Err(error) => {
                context.count(Counter::PersonalFailed);
                let reason = error.as_str();
                context.log(&Event::FragmentFailed { url: &url, fragment: PATH, reason });
            }
        }
        outcome
    }
}

async fn ask<P: Platform>(
    context: &Context<P>,
    incoming: &Incoming<P>,
    shell: &ShellPieces,
    request: OriginRequest<P::Stream, P::Chunk>,
    id: &str,
) -> Result<OwnParts, PersonalError> {
    let platform = &context.platform;
    let timeout = request.timeout;
    let permit = context.permit(Sender::Visitor, Some(&incoming.head), None).await;
    let permit = permit.map_err(why)?;
    let response = permit.fetch(request).await.map_err(why)?;
    let mut body = UnreadBody { platform, body: Some(response.body) };
    check_head(&response.head)?;
    let mut bytes = Vec::new();
    while let Some(stream) = &mut body.body {
        let piece = platform.read(stream, timeout).await.map_err(why)?;
        let Some(piece) = piece else {
            body.body = None;
            break;
        };
        if bytes.len() + P::length(&piece) > MAX_BYTES {
            return Err(PersonalError::TooLarge);
        }
        bytes.extend(P::bytes(&piece));
    }
    let parts = parts(id, &shell.field, &bytes)?;
    Ok(OwnParts { parts, cookies: cookies_set(&response.head, &shell.field) })
}

fn why(error: OriginError) -> PersonalError {
    match error {
        OriginError::Timeout => PersonalError::Timeout,
        OriginError::Unreachable
        | OriginError::Broken
        | OriginError::Unreadable
        | OriginError::Busy
        | OriginError::Upload
        | OriginError::Left
        | OriginError::Status(_) => PersonalError::Origin,
    }
}

/// One task that several placeholders of one answer wait for.
pub(super) struct SharedTask<T>(RefCell<SharedTaskState<T>>);

enum SharedTaskState<T> {
    Running(Pin<Box<dyn Future<Output = T>>>, Vec<Waker>),
    Done(Rc<T>),
}

impl<T: 'static> SharedTask<T> {
    pub(super) fn new(task: impl Future<Output = T> + 'static) -> Rc<Self> {
        Rc::new(Self(RefCell::new(SharedTaskState::Running(Box::pin(task), Vec::new()))))
    }

    /// What the task gives, once it has ended. Whoever waits drives it.
    pub(super) async fn wait(&self) -> Rc<T> {
        poll_fn(|context| self.poll(context)).await
    }

    fn poll(&self, context: &mut Polled<'_>) -> Poll<Rc<T>> {
        let mut state = self.0.borrow_mut();
        let (task, wakers) = match &mut *state {
            SharedTaskState::Done(value) => return Poll::Ready(Rc::clone(value)),
            SharedTaskState::Running(task, wakers) => (task, wakers),
        };
        let Poll::Ready(value) = task.as_mut().poll(context) else {
            if !wakers.iter().any(|known| known.will_wake(context.waker())) {
                wakers.push(context.waker().clone());
            }
            return Poll::Pending;
        };
        let (value, wakers) = (Rc::new(value), std::mem::take(wakers));
        *state = SharedTaskState::Done(Rc::clone(&value));
        drop(state);
        wakers.into_iter().for_each(Waker::wake);
        Poll::Ready(value)
    }
}
