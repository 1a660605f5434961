//! The origin: data with versions, and pages whose bodies say which versions they show.

use std::cell::{Cell, RefCell};

use edge_isr::cache::tag::{Tag, Target};

use crate::plan::{ITEMS, Naming, PAGES};

/// The items' names. Page 0 shows F and, by its version, A or B.
pub(crate) const NAMES: [char; ITEMS] = ['A', 'B', 'F', 'X', 'Y'];

/// A page: where it is, and which items it can show.
pub(crate) struct Site {
    pub(crate) host: &'static str,
    pub(crate) path: &'static str,
    pub(crate) items: &'static [usize],
    /// Whether it varies on the language.
    pub(crate) varies: bool,
    /// Whether it is one visitor's own.
    pub(crate) private: bool,
}

/// The pages, and the shared part of those that are composed.
pub(crate) const SITE: [Site; PAGES + 1] = [
    Site { host: "example.com", path: "/blog/p", items: &[0, 1, 2], varies: false, private: false },
    Site { host: "example.com", path: "/blog/q", items: &[0, 1], varies: false, private: false },
    Site { host: "example.com", path: "/shop/r", items: &[3], varies: true, private: false },
    Site { host: "other.example", path: "/s", items: &[0, 4], varies: false, private: false },
    Site { host: "example.com", path: "/me", items: &[4], varies: false, private: true },
    Site {
        host: "example.com",
        path: "/_edge_isr/f/menu",
        items: &[2],
        varies: false,
        private: false,
    },
];

/// Versions of all items.
pub(crate) type Versions = [u32; ITEMS];

/// The data, as it was at any time.
pub(crate) struct Data {
    history: RefCell<Vec<(i64, Versions)>>,
    pub(crate) renders: Cell<u64>,
}

impl Data {
    pub(crate) fn new() -> Self {
        Self { history: RefCell::new(vec![(i64::MIN, [0; ITEMS])]), renders: Cell::new(0) }
    }

    pub(crate) fn at(&self, when: i64) -> Versions {
        let history = self.history.borrow();
        history.iter().rev().find(|(at, _)| *at <= when).map_or([0; ITEMS], |(_, v)| *v)
    }

    /// Whether a page was gone at any time since then.
    pub(crate) fn was_gone(&self, page: usize, since: i64) -> bool {
        let history = self.history.borrow();
        let first = history.partition_point(|(at, _)| *at <= since).saturating_sub(1);
        history[first..].iter().any(|(_, versions)| gone(page, versions))
    }

    /// Changes items; their new versions.
    pub(crate) fn change(&self, items: &[usize], now: i64) -> Vec<(usize, u32)> {
        let mut versions = self.at(i64::MAX);
        for item in items {
            versions[*item] += 1;
        }
        self.history.borrow_mut().push((now, versions));
        items.iter().map(|item| (*item, versions[*item])).collect()
    }
}

/// What a page shows.
pub(crate) fn shown(page: usize, versions: &Versions) -> Vec<(usize, u32)> {
    let items: Vec<usize> = match page {
        0 if versions[2].is_multiple_of(2) => vec![2, 0],
        0 => vec![2, 1],
        page => SITE[page].items.to_vec(),
    };
    items.into_iter().map(|item| (item, versions[item])).collect()
}

/// Whether a page is gone at these versions, in a world where pages go: then it is no page at all.
pub(crate) fn gone(page: usize, versions: &Versions) -> bool {
    page == 2 && versions[3] % 3 == 2
}

pub(crate) fn words(shown: &[(usize, u32)]) -> String {
    let words: Vec<String> = shown.iter().map(|(i, v)| format!("{}{v}", NAMES[*i])).collect();
    words.join(".")
}

/// A body: page, versions, the number of the render, the language, and the cookies it saw.
pub(crate) fn body(
    page: usize,
    shown: &[(usize, u32)],
    render: u64,
    lang: &str,
    seen: &str,
) -> String {
    format!("{page}|{}|{render}|{lang}|{seen}|end", words(shown))
}

/// A body read back: what it says of itself.
pub(crate) struct Read {
    pub(crate) page: usize,
    pub(crate) shown: Vec<(usize, u32)>,
    pub(crate) lang: String,
    pub(crate) seen: String,
}

pub(crate) fn read(body: &str) -> Option<Read> {
    let mut parts = body.split('|');
    let page = parts.next()?.parse().ok()?;
    let mut shown = Vec::new();
    for word in parts.next()?.split('.') {
        let item = NAMES.iter().position(|name| word.starts_with(*name))?;
        shown.push((item, word[1..].parse().ok()?));
    }
    parts.next()?;
    let lang = parts.next()?.to_owned();
    let seen = parts.next()?.to_owned();
    (parts.next()? == "end").then_some(Read { page, shown, lang, seen })
}

/// What a webhook names when items change. A URL, a prefix or a host covers every page that can
/// show them.
pub(crate) fn targets(items: &[usize], naming: Naming, pages: &[Site]) -> Vec<Target> {
    let mut targets: Vec<Target> = Vec::new();
    if naming == Naming::All {
        return vec![Target::All];
    }
    for item in items {
        if naming == Naming::Tag {
            targets.push(Target::Tag(Tag::parse(&tag(*item)).unwrap()));
            continue;
        }
        for page in pages.iter().filter(|page| page.items.contains(item)) {
            let name = format!("{}{}", page.host, page.path);
            let parent = name.rfind('/').map_or("", |at| &name[..=at]).to_owned();
            targets.push(match naming {
                Naming::Url => Target::Url(name),
                Naming::Prefix => Target::Prefix(parent),
                Naming::Host | Naming::Tag | Naming::All => Target::Host(page.host.to_owned()),
            });
        }
    }
    targets.sort();
    targets.dedup();
    targets
}

pub(crate) fn tag(item: usize) -> String {
    format!("item:{}", NAMES[item])
}
