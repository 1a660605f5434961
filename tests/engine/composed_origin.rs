//! An origin that speaks the wire of composed pages: what it renders for a visitor, and the shell
//! of the same page for the edge.
#![allow(clippy::expect_used)]

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use edge_isr::config::{Config, Route};
use edge_isr::engine::port::OriginError;
use edge_isr::http::{Fields, cookie};

use crate::world::{Isolate, Reached, Script, World};

pub(crate) const SITE: &str = "https://example.com";
/// What the origin's own tokens look like: never made at the edge.
pub(crate) const OWN_TOKEN: &str = "tokenOfTheOrigin";

pub(crate) const OWN_NONCE: &str = "nonceOfTheOrigin";

/// A piece of the page's template.
#[derive(Clone, Debug)]
pub(crate) enum Bit {
    Text(String),
    Token(u8),
    Nonce,
    /// A personal part, by its number, with its fallback.
    Personal(usize, Vec<Bit>),
    /// A shared part, by its number, with its fallback.
    Shared(usize, Vec<Bit>),
}

/// What can be changed of the origin's answers.
type Change = Box<dyn Fn(&Reached, &mut Script)>;

pub(crate) struct Origin {
    pub(crate) world: Rc<World>,
    pub(crate) config: Config,
    page: RefCell<Vec<Bit>>,
    /// Members of the field beside those that follow from the page.
    pub(crate) more: RefCell<String>,
    pub(crate) audience: Cell<&'static str>,
    renders: Cell<u32>,
    change: RefCell<Change>,
}

/// The visitor's own part, as it stands for who has this session.
pub(crate) fn part(name: &str, session: &str) -> String {
    format!("<b>{name} of {session} ÿ</b>")
}

/// The part that is the same for everybody.
pub(crate) fn shared_part(part: usize) -> String {
    format!("<i>shared {part} é</i>")
}

/// Its address.
pub(crate) fn address(part: usize) -> String {
    format!("/_edge_isr/f/{part}")
}

pub(crate) fn text(text: &str) -> Bit {
    Bit::Text(text.to_owned())
}

impl Origin {
    pub(crate) fn new(route: Route) -> Rc<Self> {
        let config =
            Config { shards: 2, defaults: Route { compose: true, ..route }, ..Config::default() };
        let world = World::new(&config);
        let page = vec![text("<form>"), Bit::Token(0), text("é</form>"), Bit::Token(0), text(".")];
        let origin = Rc::new(Self {
            world,
            config,
            page: RefCell::new(page),
            more: RefCell::default(),
            audience: Cell::new("all"),
            renders: Cell::new(0),
            change: RefCell::new(Box::new(|_, _| {})),
        });
        let weak = Rc::downgrade(&origin);
        origin.world.origin(move |reached| {
            let origin = weak.upgrade().expect("the test holds it");
            let mut script = origin.answer(reached)?;
            (origin.change.borrow())(reached, &mut script);
            Ok(script)
        });
        origin
    }

    pub(crate) fn isolate(&self, colo: &str) -> Isolate {
        Isolate::new(&self.world, &self.config, colo)
    }

    pub(crate) fn shows(&self, page: Vec<Bit>) {
        *self.page.borrow_mut() = page;
    }

    pub(crate) fn changed(&self, change: impl Fn(&Reached, &mut Script) + 'static) {
        *self.change.borrow_mut() = Box::new(change);
    }

    /// What reached it since the last call of this: path, whether a shell was asked for, cookies.
    pub(crate) fn reached(&self) -> Vec<(String, bool, String)> {
        let mut all = self.world.reached.borrow_mut();
        let shown = |reached: Reached| {
            let shell = reached.fields.has("x-edge-isr-compose");
            let cookie = reached.fields.joined("cookie").unwrap_or_default();
            (reached.target, shell, cookie)
        };
        all.drain(..).map(shown).collect()
    }

    fn answer(&self, reached: &Reached) -> Result<Script, OriginError> {
        if reached.target.starts_with("/_edge_isr/personal") {
            return Ok(personal(reached));
        }
        if let Some(part) = reached.target.strip_prefix("/_edge_isr/f/") {
            return Ok(shared(part));
        }
        let asks = reached.fields.get("x-edge-isr-compose") == Some("v=1");
        if asks && !reached.fields.has("cookie") {
            return Ok(self.shell());
        }
        let body = self.inline(&reached.fields);
        let fields = [
            ("cache-control", "private, no-store"),
            ("set-cookie", "csrftoken=ofTheOrigin"),
            ("content-type", "text/html; charset=utf-8"),
        ];
        Ok(Script::new(200, &fields, &body))
    }

    /// The page as it renders it for a visitor.
    pub(crate) fn inline(&self, request: &Fields) -> String {
        let session = cookie::values(request, "sessionid");
        let one = |bit: &Bit| match bit {
            Bit::Text(text) => text.clone(),
            Bit::Token(_) => OWN_TOKEN.to_owned(),
            Bit::Nonce => OWN_NONCE.to_owned(),
            Bit::Personal(..) | Bit::Shared(..) => String::new(),
        };
        let page = self.page.borrow();
        page.iter()
            .map(|bit| match (bit, &session) {
                (Bit::Personal(number, _), Some(session)) => part(&name(*number), session),
                (Bit::Personal(_, fallback), None) => fallback.iter().map(one).collect(),
                (Bit::Shared(number, _), _) => shared_part(*number),
                (bit, _) => one(bit),
            })
            .collect()
    }

    fn shell(&self) -> Script {
        self.renders.set(self.renders.get() + 1);
        let marker = format!("eIsR{:039}", self.renders.get());
        let (mut body, mut parts) = (String::new(), Parts::default());
        for bit in &*self.page.borrow() {
            write(bit, &marker, &mut body, &mut parts);
        }
        let Parts { personal: parts, shared } = parts;
        let mut more = self.more.borrow().clone();
        if body.contains(&format!("{marker}t")) {
            more += ", csrf=(\"csrftoken\" \"Path=/; SameSite=Lax\")";
        }
        if body.contains(&format!("{marker}n")) {
            more += ", nonce";
        }
        if parts > 0 {
            let names: Vec<String> = (0..parts).map(|part| format!("\"{}\"", name(part))).collect();
            let names = names.join(" ");
            more += &format!(", cookies=(\"sessionid\" \"messages\"), personal=({names})");
        }
        if shared > 0 {
            let all: Vec<String> =
                (0..shared).map(|part| format!("\"{}\"", address(part))).collect();
            more += &format!(", shared=({})", all.join(" "));
        }
        let (placeholders, length) = (body.matches(&marker).count(), body.len());
        let audience = self.audience.get();
        let value = format!(
            "v=1, max-age=300, swr=600, marker=\"{marker}\", placeholders={placeholders}, \
             length={length}, audience={audience}{more}"
        );
        let policy = format!("script-src 'nonce-{marker}n00'");
        let mut fields = vec![
            ("cache-control", "private, no-store"),
            ("content-type", "text/html; charset=utf-8"),
            ("vary", "Cookie"),
            ("x-edge-isr-tags", "posts"),
            ("x-edge-isr-compose", value.as_str()),
        ];
        if more.contains(", nonce") {
            fields.push(("content-security-policy", &policy));
        }
        Script::new(200, &fields, &body)
    }
}

pub(crate) fn name(part: usize) -> String {
    format!("part.{part}")
}

/// How many parts a page has.
#[derive(Default)]
struct Parts {
    personal: usize,
    shared: usize,
}

fn write(bit: &Bit, marker: &str, body: &mut String, parts: &mut Parts) {
    match bit {
        Bit::Text(text) => body.push_str(text),
        Bit::Token(number) => body.push_str(&format!("{marker}t{number:02}")),
        Bit::Nonce => body.push_str(&format!("{marker}n00")),
        Bit::Personal(number, fallback) | Bit::Shared(number, fallback) => {
            let (letter, most) = match bit {
                Bit::Shared(..) => ('s', &mut parts.shared),
                _ => ('p', &mut parts.personal),
            };
            *most = (*most).max(number + 1);
            body.push_str(&format!("{marker}{letter}{number:02}"));
            for bit in fallback {
                write(bit, marker, body, parts);
            }
            body.push_str(&format!("{marker}e{number:02}"));
        }
    }
}

/// A shared part, as a page of its own.
fn shared(part: &str) -> Script {
    let Ok(number) = part.parse() else { return Script::new(404, &[], "not here") };
    let fields = [
        ("cdn-cache-control", "max-age=600"),
        ("content-type", "text/html; charset=utf-8"),
        ("x-edge-isr-tags", "menu"),
    ];
    Script::new(200, &fields, &shared_part(number))
}

/// Every part that is asked for, as it stands for the session.
pub(crate) fn personal(reached: &Reached) -> Script {
    let Some(personal) = reached.fields.get("x-edge-isr-personal") else {
        return Script::new(404, &[("cache-control", "max-age=60")], "not here");
    };
    let id = personal.split('"').nth(1).unwrap_or_default();
    let session = cookie::values(&reached.fields, "sessionid").unwrap_or_default();
    let names = reached.target.split(['?', '&']).filter_map(|pair| pair.strip_prefix("n="));
    let parts: serde_json::Map<String, serde_json::Value> =
        names.map(|name| (name.to_owned(), part(name, &session).into())).collect();
    let body = serde_json::json!({ "id": id, "parts": parts }).to_string();
    let fields = [("content-type", "application/json"), ("cache-control", "private, no-store")];
    Script::new(200, &fields, &body)
}
