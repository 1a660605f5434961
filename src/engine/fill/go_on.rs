//! Prepares a reader for going on alone, should it fall behind the others.

use std::rc::Rc;

use crate::cache::admission::Admitted;
use crate::cache::entry::Entry;
use crate::cache::forward::{add_selecting, cacheable_request_fields};
use crate::engine::context::Incoming;
use crate::engine::fill::alone::{Alone, SendRequest};
use crate::engine::fill::reader::BodyReader;
use crate::engine::origin_limit::Sender;
use crate::engine::parts::Filler;
use crate::engine::port::Platform;

impl<P: Platform> Filler<P> {
    /// The same reader with what it needs to go on alone, should it fall behind the others.
    pub(crate) fn may_go_on(
        &self,
        reader: BodyReader<P>,
        incoming: &Incoming<P>,
        admitted: &Admitted<'_>,
        entry: &Entry,
    ) -> BodyReader<P> {
        let facts = self.context.facts(incoming, false);
        let mut sent = cacheable_request_fields(&incoming.head, admitted, &facts);
        let names = entry.selection.names();
        add_selecting(&mut sent, &incoming.head, &names);
        let target = admitted.page.path_and_query();
        let (context, head) = (self.context.clone(), Rc::clone(&incoming.head));
        let ask: SendRequest<P> = Box::new(move |request| {
            Box::pin(async move {
                let permit = context.permit(Sender::Visitor, Some(&head), None).await?;
                permit.fetch(request).await
            })
        });
        reader.with(Alone::of(entry, target, sent, self.context.config().origin_timeout, ask))
    }
}
