//! `X-Edge-ISR-Compose`: what the origin says of a composed page, as a dictionary of structured
//! fields (RFC 9651).
//!
//! ```text
//! v=1, max-age=300, swr=3600, marker="…", placeholders=5, length=18231, audience=all, nonce,
//! csrf=("csrftoken" "Path=/; SameSite=Lax"), cookies=("sessionid"), personal=("user_menu")
//! ```
//!
//! One line, exactly as RFC 9651 §4.1 writes it: a field that was cut, doubled, joined or rewritten
//! on its way is not the one that its origin wrote. A key that is not known, or a value that it
//! can't have, and the whole is refused.

use sfv::{BareItem, DictSerializer, Dictionary, Item, ListEntry, Parser};

use crate::base::time::Seconds;
use crate::http::Fields;

use super::csrf::CsrfCookie;

/// The field, in both directions.
pub const COMPOSE: &str = "x-edge-isr-compose";
/// What the edge says to the origin of a page on a route that composes.
pub const ASKS: &str = "v=1";
/// The longest value.
pub const MAX_BYTES: usize = 16 << 10;
/// The most marks in a body, closings counted.
pub const MAX_PLACEHOLDERS: usize = 1_000;
/// The most parts of a page, personal and shared together.
pub const MAX_PARTS: usize = 32;
/// How long a marker is: letters and digits.
pub const MARKER_BYTES: usize = 43;

/// For whom a shell is good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Audience {
    /// Everyone: outside of its personal parts nothing was read that is a visitor's own.
    All,
    /// Visitors without a bypass cookie.
    Anonymous,
}

/// What the origin says of a composed page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ComposeField {
    /// How long it is fresh.
    pub max_age: Seconds,
    /// `stale-while-revalidate`, if it says one.
    pub swr: Option<Seconds>,
    /// `stale-if-error`, if it says one.
    pub sie: Option<Seconds>,
    /// What each placeholder begins with: letters and digits, new for each render.
    pub marker: String,
    /// How often the marker stands in the body.
    pub placeholders: usize,
    /// Bytes of the body.
    pub length: u64,
    /// For whom it is good.
    pub audience: Audience,
    /// Nothing is sent before the personal answer says that this visitor may have the page.
    pub gate: bool,
    /// Personal answers may set cookies: the head waits for them.
    pub wait: bool,
    /// The page's language.
    pub lang: Option<String>,
    /// Its policies carry a nonce.
    pub nonce: bool,
    /// The CSRF cookie.
    pub csrf: Option<CsrfCookie>,
    /// That cookie is only for the personal parts.
    pub csrf_personal: bool,
    /// Cookies without which a visitor has no personal parts, and is one of the anonymous.
    pub cookies: Vec<String>,
    /// The personal parts, by their names.
    pub personal: Vec<String>,
    /// The shared parts, by their addresses.
    pub shared: Vec<String>,
}

/// Reads the field of an answer: `None` if it has none.
///
/// # Errors
/// When it can't be read as what it must be.
pub fn compose_field(fields: &Fields) -> Option<Result<ComposeField, Unreadable>> {
    let mut rows = fields.all(COMPOSE);
    let first = rows.next()?;
    Some(if rows.next().is_some() { Err(Unreadable) } else { read(first).ok_or(Unreadable) })
}

/// The field is not what it must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unreadable;

/// Reads a value.
#[must_use]
pub fn read(value: &str) -> Option<ComposeField> {
    if value.len() > MAX_BYTES {
        return None;
    }
    let members = Parser::new(value).parse::<Dictionary>().ok()?;
    let mut again = DictSerializer::new();
    again.members(members.iter());
    if again.finish().as_deref() != Some(value) {
        return None;
    }
    let mut builder = ComposeFieldBuilder::default();
    for (key, member) in &members {
        builder.add(key.as_str(), member)?;
    }
    builder.build()
}

#[derive(Default)]
struct ComposeFieldBuilder {
    version: Option<u64>,
    max_age: Option<u64>,
    swr: Option<u64>,
    sie: Option<u64>,
    marker: Option<String>,
    placeholders: Option<u64>,
    length: Option<u64>,
    audience: Option<Audience>,
    gate: bool,
    wait: bool,
    lang: Option<String>,
    nonce: bool,
    csrf: Option<CsrfCookie>,
    csrf_personal: bool,
    cookies: Vec<String>,
    personal: Vec<String>,
    shared: Vec<String>,
}

impl ComposeFieldBuilder {
    /// Adds a member; none if it is not known, or not what it must be.
    fn add(&mut self, key: &str, member: &ListEntry) -> Option<()> {
        match key {
            "v" => self.version = Some(number(member)?),
            "max-age" => self.max_age = Some(number(member)?),
            "swr" => self.swr = Some(number(member)?),
            "sie" => self.sie = Some(number(member)?),
            "marker" => self.marker = Some(text(bare(member)?)?.to_owned()),
            "placeholders" => self.placeholders = Some(number(member)?),
            "length" => self.length = Some(number(member)?),
            "audience" => self.audience = Some(audience(member)?),
            "gate" => self.gate = switch(member)?,
            "wait" => self.wait = switch(member)?,
            "lang" => self.lang = Some(text(bare(member)?)?.to_owned()),
            "nonce" => self.nonce = switch(member)?,
            "csrf" => match texts(member)?.as_slice() {
                [name, attributes] => self.csrf = Some(CsrfCookie::read(name, attributes)?),
                _ => return None,
            },
            "csrf-personal" => self.csrf_personal = switch(member)?,
            "cookies" => self.cookies = texts(member)?,
            "personal" => self.personal = texts(member)?,
            "shared" => self.shared = texts(member)?,
            _ => return None,
        }
        Some(())
    }

    fn build(self) -> Option<ComposeField> {
        let marker = self.marker?;
        let letters = marker.bytes().all(|b| b.is_ascii_alphanumeric());
        let placeholders = usize::try_from(self.placeholders?)
            .ok()
            .filter(|placeholders| *placeholders <= MAX_PLACEHOLDERS)?;
        let names = self.personal.iter().all(|name| is_part_name(name));
        let addresses = self.shared.iter().all(|address| is_address(address));
        let once = is_distinct(&self.personal) && is_distinct(&self.shared);
        let parts = self.personal.len() + self.shared.len();
        // Who has personal parts, or is checked by a gate, is known by a cookie. So are those for
        // whom the page is not good; of one for all, they make no difference.
        let cookies = match (self.personal.is_empty() && !self.gate, self.audience?) {
            (false, Audience::All | Audience::Anonymous) => !self.cookies.is_empty(),
            (true, Audience::All) => self.cookies.is_empty(),
            (true, Audience::Anonymous) => true,
        };
        let lone_csrf = self.csrf_personal && (self.csrf.is_none() || self.personal.is_empty());
        let holds = self.version == Some(1)
            && marker.len() == MARKER_BYTES
            && letters
            && names
            && addresses
            && once
            && parts <= MAX_PARTS
            && cookies
            && !lone_csrf;
        holds.then_some(ComposeField {
            max_age: seconds(self.max_age?),
            swr: self.swr.map(seconds),
            sie: self.sie.map(seconds),
            marker,
            placeholders,
            length: self.length?,
            audience: self.audience?,
            gate: self.gate,
            wait: self.wait,
            lang: self.lang,
            nonce: self.nonce,
            csrf: self.csrf,
            csrf_personal: self.csrf_personal,
            cookies: self.cookies,
            personal: self.personal,
            shared: self.shared,
        })
    }
}

fn seconds(number: u64) -> Seconds {
    Seconds(number).min(Seconds::MAX)
}

/// The name of a personal part.
fn is_part_name(name: &str) -> bool {
    let byte = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'-');
    (1..=64).contains(&name.len()) && name.bytes().all(byte)
}

/// The address of a shared part: path and query on the page's own host.
fn is_address(address: &str) -> bool {
    address.starts_with('/')
        && !address.starts_with("//")
        && address.bytes().all(|b| b.is_ascii_graphic() && !matches!(b, b'#' | b'\\'))
}

fn is_distinct(names: &[String]) -> bool {
    names.iter().enumerate().all(|(at, name)| !names[..at].contains(name))
}

fn bare(member: &ListEntry) -> Option<&BareItem> {
    match member {
        ListEntry::Item(item) => plain(item),
        ListEntry::InnerList(_) => None,
    }
}

fn plain(item: &Item) -> Option<&BareItem> {
    item.params.is_empty().then_some(&item.bare_item)
}

fn number(member: &ListEntry) -> Option<u64> {
    match bare(member)? {
        BareItem::Integer(number) => u64::try_from(i64::from(*number)).ok(),
        _ => None,
    }
}

fn switch(member: &ListEntry) -> Option<bool> {
    match bare(member)? {
        BareItem::Boolean(on) => Some(*on),
        _ => None,
    }
}

fn text(item: &BareItem) -> Option<&str> {
    match item {
        BareItem::String(text) => Some(text.as_str()),
        _ => None,
    }
}

fn texts(member: &ListEntry) -> Option<Vec<String>> {
    let ListEntry::InnerList(list) = member else { return None };
    if !list.params.is_empty() {
        return None;
    }
    list.items.iter().map(|item| Some(text(plain(item)?)?.to_owned())).collect()
}

fn audience(member: &ListEntry) -> Option<Audience> {
    match bare(member)? {
        BareItem::Token(word) => match word.as_str() {
            "all" => Some(Audience::All),
            "anonymous" => Some(Audience::Anonymous),
            _ => None,
        },
        _ => None,
    }
}
