//! The shared parts of a composed page: what is the same for everybody, and for many pages.
//!
//! Each is a page of the site, with a key, a lifetime and tags of its own, which is asked for
//! without anything of the visitor (`fragment.rs`). Other than what an include of ESI leads to, it
//! has to be one that everybody shares: what the origin calls private, what sets a cookie and what
//! has no lifetime is none, and the fallback stands there. Parts are leaves: nothing is read in
//! them.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;

use crate::base::time::{Millis, Timestamp};
use crate::cache::esi::address::address;
use crate::control::log::Event;
use crate::control::metrics::Counter;
use crate::engine::memory::ShellPieces;
use crate::engine::parts::Server;
use crate::engine::port::Platform;
use crate::engine::serve::fragment::{FragmentError, charset_of};
use crate::engine::serve::personal::SharedTask;
use crate::http::{Fields, RequestHead};

/// A part that is asked for; none where its fallback stands.
type SharedPart<P> = Rc<SharedTask<Option<<P as Platform>::Chunk>>>;

/// The shared parts of one answer. Each is asked for once, however often it stands there.
pub(super) struct SharedParts<P: Platform> {
    fetcher: Rc<SharedPartFetcher<P>>,
    begun: RefCell<HashMap<usize, SharedPart<P>>>,
}

struct SharedPartFetcher<P: Platform> {
    server: Server<P>,
    visitor: Rc<RequestHead>,
    shell: Rc<ShellPieces>,
    url: String,
    charset: Option<String>,
    /// A visitor waits no longer, however many there are.
    end: Timestamp,
    failed: Cell<bool>,
}

impl<P: Platform> SharedParts<P> {
    /// Of a page, for a visitor.
    pub(super) fn new(
        server: &Server<P>,
        visitor: &Rc<RequestHead>,
        shell: &Rc<ShellPieces>,
        url: String,
        fields: &Fields,
    ) -> Self {
        let context = &server.context;
        let fetcher = SharedPartFetcher {
            server: Server::new(context),
            visitor: Rc::clone(visitor),
            shell: Rc::clone(shell),
            url,
            charset: charset_of(fields),
            end: context.platform.now().plus(context.config().compose_timeout),
            failed: Cell::new(false),
        };
        Self { fetcher: Rc::new(fetcher), begun: RefCell::default() }
    }

    /// The part of this number. It is asked for when somebody waits.
    pub(super) fn of(&self, part: usize) -> SharedPart<P> {
        let fetcher = Rc::clone(&self.fetcher);
        let once = || SharedTask::new(async move { fetcher.fetch_part(part).await });
        Rc::clone(self.begun.borrow_mut().entry(part).or_insert_with(once))
    }

    /// Whether the page goes without one, as far as is known.
    pub(super) fn failed(&self) -> bool {
        self.fetcher.failed.get()
    }
}

impl<P: Platform> SharedPartFetcher<P> {
    async fn fetch_part(&self, part: usize) -> Option<P::Chunk> {
        let src = self.shell.field.shared.get(part)?;
        let context = &self.server.context;
        match self.fetch(src).await {
            Ok(body) => {
                context.count(Counter::FragmentIncluded);
                Some(body)
            }
            Err(error) => {
                self.failed.set(true);
                context.count(Counter::FragmentFailed);
                let (url, fragment, reason) = (&self.url, src, error.as_str());
                context.log(&Event::FragmentFailed { url, fragment, reason });
                None
            }
        }
    }

    async fn fetch(&self, src: &str) -> Result<P::Chunk, FragmentError> {
        let context = &self.server.context;
        let found =
            address(src, &self.visitor, context.config()).map_err(FragmentError::Address)?;
        let head = self.server.fragment_request(&self.visitor, found.path, found.query);
        let limit = Millis(self.end.since(context.platform.now()).0);
        let fragment = self.server.fragment(head, self.charset.as_deref(), limit).await?;
        if !fragment.shared {
            return Err(FragmentError::Private);
        }
        if fragment.esi {
            return Err(FragmentError::Nested);
        }
        Ok(fragment.body)
    }
}
