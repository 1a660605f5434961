//! What the engine needs of the world: clock, origin, stores, journal, index, background work.
//!
//! One [`Platform`] value belongs to one request (or one alarm), because the runtime ties I/O to
//! the request that began it. Bodies stay on the platform's side: the engine sees
//! [`Platform::Chunk`] handles and their lengths. Everything runs on one thread; futures are not
//! `Send`.

use std::cell::Cell;
use std::future::Future;
use std::rc::Rc;

use crate::base::time::{Millis, Timestamp};
use crate::cache::compose::mint::Random;
use crate::cache::content::{BodyDigest, body_digest};
use crate::cache::envelope::Record;
use crate::front_caches;
use crate::http::{Fields, ResponseHead};
use crate::index::{ShardCall, ShardReply};
use crate::journal::delta::SharedDelta;
use crate::journal::{JournalCall, JournalReply};

/// How far a visitor's body is on its way to the origin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UploadState {
    /// Its sender may take forever.
    UnderWay,
    /// The origin has it whole.
    Sent,
    /// It gives way to others: the platform ends it as [`OriginError::Busy`].
    GivenUp,
}

/// A visitor's body on its way to the origin.
pub struct Upload<S> {
    /// The body.
    pub body: S,
    /// Its length, if that is stated.
    pub length: Option<u64>,
    /// Set to [`UploadState::Sent`] once it was sent whole: from then on the answer has the time
    /// limit of the request.
    pub state: Rc<Cell<UploadState>>,
    /// How long it may take.
    pub limit: Millis,
}

/// What is sent to the origin as content.
pub enum Content<S, C> {
    /// Nothing.
    None,
    /// Bytes that are there.
    Whole(C),
    /// A body that arrives.
    Upload(Upload<S>),
}

/// A request to the origin.
pub struct OriginRequest<S, C> {
    /// The method's raw name.
    pub method: String,
    /// Path and query at the origin.
    pub target: String,
    /// The fields to send.
    pub fields: Fields,
    /// The content.
    pub content: Content<S, C>,
    /// How long the head of the answer may take, counted from when the request was sent whole.
    pub timeout: Millis,
}

/// The origin's answer: its head, and its body unread.
pub struct OriginResponse<S> {
    /// Status and fields, as they came.
    pub head: ResponseHead,
    /// The body.
    pub body: S,
}

/// Why the origin gave no answer, or not a whole one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OriginError {
    /// No connection.
    Unreachable,
    /// No head, or no more of the body, within the time limit.
    Timeout,
    /// The body ended early, or not at its stated length.
    Broken,
    /// It answered with what the runtime can't read: a head above the platform's limit, or no HTTP.
    Unreadable,
    /// The edge already has as many origin requests under way as it may.
    Busy,
    /// The visitor did not send the body of the request in time.
    Upload,
    /// The visitor left before it was asked.
    Left,
    /// It answered with a status that says it failed (5xx).
    Status(u16),
}

impl OriginError {
    /// The reason's name in Cache-Status, logs and metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unreachable => "origin-unreachable",
            Self::Timeout => "origin-timeout",
            Self::Broken => "origin-broken",
            Self::Unreadable => "origin-unreadable",
            Self::Busy => "origin-busy",
            Self::Upload => "upload-timeout",
            Self::Left => "visitor-left",
            Self::Status(_) => "origin-error",
        }
    }

    /// What happened, in a sentence.
    #[must_use]
    pub const fn detail(self) -> &'static str {
        match self {
            Self::Unreadable => {
                "The origin's answer can't be read: its fields are above the platform's limit of \
                 128 KB, or it is no HTTP."
            }
            Self::Unreachable
            | Self::Timeout
            | Self::Broken
            | Self::Busy
            | Self::Upload
            | Self::Left
            | Self::Status(_) => {
                "The origin gave no answer, and nothing stored may stand in for it."
            }
        }
    }

    /// The status of the answer to a visitor (RFC 9110 §15.6).
    #[must_use]
    pub const fn status(self) -> u16 {
        match self {
            Self::Unreachable | Self::Broken | Self::Unreadable => 502,
            Self::Busy | Self::Left => 503,
            Self::Upload => 408,
            Self::Timeout => 504,
            Self::Status(status) => status,
        }
    }
}

/// Why a store gave no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StoreError {
    /// The store failed; its own words.
    Failed(String),
    /// What it holds is not an envelope that can be read.
    Unreadable(String),
    /// The body is larger than the store takes.
    TooLarge,
}

impl std::fmt::Display for StoreError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Failed(what) => write!(f, "failed: {what}"),
            Self::Unreadable(what) => write!(f, "unreadable: {what}"),
            Self::TooLarge => f.write_str("the body is larger than the store takes"),
        }
    }
}

/// Why Workers Caching did not purge.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PurgeError {
    /// The runtime has no such call.
    Absent,
    /// It did not, and gives too many calls as the one reason that passes.
    Limited,
    /// The call failed.
    Failed,
}

/// Why a call to the journal or a shard gave no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CallError {
    /// It could not be reached, or did not answer in time.
    Unreachable(String),
    /// It broke off, as when its code is updated or it moves: another try finds it again. It may
    /// have done what it was asked.
    Broken(String),
    /// It has more to do than it can: another try makes it worse.
    Overloaded(String),
    /// It answered that it failed.
    Failed(String),
    /// Its answer is not one that this version knows.
    Unknown(String),
}

impl std::fmt::Display for CallError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Unreachable(what) => write!(f, "unreachable: {what}"),
            Self::Broken(what) => write!(f, "broke off: {what}"),
            Self::Overloaded(what) => write!(f, "overloaded: {what}"),
            Self::Failed(what) => write!(f, "failed: {what}"),
            Self::Unknown(what) => write!(f, "unknown answer: {what}"),
        }
    }
}

/// A record from a store, with its body.
pub struct Stored<B> {
    /// The record.
    pub record: Record,
    /// The body; empty for markers.
    pub body: B,
}

/// A store of records: L1 (one colo) or L2 (global).
pub trait Store<C> {
    /// A body that was stored: read, or still to be read.
    type Body;

    /// The largest record it takes, head and body together.
    fn most_bytes(&self) -> u64 {
        u64::MAX
    }

    /// Reads the record under a key.
    fn get(
        &self,
        key: &str,
    ) -> impl Future<Output = Result<Option<Stored<Self::Body>>, StoreError>>;

    /// Writes a record, to be kept for at least `keep`.
    fn put(
        &self,
        key: &str,
        record: &Record,
        body: &C,
        keep: Millis,
    ) -> impl Future<Output = Result<(), StoreError>>;
}

/// Everything the engine needs of the world, for one request.
pub trait Platform: 'static {
    /// A piece of a body, held by the runtime. Cloning copies a handle.
    type Chunk: Clone + 'static;
    /// A body that has not been read.
    type Stream: 'static;
    /// L1. Its bodies come unread: most go to a visitor as they are.
    type Colo: Store<Self::Chunk, Body = Self::Stream>;
    /// L2.
    type Global: Store<Self::Chunk, Body = Self::Chunk>;
    /// The head of a response, ready to be sent any number of times.
    type Head;

    /// Bytes that the runtime takes at most for a piece that is read, while it is on its way too.
    const LARGEST_PIECE: u64;

    /// The clock. Within a request it may stand still between I/O.
    fn now(&self) -> Timestamp;

    /// Waits.
    fn sleep(&self, span: Millis) -> impl Future<Output = ()>;

    /// A text that no other call returns.
    fn unique(&self) -> String;

    /// Random bytes of a cryptographic generator.
    fn random(&self) -> Random;

    /// Writes a line to the log.
    fn log(&self, line: &str);

    /// Goes on with a task after the answer; the request's context stays alive for it.
    fn spawn(&self, task: impl Future<Output = ()> + 'static);

    /// Whether the visitor whose request this is has left, as far as the platform says.
    fn has_visitor_left(&self) -> bool;

    /// A name for where this isolate is.
    fn colo_name(&self) -> String;

    /// L1.
    fn colo(&self) -> &Self::Colo;

    /// L2.
    fn global(&self) -> &Self::Global;

    /// The news of the journal that an isolate of this colo shared last, if they are still kept.
    fn shared_delta(&self) -> impl Future<Output = Result<Option<SharedDelta>, StoreError>>;

    /// Shares news of the journal with the isolates of this colo, for `keep`.
    fn share_delta(
        &self,
        delta: &SharedDelta,
        keep: Millis,
    ) -> impl Future<Output = Result<(), StoreError>>;

    /// Sends a request to the origin.
    fn fetch(
        &self,
        request: OriginRequest<Self::Stream, Self::Chunk>,
    ) -> impl Future<Output = Result<OriginResponse<Self::Stream>, OriginError>>;

    /// Calls the API of a cache in front of the edge, and reads as much of its answer as wanted.
    fn call_front_cache(
        &self,
        request: front_caches::DeliveryRequest,
        timeout: Millis,
    ) -> impl Future<Output = Result<front_caches::DeliveryAnswer, OriginError>>;

    /// Purges what the platform keeps of this worker's responses before it runs, or marks it as
    /// stale, by the options of Workers Caching as JSON.
    fn purge_workers_cache(
        &self,
        mark: bool,
        options: &str,
    ) -> impl Future<Output = Result<(), PurgeError>>;

    /// All of a body out of L1, which is to have that length.
    fn whole(
        &self,
        body: Self::Stream,
        length: u64,
    ) -> impl Future<Output = Result<Self::Chunk, StoreError>>;

    /// The next piece of a body; none at its end.
    fn read(
        &self,
        body: &mut Self::Stream,
        timeout: Millis,
    ) -> impl Future<Output = Result<Option<Self::Chunk>, OriginError>>;

    /// Prepares a body of that length to be kept whole: in one buffer whose parts its pieces are,
    /// where the platform can.
    fn gather(&self, body: Self::Stream, _length: u64) -> Self::Stream {
        body
    }

    /// Undoes gzip if the body begins like a gzip file (RFC 1952 §2.3.1); as it came otherwise, and
    /// on a platform without gzip.
    fn unpack(
        &self,
        body: Self::Stream,
    ) -> impl Future<Output = Result<Self::Stream, OriginError>> {
        async move { Ok(body) }
    }

    /// Gives a body up unread.
    fn cancel(&self, body: Self::Stream);

    /// Bytes in a piece.
    fn length(chunk: &Self::Chunk) -> usize;

    /// One piece out of several.
    fn concat(chunks: &[Self::Chunk]) -> Self::Chunk;

    /// A piece of the edge's own bytes.
    fn chunk(bytes: &[u8]) -> Self::Chunk;

    /// A copy of a piece's bytes.
    fn bytes(chunk: &Self::Chunk) -> Vec<u8>;

    /// The digest of a piece's bytes; none where the platform can't say.
    fn digest(&self, chunk: &Self::Chunk) -> impl Future<Output = Option<BodyDigest>> {
        let digest = body_digest(&Self::bytes(chunk));
        async move { Some(digest) }
    }

    /// The part of a piece from byte `from` up to and without byte `to`.
    fn slice(chunk: &Self::Chunk, from: u64, to: u64) -> Self::Chunk;

    /// Makes a head ready.
    fn head(status: u16, fields: &Fields) -> Self::Head;

    /// At least the bytes that a head with these fields takes.
    fn head_bytes(fields: &Fields) -> u64;

    /// Puts an age and a Cache-Status in the place of those that a head has.
    fn renew(head: &Self::Head, age: &str, cache_status: &str);

    /// Asks the journal.
    fn journal(&self, call: JournalCall) -> impl Future<Output = Result<JournalReply, CallError>>;

    /// Asks an index shard.
    fn shard(
        &self,
        shard: u16,
        call: ShardCall,
    ) -> impl Future<Output = Result<ShardReply, CallError>>;
}

/// What the colo's cache has under a key.
pub type FoundInColo<P> = Result<Option<Stored<<P as Platform>::Stream>>, StoreError>;
