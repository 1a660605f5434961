//! The cookie-less half of Edge Side Includes (ESI Language Specification 1.0): what stands in a
//! body that its origin marked with `Surrogate-Control: content="ESI/1.0"`.
//!
//! [`EsiReader`] turns bytes into pieces as they arrive, [`address`] says where an include leads.
//! Known are `<esi:include src onerror>`, `<esi:remove>`, `<esi:comment>` and `<!--esi … -->`.
//! Whatever is not one of them in its right form is text, byte for byte: elements that are not
//! known, tags that can't be read, all that stands in comments of HTML and in CDATA. There are no
//! variables, no `alt` and no code: an include says one address, and nothing of a visitor.
//!
//! ```
//! use edge_isr::cache::esi::{EsiPiece, EsiReader};
//!
//! let (mut reader, mut pieces) = (EsiReader::default(), Vec::new());
//! reader.push(b"<p>a<esi:remove>b</esi:re", &mut pieces);
//! reader.push(b"move>c", &mut pieces);
//! reader.end(&mut pieces);
//! let text: Vec<u8> = pieces
//!     .into_iter()
//!     .flat_map(|piece| match piece {
//!         EsiPiece::Text(bytes) => bytes,
//!         EsiPiece::Include(_) => Vec::new(),
//!     })
//!     .collect();
//! assert_eq!(text, b"<p>ac");
//! ```

use crate::config::Route;
use crate::http::Fields;
use crate::http::targeted::asks_for_esi;

pub mod address;
mod reader;
mod tag;

pub use reader::EsiReader;
pub use tag::{EsiFault, EsiPiece, Include, MAX_TAG_BYTES};

/// Whether Edge Side Includes of a response are processed: its route allows it, and it asks for it.
#[must_use]
pub fn applies(route: &Route, response: &Fields) -> bool {
    route.esi && asks_for_esi(response)
}
