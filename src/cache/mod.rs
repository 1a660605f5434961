//! What is stored and the rules of RFC 9111, as pure functions: facts and `now` go in, a decision
//! with its reason comes out.
//!
//! | question | file |
//! | --- | --- |
//! | What is a page, and which variant of it is this? | [`key`] |
//! | What is a tag? Which targets invalidate a page? Which fields carry tags? | [`tag`], [`tag_fields`] |
//! | What is stored, and in which form? | [`entry`], [`envelope`] |
//! | Is this request for the cache, and for which page? | [`admission`], [`admitted`], [`query`], [`device`] |
//! | What does the origin see of it? What do visitors see of the answer? | [`forward`], [`not_forwarded`] |
//! | May a request without an answer be sent again (RFC 9112 §9.3.1)? | [`resend`] |
//! | May the answer be stored (RFC 9111 §3)? If not, why? | [`storage`], [`forbidden`], [`media`], [`no_store`] |
//! | For how long is it fresh (RFC 9111 §4.2)? | [`freshness`] |
//! | Which variant is it (RFC 9111 §4.1)? | [`variant`] |
//! | Was it invalidated, as far as the journal's news go? | [`validity`] |
//! | May it be reused now (RFC 9111 §4, RFC 5861)? | [`reuse`] |
//! | How is it validated (RFC 9111 §4.3)? | [`validation`] |
//! | Which part of it was requested (RFC 9110 §14)? | [`range`] |
//! | Do two responses have the same content? | [`content`] |
//! | How do they differ, and what is the likely cause? | [`audit`] |
//! | Which failures of the origin may it answer for (RFC 5861 §4)? | [`stale_if_error`] |
//! | Does a status describe the page, one request, or one moment? | [`status`] |
//! | Which parts of a body are instructions for the edge (ESI 1.0)? | [`esi`] |
//! | How is a page composed of a shared page and personal parts? | [`compose`] |
//! | What does an unsafe request invalidate (RFC 9111 §4.4)? | [`unsafe_methods`] |
//!
//! ```
//! use edge_isr::cache::tag::Tag;
//!
//! assert!(Tag::parse("post:42").is_ok());
//! assert!(Tag::parse("").is_err(), "what can't be read is refused, with its reason");
//! ```

pub mod admission;
pub mod admitted;
pub mod audit;
pub mod compose;
pub mod content;
pub mod device;
pub mod entry;
pub mod envelope;
pub mod esi;
pub mod forbidden;
pub mod forward;
pub mod freshness;
pub mod key;
pub mod media;
pub mod no_store;
pub mod not_forwarded;
pub mod query;
pub mod range;
pub mod resend;
pub mod reuse;
pub mod stale_if_error;
pub mod status;
pub mod storage;
pub mod tag;
pub mod tag_fields;
pub mod unsafe_methods;
pub mod validation;
pub mod validity;
pub mod variant;

pub use validity::Validity;
