//! Composed pages: one shared page, each visitor's own parts (docs/composition.md).
//!
//! The origin renders a page once, without any cookie, and marks placeholders for what belongs to
//! one visitor: CSRF tokens and nonces, which the edge makes, and personal parts, which it requests
//! with the visitor's cookies. What is stored is the *shell*, which is never sent as it is.
//! Everything here fails closed: what can't be read, or was changed on its way, is no shell.
//!
//! | question | file |
//! | --- | --- |
//! | What does the origin say of a page's placeholders? | [`field`] |
//! | Is this answer a shell that may be kept? | [`shell`] |
//! | Where are the placeholders in its body? | [`pieces`] |
//! | Which CSRF secret is in force, and what is a token of it? | [`csrf`], [`mint`] |
//! | Is the page composed for this visitor, and what is made for them? | [`visitor`] |
//! | How are a visitor's parts requested, and may the answer be trusted? | [`personal`] |

pub mod csrf;
pub mod field;
pub mod mint;
pub mod personal;
pub mod pieces;
pub mod shell;
pub mod visitor;
