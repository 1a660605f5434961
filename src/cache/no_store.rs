//! Why a response is not stored: the reasons of [`super::storage`], and what follows from each for
//! the next request.

/// Why a response is not stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum NoStore {
    /// The request was neither GET nor HEAD.
    Method,
    /// The request said `no-store`.
    RequestNoStore,
    /// A status that is not stored, or that must be understood and is not.
    Status,
    /// A part of a representation (206).
    PartialContent,
    /// The way to the origin failed (520 to 530).
    EdgeError,
    /// `X-Edge-ISR: bypass`.
    Bypass,
    /// `no-store`.
    NoStoreDirective,
    /// `private`.
    Private,
    /// It sets a cookie.
    SetCookie,
    /// The request carried credentials, and the response does not say that all may have it (RFC
    /// 9111 §3.5).
    Authorization,
    /// Cookies outside the key reached the origin, and the response does not say that all may have
    /// it.
    Cookie,
    /// `Vary: *`, or one that can't be read.
    VaryAny,
    /// An endless body: `text/event-stream`, `multipart/x-mixed-replace`.
    EventStream,
    /// Its Content-Security-Policy carries a nonce.
    CspNonce,
    /// It came out of another cache.
    UpstreamCache,
    /// A text in its tags is no tag.
    BadTags,
    /// It has more tags than a page may have.
    TooManyTags,
    /// Its media type is none of its path's extension, and only the route says that it may be kept.
    MediaType,
    /// A field of it has bytes that the runtime does not pass on: they would be lost.
    FieldBytes,
    /// `X-Edge-ISR-Compose` is not as its origin writes it, or the route does not compose.
    ComposeField,
    /// Its head is not one that a composed page's shell can have.
    ComposeAnswer,
    /// Its body is not the shell that `X-Edge-ISR-Compose` describes.
    ComposeBody,
    /// It could never be reused.
    NoFreshness,
    /// Its lifetime was over when it came, because it took so long.
    Late,
    /// Its body is larger than what is stored.
    BodyTooLarge,
    /// The isolate has no memory for its body at this moment.
    NoRoom,
}

impl NoStore {
    /// The reason's name in Cache-Status, logs and metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Method => "method",
            Self::RequestNoStore => "request-no-store",
            Self::Status => "status",
            Self::PartialContent => "partial-content",
            Self::EdgeError => "edge-error",
            Self::Bypass => "bypass",
            Self::NoStoreDirective => "no-store",
            Self::Private => "private",
            Self::SetCookie => "set-cookie",
            Self::Authorization => "authorization",
            Self::Cookie => "cookie",
            Self::VaryAny => "vary-any",
            Self::EventStream => "event-stream",
            Self::CspNonce => "csp-nonce",
            Self::UpstreamCache => "upstream-cache",
            Self::BadTags => "bad-tags",
            Self::TooManyTags => "too-many-tags",
            Self::MediaType => "media-type",
            Self::FieldBytes => "field-bytes",
            Self::ComposeField => "compose-field",
            Self::ComposeAnswer => "compose-answer",
            Self::ComposeBody => "compose-body",
            Self::NoFreshness => "no-freshness",
            Self::Late => "late",
            Self::BodyTooLarge => "body-too-large",
            Self::NoRoom => "no-room",
        }
    }

    /// Where the reason lies.
    const fn cause(self) -> Cause {
        match self {
            Self::Method | Self::RequestNoStore | Self::Authorization | Self::Cookie => {
                Cause::Request
            }
            Self::NoRoom => Cause::Isolate,
            Self::BodyTooLarge => Cause::Size,
            Self::Status | Self::PartialContent => Cause::Response,
            Self::EdgeError | Self::UpstreamCache | Self::Late => Cause::Way,
            Self::Bypass
            | Self::NoStoreDirective
            | Self::Private
            | Self::SetCookie
            | Self::VaryAny
            | Self::EventStream
            | Self::CspNonce
            | Self::BadTags
            | Self::TooManyTags
            | Self::MediaType
            | Self::FieldBytes
            | Self::ComposeField
            | Self::ComposeAnswer
            | Self::ComposeBody
            | Self::NoFreshness => Cause::Page,
        }
    }

    /// Whether it is worth a line in the log: its origin says something wrongly, and its author
    /// should know.
    #[must_use]
    pub const fn is_worth_a_line(self) -> bool {
        matches!(
            self,
            Self::BadTags
                | Self::TooManyTags
                | Self::VaryAny
                | Self::UpstreamCache
                | Self::MediaType
                | Self::FieldBytes
                | Self::ComposeField
                | Self::ComposeAnswer
                | Self::ComposeBody
                | Self::CspNonce
        )
    }

    /// Whether it lies between the edge and the origin: of the page it says nothing, and what is
    /// stored of it stays.
    #[must_use]
    pub const fn is_of_the_way(self) -> bool {
        matches!(self.cause(), Cause::Way)
    }

    /// Whether the next answer for the page is likely to be refused too, so that requests may pass
    /// at once for a while. Not so where the reason lies in this request, or passes by itself.
    #[must_use]
    pub const fn hit_for_pass(self) -> bool {
        matches!(self.cause(), Cause::Page | Cause::Size)
    }

    /// Whether the reason is the origin's own word on the page: what is stored of it is then no
    /// answer any more. Not so where another cache stands before the origin, or where it was slow.
    #[must_use]
    pub const fn is_of_the_origin(self) -> bool {
        matches!(self.cause(), Cause::Page | Cause::Response)
    }

    /// Whether the reason lies in what this request said or carried, or in this isolate: it
    /// says nothing of the page.
    #[must_use]
    pub const fn is_of_the_request(self) -> bool {
        matches!(self.cause(), Cause::Request | Cause::Isolate)
    }

    /// Whether the answer is everyone's all the same: only its size speaks against storing it.
    #[must_use]
    pub const fn is_of_the_size(self) -> bool {
        matches!(self.cause(), Cause::Size | Cause::Isolate)
    }
}

/// Where a reason lies.
enum Cause {
    /// In what this request said or carried.
    Request,
    /// In this isolate, at this moment.
    Isolate,
    /// In the size of the body alone.
    Size,
    /// In this response: the next one may be another.
    Response,
    /// On the way from the origin.
    Way,
    /// In what the page is: the next response is likely to be the same.
    Page,
}
