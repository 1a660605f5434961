//! Composed pages: shells with placeholders for a token, a visitor's own part and a shared one; and
//! what a visitor may get of them.
//!
//! The origin renders pages 0 to 2 as shells where it is asked for one, and inline for whoever asks
//! otherwise; a shared part is a page of its own. What goes wrong on the way is drawn: fields that
//! are lost or cut, and answers that a cache before the origin mixes up.

use edge_isr::cache::compose::mint::Secret;
use edge_isr::http::{Fields, cookie};
use fastrand::Rng;

use crate::origin::{self, SITE};
use crate::plan::PAGES;
use crate::watch::{Label, Property, Served};
use crate::world::World;

/// Where the shared part stands among the pages.
pub(crate) const SHARED: usize = PAGES;
/// What a marker begins with.
pub(crate) const MARKER: &str = "eIsR";
/// The one page that is good for visitors without a session alone, where some page is.
const ANONYMOUS: usize = 1;
/// What stands where the origin makes the token itself.
const INLINE: &str = "inline";
/// What stands for those who have no part, or if it fails.
const NOBODY: &str = "nobody";
const NONE: &str = "none";
/// For how long after a request for parts has failed, or was slow, a fallback is no wonder.
const PARTS_FAILED: i64 = 14_000;

/// How the pages of a history are composed, and what becomes of them on their way.
#[derive(Clone, Debug)]
pub(crate) struct Composed {
    /// The site's own checks have the last word.
    pub(crate) gate: bool,
    /// The head waits for the parts.
    pub(crate) wait: bool,
    /// Page 1 is good for visitors without a session alone.
    pub(crate) anonymous: bool,
    /// Shells whose field is lost, cut or doubled, or whose body is changed.
    pub(crate) changed: f64,
    /// Answers for parts that a cache before the origin had kept for another visitor.
    pub(crate) mixed: f64,
    /// Answers for parts that are an error, a redirect, or not JSON.
    pub(crate) fails: f64,
}

impl Composed {
    pub(crate) fn of(rng: &mut Rng, calm: bool) -> Self {
        let pick = |rng: &mut Rng, of: [f64; 3]| if calm { 0.0 } else { of[rng.usize(0..3)] };
        Self {
            gate: rng.u32(0..4) == 0,
            wait: rng.u32(0..4) == 0,
            anonymous: rng.bool(),
            changed: pick(rng, [0.0, 0.05, 0.3]),
            mixed: pick(rng, [0.0, 0.1, 0.4]),
            fails: pick(rng, [0.0, 0.1, 0.3]),
        }
    }

    /// Whether what is stored of a page is for visitors without a session alone.
    fn is_for_nobody(&self, page: usize) -> bool {
        !is_shell(page) || page == ANONYMOUS && self.anonymous
    }

    /// Whether a visitor with a session may get a page from the origin, though it is stored.
    pub(crate) fn may_pass(&self, page: usize) -> bool {
        self.gate || self.is_for_nobody(page)
    }
}

/// Whether a page is a shell for the edge.
pub(crate) fn is_shell(page: usize) -> bool {
    page <= 2
}

/// The cookies of a visitor: half of them are logged in, some have none.
pub(crate) fn cookies(request: u64) -> String {
    match request % 4 {
        0 => String::new(),
        1 => format!("visitor={request}"),
        _ => format!("visitor={request}; sessionid=s{request}"),
    }
}

fn session(cookies: &str) -> Option<&str> {
    cookies.split_once("sessionid=").map(|(_, session)| session)
}

/// The visitor's own part of a page.
fn personal(page: usize, session: &str) -> String {
    format!("of {session} on {}", SITE[page].path)
}

/// A page as the edge keeps it: its body, and the field that describes it.
pub(crate) fn shell(plan: &Composed, page: usize, body: &str, render: u64) -> (String, Fields) {
    let marker = format!("{MARKER}{render:039}");
    let at = |placeholder: &str| format!("{marker}{placeholder}");
    let (token, personal, shared, end) = (at("t00"), at("p00"), at("s00"), at("e00"));
    let body = format!("{body}#{token}#{personal}{NOBODY}{end}#{shared}{NONE}{end}");
    let placeholders = body.matches(&marker).count();
    let audience = if page == ANONYMOUS && plan.anonymous { "anonymous" } else { "all" };
    let (gate, wait) =
        (if plan.gate { ", gate" } else { "" }, if plan.wait { ", wait" } else { "" });
    let value = format!(
        "marker=\"{marker}\", placeholders={placeholders}, length={}, \
         audience={audience}{gate}{wait}, csrf=(\"csrftoken\" \"Path=/\"), \
         cookies=(\"sessionid\"), personal=(\"who\"), shared=(\"{}\")",
        body.len(),
        SITE[SHARED].path
    );
    let fields = [("cache-control", "private, no-store"), ("x-edge-isr-compose", &*value)];
    (body, fields.into_iter().collect())
}

/// A page as whoever else asks gets it.
pub(crate) fn inline(page: usize, body: &str, cookies: &str, shared: &str) -> String {
    let personal = session(cookies).map_or(NOBODY.to_owned(), |session| personal(page, session));
    format!("{body}#{INLINE}#{personal}#{shared}")
}

/// The parts that a request is answered with.
pub(crate) fn parts(request: &Fields) -> Option<String> {
    let field = request.get("x-edge-isr-personal")?;
    let id = field.split('"').nth(1)?;
    let path = field.split("page=\"").nth(1)?.split('"').next()?;
    let session = cookie::values(request, "sessionid").unwrap_or_default();
    Some(format!("{{\"id\":\"{id}\",\"parts\":{{\"who\":\"of {session} on {path}\"}}}}"))
}

/// What is changed of a shell on its way.
pub(crate) fn change(kind: u64, fields: &mut Fields, body: &mut String) {
    let value = fields.get("x-edge-isr-compose").unwrap_or_default().to_owned();
    match kind {
        0 => fields.remove("x-edge-isr-compose"),
        1 => fields.set("x-edge-isr-compose", &value[..value.len() / 2]),
        2 => fields.append("x-edge-isr-compose", value),
        3 => fields.set("age", "1"),
        _ => body.insert(0, ' '),
    }
}

/// What an answer says beside its body.
pub(crate) struct Visit<'a> {
    pub(crate) who: &'a str,
    pub(crate) arrived: i64,
    pub(crate) page: usize,
    pub(crate) cookies: &'a str,
    /// The cookie that it sets.
    pub(crate) secret: Option<&'a str>,
    pub(crate) label: Option<Label>,
    pub(crate) journal_lost: bool,
}

/// What a page says of itself, but for its placeholders.
pub(crate) fn read(body: &str) -> Option<origin::Read> {
    origin::read(body.split_once('#').map_or(body, |(main, _)| main))
}

/// What stands in a stored body: none if it is one that no store may hold.
pub(crate) fn stored(text: &str) -> Option<origin::Read> {
    let (main, placeholders) = text.split_once('#').unwrap_or((text, ""));
    let read = origin::read(main)?;
    let personal = placeholders.contains(" on /") || placeholders.contains(INLINE);
    (!personal && (placeholders.is_empty() || placeholders.contains(MARKER))).then_some(read)
}

/// A page without what stands in its places; those are judged: whose they are, and how old.
pub(crate) fn judge<'b>(
    world: &World,
    plan: &Composed,
    visit: &Visit<'_>,
    body: &'b str,
) -> &'b str {
    let (main, placeholders) = body.split_once('#').unwrap_or((body, ""));
    let wrong = |property, what: &str| {
        world.violate(property, format!("{}: {what}: {body}", visit.who));
    };
    if body.contains(MARKER) {
        wrong(Property::Shell, "a shell as it is stored");
    }
    let read = origin::read(main);
    let known = session(visit.cookies).filter(|_| plan.is_for_nobody(visit.page));
    if known.is_some() && read.is_none_or(|read| read.seen != visit.cookies) {
        wrong(Property::Private, "what is for those without a session");
    }
    if !is_shell(visit.page) {
        return main;
    }
    let [token, part, shared] = placeholders.split('#').collect::<Vec<_>>()[..] else {
        wrong(Property::Shell, "placeholders are missing");
        return main;
    };
    if token == INLINE {
        let want = session(visit.cookies).map_or(NOBODY.to_owned(), |s| personal(visit.page, s));
        if part != want {
            wrong(Property::Private, "another's part");
        }
    } else {
        judge_token(world, token, visit, &wrong);
        judge_part(world, part, visit, &wrong);
    }
    judge_shared(world, shared, visit, &wrong);
    let how = if token == INLINE { "inline" } else { "composed" };
    world.watch.borrow_mut().count(how);
    main
}

type Wrong<'a> = dyn Fn(Property, &str) + 'a;

/// A token is of the secret that the answer sets, and nobody else was given either.
fn judge_token(world: &World, token: &str, visit: &Visit<'_>, wrong: &Wrong<'_>) {
    let value = visit.secret.and_then(|line| line.strip_prefix("csrftoken="));
    let secret = value.and_then(|value| Secret::of_cookie(value.split(';').next()?));
    let Some(secret) = secret.filter(|secret| Secret::of_cookie(token).as_ref() == Some(secret))
    else {
        return wrong(Property::Shell, "a token without its cookie");
    };
    let mut made = world.made.borrow_mut();
    let new = made.insert(secret.cookie_value()) & made.insert(token.to_owned());
    if !new {
        wrong(Property::Private, "a token that was made for another");
    }
}

/// A part is the visitor's own; its fallback stands there if it failed, or if they have none.
fn judge_part(world: &World, part: &str, visit: &Visit<'_>, wrong: &Wrong<'_>) {
    let mine = session(visit.cookies).map(|session| personal(visit.page, session));
    if part != NOBODY && Some(part) != mine.as_deref() {
        wrong(Property::Private, "another's part");
    }
    let failed = world.parts_failed.get() >= visit.arrived - PARTS_FAILED;
    if part == NOBODY && mine.is_some() && !failed {
        wrong(Property::Shell, "a fallback, and the part did not fail");
    }
}

/// A shared part is as recent as a page of its own has to be.
fn judge_shared(world: &World, shared: &str, visit: &Visit<'_>, wrong: &Wrong<'_>) {
    if shared == NONE {
        return;
    }
    let Some(read) = origin::read(shared).filter(|read| read.page == SHARED) else {
        return wrong(Property::Shell, "what is no shared part");
    };
    if !read.seen.is_empty() {
        wrong(Property::Private, "a shared part with something of a visitor");
    }
    world.watch.borrow_mut().count("shared");
    let old = read.shown != origin::shown(SHARED, &world.data.at(i64::MAX));
    if world.quiet.get() && !world.watch.borrow().unrepaired && old {
        wrong(Property::Heals, "an old part in the end");
    }
    if visit.label.is_none() {
        return;
    }
    // Nothing says how it came about: softly invalidated, it may be a stale one.
    let (arrived, shows) = (visit.arrived, read.shown.as_slice());
    let who = format!("{} in a part", visit.who);
    let (label, page, journal_lost) = (Label::Stale, SHARED, visit.journal_lost);
    let served = Served { who, arrived, label, page, shows, journal_lost };
    let (lag, lost) = (world.config.max_lag.0, world.config.journal_lost_limit.0);
    world.watch.borrow_mut().judge(&served, lag as i64, lost as i64);
}
