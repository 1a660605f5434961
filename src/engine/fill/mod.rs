//! A fill: from "nothing usable is stored here" to a stored response, or to an answer that is not
//! stored.
//!
//! A fill runs as a [`SharedFill`](shared::SharedFill) in a task of its own. It asks the page's
//! shard for a lease, so that one refresh of a variant runs at a time in the world; takes the copy
//! in L2 if the shard names one that is recent enough; else asks the origin, and stores and records
//! what comes. Without a shard it goes to the origin all the same, and what comes stays in this
//! colo.
//!
//! | question | file |
//! | --- | --- |
//! | What is asked, and what is there to fall back to? | [`request`] |
//! | What is in flight for a key? What do those who wait share? | [`in_flight`], [`shared`] |
//! | How does a fill begin, and what did it bring? | `start`, [`outcome`] |
//! | Who may fetch, under which lease, or why without one? | `permission`, `terms` |
//! | What is asked of the origin, and what becomes of its answer? | `fetch`, `store`, `shell` |
//! | How is it stored, and who learns of it? | `body`, `publish`, `late` |
//! | What of what is not stored? | `not_stored`, `hit_for_pass` |
//! | What stands in for an origin that fails? | `stale_on_error` |
//! | How do readers get a body that arrives? One that falls behind? | [`buffer`], `arriving`, [`reader`], `resume` |
//! | What of refreshes that nobody waits for? | `background` |

pub(crate) mod arriving;
mod background;
mod body;
pub mod buffer;
mod fetch;
pub(crate) mod hit_for_pass;
pub mod in_flight;
pub(crate) mod late;
mod not_stored;
pub mod outcome;
pub(crate) mod permission;
mod publish;
pub mod reader;
pub mod request;
mod resume;
pub mod shared;
mod shell;
pub(crate) mod stale_on_error;
mod start;
mod store;
pub(crate) mod terms;
