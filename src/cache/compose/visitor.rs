//! What is made for a visitor: whether the page is composed for them at all, the values that are
//! minted, and the fields of their answer.
//!
//! An answer with personal parts says `private, no-store`; one with minted values alone `private,
//! no-cache`. Neither has a validator, and no condition is heard: a 304 would bring the page of
//! another log-in back. A shared cache in front of the edge keeps neither.

use crate::cache::entry::FreshnessSource;
use crate::cache::forward::visitor_fields;
use crate::config::Route;
use crate::http::{Fields, RequestHead};

use super::csrf::has_cookie;
use super::field::{Audience, ComposeField};
use super::mint::{Random, Secret, letters};
use super::shell::{KEEPING, POLICIES, nonce_placeholder};

/// Why a page is not composed for a visitor, but passed to the origin whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum NotComposed {
    /// It is good for visitors without a bypass cookie, and this one has one.
    Audience,
    /// What is stored can't be read any more.
    Unreadable,
    /// Its host or path is outside of the CSRF cookie's domain or path.
    CookieScope,
    /// The site's own checks have the last word, and could not be asked.
    Gate,
    /// No random bytes.
    Random,
}

impl NotComposed {
    /// The reason's name in Cache-Status, logs and metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Audience => "compose-audience",
            Self::Unreadable => "compose-unreadable",
            Self::CookieScope => "compose-cookie-scope",
            Self::Gate => "compose-gate",
            Self::Random => "compose-random",
        }
    }
}

/// Who asks, as far as it counts.
#[derive(Clone, Copy, Debug)]
pub struct Visitor<'a> {
    /// The request.
    pub request: &'a RequestHead,
    /// They have a cookie by which the route bypasses.
    pub known: bool,
}

impl Visitor<'_> {
    /// Whether a page may be composed for them.
    ///
    /// # Errors
    /// Why not.
    pub fn may_have(&self, field: &ComposeField) -> Result<(), NotComposed> {
        let Self { request, known } = *self;
        let covers = |cookie: &super::csrf::CsrfCookie| cookie.covers(&request.host, &request.path);
        // The route's word for it, or the site's own.
        let checked = known || has_cookie(&request.fields, &field.cookies);
        match field.audience {
            Audience::Anonymous if checked => return Err(NotComposed::Audience),
            Audience::Anonymous | Audience::All => {}
        }
        if field.gate && checked && field.personal.is_empty() {
            // There is no request by which its checks could be asked.
            return Err(NotComposed::Gate);
        }
        if !field.csrf.as_ref().is_none_or(covers) {
            return Err(NotComposed::CookieScope);
        }
        Ok(())
    }

    /// Whether their own parts are asked for: who has none of the cookies costs no request.
    #[must_use]
    pub fn has_parts(&self, field: &ComposeField) -> bool {
        !field.personal.is_empty()
            && (self.known || has_cookie(&self.request.fields, &field.cookies))
    }
}

impl Visitor<'_> {
    /// Whether nothing is sent before their parts are there: a gate has to let them through, or
    /// the parts may set cookies. A message in a cookie is one that has to be deleted.
    #[must_use]
    pub fn waits(&self, field: &ComposeField) -> bool {
        field.gate || field.wait || has_cookie(&self.request.fields, &["messages".to_owned()])
    }
}

/// What is made for one answer. Never stored, and never shown by `Debug`.
#[derive(Default)]
pub struct Minted {
    /// The CSRF secret in force, and whether its cookie is set.
    secret: Option<Secret>,
    set_cookie: Option<String>,
    nonce: Option<String>,
    tokens: Vec<(u8, String)>,
}

impl std::fmt::Debug for Minted {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Minted")
    }
}

impl Minted {
    /// Makes what the page needs for a visitor. `parts` is whether their personal parts are asked
    /// for; each call of `random` gives bytes that no other gave.
    #[must_use]
    pub fn new(
        field: &ComposeField,
        request: &Fields,
        parts: bool,
        random: &mut impl FnMut() -> Random,
    ) -> Option<Self> {
        let nonce = if field.nonce { Some(letters(&random())?) } else { None };
        let Some(cookie) = field.csrf.as_ref().filter(|_| parts || !field.csrf_personal) else {
            return Some(Self { nonce, ..Self::default() });
        };
        let secret = match cookie.secret_of(request) {
            Some(secret) => secret,
            None => Secret::new(&random())?,
        };
        let set_cookie = Some(cookie.set_cookie(&secret));
        Some(Self { secret: Some(secret), set_cookie, nonce, tokens: Vec::new() })
    }

    /// The token of a number: the same for each placeholder of it, masked anew in each page.
    pub fn token(&mut self, number: u8, random: &mut impl FnMut() -> Random) -> Option<&str> {
        if !self.tokens.iter().any(|(known, _)| *known == number) {
            let token = self.secret.as_ref()?.token(&random())?;
            self.tokens.push((number, token));
        }
        self.tokens.iter().find(|(known, _)| *known == number).map(|(_, token)| token.as_str())
    }

    /// The nonce.
    #[must_use]
    pub fn nonce(&self) -> Option<&str> {
        self.nonce.as_deref()
    }

    /// The secret in force.
    #[must_use]
    pub const fn secret(&self) -> Option<&Secret> {
        self.secret.as_ref()
    }

    /// The fields of the answer that a shell with these stored fields makes; none if its marker
    /// would be left in them.
    #[must_use]
    pub fn fields(
        &self,
        stored: &Fields,
        field: &ComposeField,
        route: &Route,
        personal: bool,
    ) -> Option<Fields> {
        let mut fields = head_fields(stored, route, personal);
        let placeholder = nonce_placeholder(field);
        for name in POLICIES {
            let policies: Vec<String> = fields.all(name).map(str::to_owned).collect();
            fields.remove(name);
            for policy in policies {
                let policy = match &self.nonce {
                    Some(nonce) => policy.replace(&placeholder, nonce),
                    None => policy,
                };
                fields.append(*name, policy);
            }
        }
        if let Some(line) = &self.set_cookie {
            fields.append("set-cookie", line.as_str());
        }
        let clean = fields.iter().all(|(_, value)| !value.contains(&field.marker));
        clean.then_some(fields)
    }
}

/// The fields of the answer to a HEAD: nothing is made for it, so that policies with a nonce are
/// left out.
#[must_use]
pub fn fields_of_head(stored: &Fields, field: &ComposeField, route: &Route, parts: bool) -> Fields {
    let mut fields = head_fields(stored, route, parts);
    fields.retain(|_, value| !value.contains(&field.marker));
    fields
}

fn head_fields(stored: &Fields, route: &Route, personal: bool) -> Fields {
    let mut fields = visitor_fields(stored, route, FreshnessSource::None);
    fields.retain(|name, _| !KEEPING.contains(&name) && name != "set-cookie");
    let kept = if personal { "private, no-store" } else { "private, no-cache" };
    fields.set("cache-control", kept);
    fields.set("cdn-cache-control", "no-store");
    fields.set("surrogate-control", "no-store");
    fields
}
