//! The body of an answer that is put together while it is sent: what is there goes at once, in its
//! order, and what stands behind a placeholder waits until that placeholder is filled.
//!
//! Placeholders are filled by tasks, of which few are under way at once; they move whenever
//! somebody takes from the body. A task always ends, and gives what stands in its place: whatever
//! can fail or last too long is for the task itself to bound. What it gives may have placeholders
//! of its own.

use std::collections::VecDeque;
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::task::{Context, Poll};

use futures_util::stream::{FuturesUnordered, Stream, StreamExt as _};

use crate::engine::port::{OriginError, Platform};

/// Tasks under way at once for one answer.
const AT_ONCE: usize = 4;
/// Bytes that are read ahead of a placeholder that is not filled yet, so that those behind it are
/// known.
const READ_AHEAD: usize = 256 << 10;

/// What fills a placeholder.
pub type Task<P> = Pin<Box<dyn Future<Output = Vec<Node<P>>>>>;
/// What the body is made of, as it arrives.
pub type NodeStream<P> = Pin<Box<dyn Stream<Item = Result<Vec<Node<P>>, OriginError>>>>;

/// What stands in a body.
pub enum Node<P: Platform> {
    /// Bytes.
    Ready(P::Chunk),
    /// A placeholder, with what fills it. It does not begin before it has its turn.
    Placeholder(Task<P>),
    /// A placeholder that one request fills for several: it begins at once, and they are one of
    /// those that are under way.
    Personal(Task<P>),
}

/// What is next in the body.
enum NextNode<P: Platform> {
    Ready(P::Chunk),
    Placeholder(u64),
}

type Numbered<P> = Pin<Box<dyn Future<Output = (u64, Vec<Node<P>>)>>>;

/// A body that is put together while it is sent.
pub struct Composed<P: Platform> {
    /// None once it has ended.
    source: Option<NodeStream<P>>,
    /// What broke the source, to be reported after what came before.
    broken: Option<OriginError>,
    queue: VecDeque<NextNode<P>>,
    /// Bytes in the queue.
    queued: usize,
    placeholders: u64,
    waiting: VecDeque<Numbered<P>>,
    running: FuturesUnordered<Numbered<P>>,
    /// What waits for the one request of several placeholders.
    personal: FuturesUnordered<Numbered<P>>,
}

impl<P: Platform> Composed<P> {
    /// A body out of what a source gives.
    #[must_use]
    pub fn new(source: NodeStream<P>) -> Self {
        Self {
            source: Some(source),
            broken: None,
            queue: VecDeque::new(),
            queued: 0,
            placeholders: 0,
            waiting: VecDeque::new(),
            running: FuturesUnordered::new(),
            personal: FuturesUnordered::new(),
        }
    }

    /// Begins what can begin, without waiting for anything.
    pub async fn begin(&mut self) {
        poll_fn(|context| {
            self.advance(context);
            Poll::Ready(())
        })
        .await;
    }

    /// What a task comes to that is waited for before anything is sent. The body goes on meanwhile.
    pub async fn meanwhile<T>(&mut self, task: impl Future<Output = T>) -> T {
        let mut task = pin!(task);
        poll_fn(|context| {
            self.advance(context);
            task.as_mut().poll(context)
        })
        .await
    }

    /// The next piece; none at the end.
    ///
    /// # Errors
    /// What broke the source.
    pub async fn next(&mut self) -> Result<Option<P::Chunk>, OriginError> {
        poll_fn(|context| {
            self.advance(context);
            match self.queue.pop_front() {
                Some(NextNode::Ready(chunk)) => {
                    self.queued -= P::length(&chunk);
                    Poll::Ready(Ok(Some(chunk)))
                }
                Some(placeholder @ NextNode::Placeholder(_)) => {
                    self.queue.push_front(placeholder);
                    Poll::Pending
                }
                None if self.source.is_some() => Poll::Pending,
                None => Poll::Ready(self.broken.map_or(Ok(None), Err)),
            }
        })
        .await
    }

    /// Goes on with the tasks, and reads the source until the next piece is there.
    fn advance(&mut self, context: &mut Context<'_>) {
        loop {
            self.run(context);
            let is_there = matches!(self.queue.front(), Some(NextNode::Ready(_)));
            let Some(source) = self.source.as_mut().filter(|_| !is_there) else { return };
            if self.queued >= READ_AHEAD {
                return;
            }
            match source.poll_next_unpin(context) {
                Poll::Pending => return,
                Poll::Ready(Some(Ok(nodes))) => {
                    let (next, mut tasks) = self.take(nodes);
                    self.queue.extend(next);
                    self.waiting.append(&mut tasks);
                }
                Poll::Ready(Some(Err(error))) => {
                    self.broken = Some(error);
                    self.source = None;
                }
                Poll::Ready(None) => self.source = None,
            }
        }
    }

    /// Begins what has its turn, and puts what is done in its place.
    fn run(&mut self, context: &mut Context<'_>) {
        loop {
            while let Poll::Ready(Some((placeholder, nodes))) =
                self.personal.poll_next_unpin(context)
            {
                self.fill(placeholder, nodes);
            }
            let most = AT_ONCE - usize::from(!self.personal.is_empty());
            while self.running.len() < most
                && let Some(task) = self.waiting.pop_front()
            {
                self.running.push(task);
            }
            let Poll::Ready(Some((placeholder, nodes))) = self.running.poll_next_unpin(context)
            else {
                return;
            };
            self.fill(placeholder, nodes);
        }
    }

    fn fill(&mut self, placeholder: u64, nodes: Vec<Node<P>>) {
        let at = self.queue.iter().position(
            |next| matches!(next, NextNode::Placeholder(number) if *number == placeholder),
        );
        let Some(at) = at else { return };
        let (next, mut tasks) = self.take(nodes);
        let behind = self.queue.split_off(at);
        self.queue.extend(next);
        self.queue.extend(behind.into_iter().skip(1));
        // Its own placeholders stand before those that were found behind it.
        tasks.append(&mut self.waiting);
        self.waiting = tasks;
    }

    const fn number(&mut self) -> u64 {
        self.placeholders += 1;
        self.placeholders
    }

    /// Numbers the placeholders.
    fn take(&mut self, nodes: Vec<Node<P>>) -> (Vec<NextNode<P>>, VecDeque<Numbered<P>>) {
        let mut tasks: VecDeque<Numbered<P>> = VecDeque::new();
        let mut taken = Vec::with_capacity(nodes.len());
        for node in nodes {
            match node {
                Node::Ready(chunk) if P::length(&chunk) == 0 => {}
                Node::Ready(chunk) => {
                    self.queued += P::length(&chunk);
                    taken.push(NextNode::Ready(chunk));
                }
                Node::Placeholder(task) => {
                    let placeholder = self.number();
                    tasks.push_back(Box::pin(async move { (placeholder, task.await) }));
                    taken.push(NextNode::Placeholder(placeholder));
                }
                Node::Personal(task) => {
                    let placeholder = self.number();
                    self.personal.push(Box::pin(async move { (placeholder, task.await) }));
                    taken.push(NextNode::Placeholder(placeholder));
                }
            }
        }
        (taken, tasks)
    }
}
