//! The dependency rule: a room imports only from rooms to its left; and no files import each other
//! in a circle, inside a room neither.
//!
//! Read from the sources with `syn`: `use` lines, and paths in code that begin with `crate`, with
//! `super`, or with a module that the file declares. Only the shell may name the crates of the
//! runtime. Limits: what a macro expands to is not seen, but for paths with `crate` among its
//! tokens; and calls of methods name no file.
#![allow(clippy::expect_used, clippy::panic)]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use syn::visit::{self, Visit};

/// The rooms of the crate, in order: no more than ten. A new room takes its place here, in
/// `src/lib.rs` and in `docs/architecture.md`.
const ORDER: &[&str] = &[
    "base",
    "http",
    "config",
    "cache",
    "journal",
    "index",
    "control",
    "front_caches",
    "engine",
    "cloudflare",
];

/// The rooms of the engine, in order.
const ENGINE: &[&str] = &["invalidate", "fill", "audit", "serve", "warm", "operate"];

/// The one room that knows the runtime.
const SHELL: &str = "cloudflare";

/// Crates that only the shell may name.
const RUNTIME_CRATES: &[&str] = &[
    "worker",
    "wasm_bindgen",
    "wasm_bindgen_futures",
    "js_sys",
    "web_sys",
    "wasm_streams",
    "console_error_panic_hook",
];

/// A source file: its module, and its text.
struct Source {
    path: String,
    text: String,
}

impl Source {
    fn new(path: &str, text: &str) -> Self {
        Self { path: path.to_owned(), text: text.to_owned() }
    }

    /// `engine/port.rs` → `["engine", "port"]`; `engine/mod.rs` → `["engine"]`; `lib.rs` → `[]`.
    fn module(&self) -> Vec<String> {
        let name = self.path.strip_suffix(".rs").unwrap_or(&self.path);
        let mut parts: Vec<String> = name.split('/').map(str::to_owned).collect();
        if parts.last().is_some_and(|last| last == "mod") || parts == ["lib"] {
            parts.pop();
        }
        parts
    }
}

/// What a file names: paths from the crate's root, and crates.
struct Names {
    /// The module that is read: the file's, or one within it.
    module: Vec<String>,
    /// Modules that the file declares.
    children: BTreeSet<String>,
    paths: BTreeSet<Vec<String>>,
    crates: BTreeSet<String>,
}

impl Names {
    fn of(source: &Source) -> Self {
        let file = syn::parse_file(&source.text).unwrap_or_else(|e| panic!("{}: {e}", source.path));
        let children = file.items.iter().filter_map(|item| match item {
            syn::Item::Mod(module) if module.content.is_none() => Some(module.ident.to_string()),
            _ => None,
        });
        let mut names = Self {
            module: source.module(),
            children: children.collect(),
            paths: BTreeSet::new(),
            crates: BTreeSet::new(),
        };
        names.visit_file(&file);
        names
    }

    fn note(&mut self, segments: &[String]) {
        let Some(first) = segments.first() else { return };
        if RUNTIME_CRATES.contains(&first.as_str()) {
            self.crates.insert(first.clone());
        }
        let supers = segments.iter().take_while(|segment| *segment == "super").count();
        let (base, rest) = match first.as_str() {
            "crate" => (Vec::new(), &segments[1..]),
            "super" => {
                let above = self.module.len().saturating_sub(supers);
                (self.module[..above].to_vec(), &segments[supers..])
            }
            "self" => (self.module.clone(), &segments[1..]),
            child if self.children.contains(child) => (self.module.clone(), segments),
            _ => return,
        };
        self.paths.insert([base.as_slice(), rest].concat());
    }

    fn note_tree(&mut self, before: &[String], tree: &syn::UseTree) {
        let with = |name: &syn::Ident| [before, &[name.to_string()]].concat();
        match tree {
            syn::UseTree::Path(path) => self.note_tree(&with(&path.ident), &path.tree),
            syn::UseTree::Name(name) if name.ident == "self" => self.note(before),
            syn::UseTree::Name(name) => self.note(&with(&name.ident)),
            syn::UseTree::Rename(rename) => self.note(&with(&rename.ident)),
            syn::UseTree::Glob(_) => self.note(before),
            syn::UseTree::Group(group) => {
                group.items.iter().for_each(|item| self.note_tree(before, item));
            }
        }
    }
}

impl<'ast> Visit<'ast> for Names {
    fn visit_item_use(&mut self, item: &'ast syn::ItemUse) {
        self.note_tree(&[], &item.tree);
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        let names: Vec<String> = path.segments.iter().map(|s| s.ident.to_string()).collect();
        if names.len() > 1 {
            self.note(&names);
        }
        visit::visit_path(self, path);
    }

    fn visit_macro(&mut self, mac: &'ast syn::Macro) {
        let text = mac.tokens.to_string().replace(' ', "");
        for rest in text.split("crate::").skip(1) {
            let end = rest.find(|c: char| !(c.is_alphanumeric() || c == '_' || c == ':'));
            let rest = &rest[..end.unwrap_or(rest.len())];
            let names = ["crate"].into_iter().chain(rest.split("::")).map(str::to_owned);
            self.note(&names.collect::<Vec<_>>());
        }
        visit::visit_macro(self, mac);
    }

    fn visit_item_mod(&mut self, module: &'ast syn::ItemMod) {
        if module.content.is_some() {
            self.module.push(module.ident.to_string());
            visit::visit_item_mod(self, module);
            self.module.pop();
        }
    }
}

/// The order that a crate root's doc prints: `time ← header ← …`, over any number of lines.
fn printed(root: &str) -> Vec<String> {
    let doc: Vec<&str> = root.lines().filter_map(|line| line.strip_prefix("//!")).collect();
    let doc = doc.join(" ");
    let order = doc.split('`').find(|text| text.contains('←')).unwrap_or_default();
    order.split('←').map(|name| name.trim().to_owned()).filter(|name| !name.is_empty()).collect()
}

/// Which file imports which: module → modules, by name.
fn imports(sources: &[Source]) -> BTreeMap<String, BTreeSet<String>> {
    let known: BTreeSet<Vec<String>> = sources.iter().map(Source::module).collect();
    let name = |module: &[String]| module.join("::");
    let mut graph = BTreeMap::new();
    for source in sources.iter().filter(|source| !source.path.starts_with("bin/")) {
        let module = source.module();
        let names = Names::of(source);
        let mut imported = BTreeSet::new();
        for path in &names.paths {
            let file = (1..=path.len()).rev().map(|length| &path[..length]);
            if let Some(file) = file.into_iter().find(|module| known.contains(*module))
                && file != module
            {
                imported.insert(name(file));
            }
        }
        graph.insert(name(&module), imported);
    }
    graph.remove("");
    graph
}

/// The groups of files that import each other in a circle.
fn circles(graph: &BTreeMap<String, BTreeSet<String>>) -> Vec<Vec<String>> {
    let reach = |from: &String| {
        let (mut seen, mut next) = (BTreeSet::new(), vec![from]);
        while let Some(module) = next.pop() {
            for other in graph.get(module).into_iter().flatten() {
                if seen.insert(other) {
                    next.push(other);
                }
            }
        }
        seen
    };
    let reached: BTreeMap<&String, BTreeSet<&String>> =
        graph.keys().map(|module| (module, reach(module))).collect();
    let mut found: BTreeSet<Vec<String>> = BTreeSet::new();
    for (module, reaches) in reached.iter().filter(|(module, reaches)| reaches.contains(*module)) {
        let both = reaches.iter().filter(|other| {
            reached.get(**other).is_some_and(|from_there| from_there.contains(module))
        });
        found.insert(both.map(|other| (*other).clone()).collect());
    }
    found.into_iter().collect()
}

/// Everything that breaks the rule of rooms.
fn violations(sources: &[Source], order: &[&str]) -> Vec<String> {
    let place = |room: &str| order.iter().position(|known| *known == room);
    let mut found = Vec::new();
    for source in sources {
        let (path, module, names) = (&source.path, source.module(), Names::of(source));
        let room = module.first().map_or("", String::as_str);
        if room != SHELL {
            found.extend(names.crates.iter().map(|name| format!("{path} names the crate {name}")));
        }
        if path == "lib.rs" {
            for name in names.children.iter().filter(|name| place(name).is_none()) {
                found.push(format!("{path} declares {name}, which has no place in the order"));
            }
            if printed(&source.text) != order {
                found.push(format!("{path} prints another order than {}", order.join(" ← ")));
            }
            continue;
        }
        // A program is a crate of its own, on top of the library.
        if room == "bin" {
            continue;
        }
        let Some(at) = place(room) else {
            found.push(format!("{path} is in {room}, which has no place in the order"));
            continue;
        };
        let imports: BTreeSet<&String> = names.paths.iter().filter_map(|p| p.first()).collect();
        for import in imports {
            match place(import) {
                Some(other) if other <= at => {}
                Some(_) => found.push(format!("{path} imports {import}, which is to its right")),
                None => found.push(format!("{path} imports {import}, which has no place")),
            }
        }
    }
    let absent =
        |room: &&&str| !sources.iter().any(|s| s.module().first().is_some_and(|m| m == **room));
    found.extend(order.iter().filter(absent).map(|room| format!("there is no room {room}")));
    found
}

fn read(directory: &Path, below: &Path, into: &mut Vec<Source>) {
    let mut entries: Vec<PathBuf> =
        fs::read_dir(directory).expect("src").map(|entry| entry.expect("entry").path()).collect();
    entries.sort();
    for entry in entries {
        if entry.is_dir() {
            read(&entry, below, into);
        } else if entry.extension().is_some_and(|extension| extension == "rs") {
            let path = entry.strip_prefix(below).expect("below src");
            let path = path.to_string_lossy().replace('\\', "/");
            into.push(Source { path, text: fs::read_to_string(&entry).expect("a source") });
        }
    }
}

fn crate_sources() -> Vec<Source> {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut sources = Vec::new();
    read(&src, &src, &mut sources);
    sources
}

#[test]
fn rooms_import_only_to_their_left() {
    let found = violations(&crate_sources(), ORDER);
    assert!(found.is_empty(), "the dependency rule is broken:\n  {}", found.join("\n  "));
    assert!(ORDER.len() <= 10);
}

/// What of the engine's rooms stands above where it is imported.
fn engine_violations(sources: &[Source]) -> Vec<String> {
    let place = |room: &String| ENGINE.iter().position(|known| known == room);
    let mut found = Vec::new();
    for source in sources {
        let module = source.module();
        let [engine, room, ..] = module.as_slice() else { continue };
        let Some(at) = place(room).filter(|_| engine == "engine") else { continue };
        for path in Names::of(source).paths {
            if let [engine, other, ..] = path.as_slice()
                && engine == "engine"
                && place(other).is_some_and(|other| other > at)
            {
                found.push(format!("{} imports {}", source.path, path.join("::")));
            }
        }
    }
    found
}

#[test]
fn rooms_of_the_engine_import_only_those_before_them() {
    let found = engine_violations(&crate_sources());
    assert!(found.is_empty(), "the engine's order is broken:\n  {}", found.join("\n  "));
    let up = Source::new("engine/fill/start.rs", "use crate::engine::serve::response::Answer;");
    let down = Source::new("engine/serve/miss.rs", "use crate::engine::fill::start::start;");
    let named = "engine/fill/start.rs imports engine::serve::response::Answer";
    assert_eq!(engine_violations(&[up, down]), [named]);
}

#[test]
fn no_files_import_each_other_in_a_circle() {
    let graph = imports(&crate_sources());
    let found = circles(&graph);
    let shown: Vec<String> = found
        .iter()
        .map(|circle| {
            let within = |module: &String| {
                let to = graph[module].iter().filter(|other| circle.contains(other));
                format!("{module} → {}", to.cloned().collect::<Vec<_>>().join(", "))
            };
            circle.iter().map(within).collect::<Vec<_>>().join("\n    ")
        })
        .collect();
    assert!(found.is_empty(), "circles:\n  {}", shown.join("\n  "));
}

#[test]
fn the_map_in_the_docs_has_every_room_in_order() {
    let map = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/architecture.md");
    let map = fs::read_to_string(map).expect("docs/architecture.md");
    assert_eq!(printed(&format!("//!{}", map.replace('\n', "\n//!"))), ORDER);
}

/// A crate of two rooms and a shell, in which nothing is wrong.
fn sound() -> Vec<Source> {
    vec![
        Source::new("lib.rs", "//! `low ← high ← cloudflare`\npub mod high;\npub mod low;\n"),
        Source::new("low.rs", "// crate::high\nfn f<'a>(_: &'a str) -> char { 'x' }\n"),
        Source::new("high/mod.rs", "use crate::low::X;\nmod part;\n"),
        Source::new("high/part.rs", "use super::super::low;\nuse super::Y;\n"),
        Source::new("cloudflare.rs", "use worker::Env;\nuse crate::{high::Y, low};\n"),
    ]
}

#[test]
fn a_sound_crate_passes_and_each_violation_is_reported() {
    let order = &["low", "high", "cloudflare"];
    assert_eq!(violations(&sound(), order), Vec::<String>::new());
    assert!(circles(&imports(&sound())).is_empty());
    let rows = [
        ("a path to the right", "low/z.rs", "use crate::high::Y;", "low/z.rs imports high"),
        ("a path within code", "low/z.rs", "fn f() { crate::high::g() }", "imports high"),
        ("a path in a macro", "low/z.rs", "fn f() { m!(a, crate::high::g()) }", "imports high"),
        ("a group", "low/z.rs", "use crate::{low::a::{b, c}, high};", "imports high"),
        ("super", "low/z.rs", "use super::super::high;", "low/z.rs imports high"),
        ("super, inline", "low/z.rs", "mod t { use super::super::super::high; }", "imports high"),
        ("the shell imported", "high/b.rs", "use crate::cloudflare::Z;", "imports cloudflare"),
        ("a room without a place", "other.rs", "", "other, which has no place in the order"),
        ("an import without a place", "high/b.rs", "use crate::other;", "imports other"),
        ("a runtime crate", "high/b.rs", "use js_sys::Array;", "names the crate js_sys"),
        (
            "a runtime attribute",
            "high/b.rs",
            "#[worker::event(fetch)]\nfn f() {}",
            "names the crate worker",
        ),
        ("a program with the runtime", "bin/x.rs", "use worker;", "names the crate worker"),
    ];
    for (id, path, text, want) in rows {
        let mut sources = sound();
        sources.push(Source::new(path, text));
        let found = violations(&sources, order);
        assert!(found.iter().any(|line| line.contains(want)), "{id}: {found:?}");
        assert_eq!(found.len(), 1, "{id}: {found:?}");
    }
}

#[test]
fn circles_are_found_between_files_of_one_room_too() {
    let rows = [
        ("two files", "high/a.rs", "use super::b::X;", "high/b.rs", "use crate::high::a::Y;"),
        (
            "child and parent",
            "high/a.rs",
            "use super::Z;",
            "high/mod.rs",
            "mod a;\nfn f() { a::g() }",
        ),
    ];
    for (id, one, text, other, back) in rows {
        let sources = vec![Source::new(one, text), Source::new(other, back)];
        assert_eq!(circles(&imports(&sources)).len(), 1, "{id}");
    }
}

#[test]
fn the_root_must_declare_and_print_the_same_rooms() {
    let order = &["low", "high", "cloudflare"];
    let rows = [
        ("an undeclared place", "//! `low ← high ← cloudflare`\nmod low; mod new;", "declares new"),
        ("another order", "//! `high ← low ← cloudflare`\nmod low;", "prints another order"),
        ("no order", "//! A crate.\nmod low;", "prints another order"),
    ];
    for (id, root, want) in rows {
        let mut sources = sound();
        sources[0] = Source::new("lib.rs", root);
        let found = violations(&sources, order);
        assert!(found.iter().any(|line| line.contains(want)), "{id}: {found:?}");
    }
    let without = &sound()[..4];
    assert_eq!(violations(without, order), ["there is no room cloudflare"]);
}

#[test]
fn names_that_only_look_like_imports_are_left_alone() {
    let order = &["low", "high", "cloudflare"];
    let rows = [
        ("a comment", "/* crate::high /* nested */ crate::high */"),
        ("a doc link", "/// [`crate::high::Y`]\nfn f() {}"),
        ("a string", "const A: &str = \"use crate::high; \\\" worker::x\";"),
        ("a raw string", "const A: &str = r#\"crate::high \" \"#;"),
        ("super of an inline module", "mod t { use super::high; }"),
        ("a path that ends in a crate's name", "use std::worker::x;"),
        ("a variable", "fn f(worker: u8) -> u8 { worker }"),
    ];
    for (id, text) in rows {
        let mut sources = sound();
        sources.push(Source::new("low/b.rs", ""));
        sources[1] = Source::new("low.rs", text);
        assert_eq!(violations(&sources, order), Vec::<String>::new(), "{id}");
    }
}
