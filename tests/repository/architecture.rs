//! The dependency rule: a module imports only from modules to its left, and from itself.
//!
//! Read from the sources, not from the compiler: every `crate::…` path, and every chain of `super` that leaves its
//! top-level module. Comments (and so links in docs) and string literals don't count. `cloudflare` is last, so nobody
//! imports it; and it alone may name the crates of the runtime. Limits: what a macro of another crate expands to is
//! not seen.
#![allow(clippy::expect_used, clippy::panic)]

use std::fs;
use std::path::{Path, PathBuf};

/// The rooms of the crate, in order: no more than ten. A new room takes its place here, in `src/lib.rs` and in
/// `docs/architecture.md`.
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

/// The one module that knows the runtime.
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

/// A source file: its path below `src`, and its text.
struct Source {
    path: String,
    text: String,
}

impl Source {
    fn new(path: &str, text: &str) -> Self {
        Self { path: path.to_owned(), text: text.to_owned() }
    }

    /// `engine/port.rs` → `["engine", "port"]`; `engine/mod.rs` → `["engine"]`.
    fn module(&self) -> Vec<&str> {
        let name = self.path.strip_suffix(".rs").unwrap_or(&self.path);
        let mut parts: Vec<&str> = name.split('/').collect();
        if parts.last() == Some(&"mod") {
            parts.pop();
        }
        parts
    }
}

/// A name or a mark of a source text.
#[derive(Clone, Debug, PartialEq)]
enum Token {
    Name(String),
    Mark(char),
}

/// Names and marks, without comments, literals and lifetimes.
fn tokens(text: &str) -> Vec<Token> {
    let chars: Vec<char> = text.chars().collect();
    let mut found = Vec::new();
    let mut at = 0;
    while at < chars.len() {
        at = match (chars[at], chars.get(at + 1)) {
            ('/', Some('/')) => end_of_line(&chars, at),
            ('/', Some('*')) => end_of_block(&chars, at),
            ('"', _) => end_of_string(&chars, at),
            ('r', Some('"' | '#')) if raw_string(&chars, at).is_some() => {
                raw_string(&chars, at).unwrap_or(at + 1)
            }
            ('\'', _) => end_of_quote(&chars, at),
            (c, _) if c.is_alphanumeric() || c == '_' => {
                let end = at + chars[at..].iter().take_while(|c| is_word(**c)).count();
                found.push(Token::Name(chars[at..end].iter().collect()));
                end
            }
            (c, _) => {
                if !c.is_whitespace() {
                    found.push(Token::Mark(c));
                }
                at + 1
            }
        };
    }
    found
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

fn end_of_line(chars: &[char], at: usize) -> usize {
    at + chars[at..].iter().take_while(|c| **c != '\n').count()
}

fn end_of_block(chars: &[char], at: usize) -> usize {
    let (mut at, mut depth) = (at + 2, 1);
    while at < chars.len() && depth > 0 {
        match (chars[at], chars.get(at + 1)) {
            ('/', Some('*')) => (at, depth) = (at + 2, depth + 1),
            ('*', Some('/')) => (at, depth) = (at + 2, depth - 1),
            _ => at += 1,
        }
    }
    at
}

fn end_of_string(chars: &[char], at: usize) -> usize {
    let mut at = at + 1;
    while at < chars.len() && chars[at] != '"' {
        at += if chars[at] == '\\' { 2 } else { 1 };
    }
    at + 1
}

/// The end of `r"…"` or `r#"…"#`; none for a raw name (`r#type`).
fn raw_string(chars: &[char], at: usize) -> Option<usize> {
    let hashes = chars[at + 1..].iter().take_while(|c| **c == '#').count();
    let mut end = at + 1 + hashes;
    if chars.get(end) != Some(&'"') {
        return None;
    }
    loop {
        end += 1;
        let close = chars.get(end..)?.iter().position(|c| *c == '"')?;
        end += close;
        if chars[end + 1..].iter().take(hashes).filter(|c| **c == '#').count() == hashes {
            return Some(end + 1 + hashes);
        }
    }
}

/// A character literal, or the beginning of a lifetime.
fn end_of_quote(chars: &[char], at: usize) -> usize {
    match (chars.get(at + 1), chars.get(at + 2)) {
        (Some('\\'), _) => at + 3 + chars[at + 3..].iter().take_while(|c| **c != '\'').count() + 1,
        (Some(_), Some('\'')) => at + 3,
        _ => at + 1,
    }
}

/// The top-level modules that a file imports, and the runtime's crates that it names.
fn mentions(source: &Source) -> (Vec<String>, Vec<String>) {
    let tokens = tokens(&source.text);
    let name = |at: usize| match tokens.get(at) {
        Some(Token::Name(name)) => Some(name.as_str()),
        Some(Token::Mark(_)) | None => None,
    };
    let mark = |at: usize| match tokens.get(at) {
        Some(Token::Mark(mark)) => Some(*mark),
        Some(Token::Name(_)) | None => None,
    };
    let path = |at: usize| mark(at) == Some(':') && mark(at + 1) == Some(':');
    let depth = source.module().len();
    let (mut modules, mut crates) = (Vec::new(), Vec::new());
    let (mut braces, mut inline) = (0_usize, Vec::new());
    let mut at = 0;
    while at < tokens.len() {
        match (name(at), mark(at)) {
            (_, Some('{')) => braces += 1,
            (_, Some('}')) => {
                braces = braces.saturating_sub(1);
                inline.retain(|opened| *opened < braces);
            }
            (Some("mod"), _) if mark(at + 2) == Some('{') => inline.push(braces),
            (Some("crate"), _) if path(at + 1) => modules.extend(heads(&tokens, at + 3)),
            (Some("super"), _) => {
                let mut supers = 1;
                while path(at + 1) && name(at + 3) == Some("super") {
                    (supers, at) = (supers + 1, at + 3);
                }
                if supers == depth + inline.len() && path(at + 1) {
                    modules.extend(heads(&tokens, at + 3));
                }
            }
            (Some(word), _) if RUNTIME_CRATES.contains(&word) => {
                let begins = at < 2 || !path(at - 2);
                if begins && (path(at + 1) || name(at.wrapping_sub(1)) == Some("use")) {
                    crates.push(word.to_owned());
                }
            }
            _ => {}
        }
        at += 1;
    }
    (modules, crates)
}

/// The first names behind `crate::`: one, or those of a group.
fn heads(tokens: &[Token], at: usize) -> Vec<String> {
    match tokens.get(at) {
        Some(Token::Name(name)) => vec![name.clone()],
        Some(Token::Mark('{')) => {
            let (mut names, mut depth, mut first) = (Vec::new(), 0_usize, true);
            for token in &tokens[at..] {
                match token {
                    Token::Mark('{') => depth += 1,
                    Token::Mark('}') => depth -= 1,
                    Token::Mark(',') if depth == 1 => first = true,
                    Token::Name(name) if depth == 1 && first => {
                        names.push(name.clone());
                        first = false;
                    }
                    Token::Name(_) | Token::Mark(_) => {}
                }
                if depth == 0 {
                    break;
                }
            }
            names
        }
        Some(Token::Mark(_)) | None => Vec::new(),
    }
}

/// The modules that a crate root declares.
fn declared(root: &str) -> Vec<String> {
    let tokens = tokens(root);
    tokens
        .windows(3)
        .filter_map(|three| match three {
            [Token::Name(keyword), Token::Name(name), Token::Mark(';')] if keyword == "mod" => {
                Some(name.clone())
            }
            _ => None,
        })
        .collect()
}

/// The order that a crate root's doc prints: `time ← header ← …`, over any number of lines.
fn printed(root: &str) -> Vec<String> {
    let doc: Vec<&str> = root.lines().filter_map(|line| line.strip_prefix("//!")).collect();
    let doc = doc.join(" ");
    let order = doc.split('`').find(|text| text.contains('←')).unwrap_or_default();
    order.split('←').map(|name| name.trim().to_owned()).filter(|name| !name.is_empty()).collect()
}

/// Everything that breaks the rule.
fn violations(sources: &[Source], order: &[&str]) -> Vec<String> {
    let place = |module: &str| order.iter().position(|known| *known == module);
    let mut found = Vec::new();
    for source in sources {
        let path = &source.path;
        let module = source.module();
        let top = module[0];
        let (imports, crates) = mentions(source);
        if top != SHELL {
            found.extend(crates.iter().map(|name| format!("{path} names the crate {name}")));
        }
        if top == "lib" {
            for name in declared(&source.text) {
                if place(&name).is_none() {
                    found.push(format!("{path} declares {name}, which has no place in the order"));
                }
            }
            if printed(&source.text) != order {
                found.push(format!("{path} prints another order than {}", order.join(" ← ")));
            }
            continue;
        }
        // A program is a crate of its own, on top of the library.
        if top == "bin" {
            continue;
        }
        let Some(own) = place(top) else {
            found.push(format!("{path} is in {top}, which has no place in the order"));
            continue;
        };
        for import in imports {
            match place(&import) {
                Some(other) if other <= own => {}
                Some(_) => found.push(format!("{path} imports {import}, which is to its right")),
                None => found.push(format!("{path} imports {import}, which has no place")),
            }
        }
    }
    let known = |module: &&&str| !sources.iter().any(|source| source.module()[0] == **module);
    found.extend(order.iter().filter(known).map(|module| format!("there is no module {module}")));
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

#[test]
fn modules_import_only_to_their_left() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut sources = Vec::new();
    read(&src, &src, &mut sources);
    let found = violations(&sources, ORDER);
    assert!(found.is_empty(), "the dependency rule is broken:\n  {}", found.join("\n  "));
}

#[test]
fn the_map_in_the_docs_has_every_module_in_order() {
    let map = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/architecture.md");
    let map = fs::read_to_string(map).expect("docs/architecture.md");
    assert_eq!(printed(&format!("//!{}", map.replace('\n', "\n//!"))), ORDER);
}

/// A crate of two modules and a shell, in which nothing is wrong.
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
    let rows = [
        ("a path to the right", "low.rs", "use crate::high::Y;", "low.rs imports high"),
        ("a path within code", "low.rs", "fn f() { crate::high::g() }", "low.rs imports high"),
        ("a group", "low.rs", "use crate::{low::a::{b, c}, high};", "low.rs imports high"),
        ("super", "low.rs", "use super::high;", "low.rs imports high"),
        ("super, deeper", "low/a.rs", "use super::super::high;", "low/a.rs imports high"),
        ("super, inline", "low.rs", "mod t { use super::super::high; }", "low.rs imports high"),
        (
            "behind a string",
            "low.rs",
            r##"const A: &str = r#"""#; use crate::high;"##,
            "imports high",
        ),
        ("behind a char", "low.rs", r"const A: char = '\''; use crate::high;", "imports high"),
        ("the shell imported", "high/b.rs", "use crate::cloudflare::Z;", "imports cloudflare"),
        ("a module without a place", "other.rs", "", "other, which has no place in the order"),
        ("an import without a place", "high/b.rs", "use crate::other;", "imports other"),
        ("a runtime crate", "high/b.rs", "use js_sys::Array;", "names the crate js_sys"),
        ("a runtime attribute", "high/b.rs", "#[worker::event(fetch)]", "names the crate worker"),
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
fn the_root_must_declare_and_print_the_same_modules() {
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
    assert_eq!(violations(without, order), ["there is no module cloudflare"]);
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
