//! The documents say what the sources say: every setting, every reason, every link.
#![allow(clippy::expect_used, clippy::panic)]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use crate::tree::rust_sources;

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn text(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Every Rust source below a folder, one after the other.
fn sources(folder: &str) -> String {
    let read = |path| fs::read_to_string(path).expect("a source");
    rust_sources(&root().join(folder)).iter().map(read).collect::<Vec<_>>().join("\n")
}

/// The texts of a constant list: `const NAME: &[&str] = &["a", "b"];`.
fn listed(source: &str, name: &str) -> BTreeSet<String> {
    let start = source.find(&format!("const {name}: &[&str] = &[")).expect(name);
    let list = &source[start..];
    let list = &list[..list.find("];").expect("the list's end")];
    list.split('"').skip(1).step_by(2).map(str::to_owned).collect()
}

/// The names in the arms `Self::X => "name"` of every `as_str` of the enums.
fn reasons(source: &str, enums: &[&str]) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for name in enums {
        let start = source.find(&format!("impl {name} {{")).expect(name);
        let body = &source[start..];
        let body = &body[body.find("fn as_str").expect("as_str")..];
        let body = &body[..body.find("\n    }").expect("the function's end")];
        let before = found.len();
        for arm in body.split("=>").skip(1) {
            found.extend(arm.split('"').nth(1).map(str::to_owned));
        }
        assert!(found.len() > before, "{name} has no reasons");
    }
    found
}

/// Which words stand nowhere in a document as `word`.
fn missing(words: &BTreeSet<String>, document: &str) -> Vec<String> {
    words.iter().filter(|word| !document.contains(&format!("`{word}`"))).cloned().collect()
}

#[test]
fn every_setting_is_documented() {
    let source = sources("src/config");
    let document = text("docs/configuration.md");
    for list in ["SITE_KEYS", "ROUTE_KEYS"] {
        let keys = listed(&source, list);
        assert!(keys.len() > 10, "{list}: {keys:?}");
        assert_eq!(missing(&keys, &document), Vec::<String>::new(), "{list}");
    }
}

#[test]
fn every_reason_of_cache_status_is_documented() {
    let engine = text("src/engine/port.rs") + &text("src/engine/fill/terms.rs");
    let source = sources("src/cache") + &engine;
    let enums =
        ["PassReason", "Refusal", "NoStore", "StaleWhy", "ValidateWhy", "OriginError", "Unleased"];
    let words = reasons(&source, &enums);
    assert!(words.len() > 40, "{words:?}");
    assert_eq!(missing(&words, &text("docs/operations.md")), Vec::<String>::new());
}

/// The texts that the engine puts into Cache-Status itself.
fn details(source: &str) -> BTreeSet<String> {
    let before = ["detail(\"", "L2Lags(_) => Some(\"", "beyond_l2.then_some(\""];
    let found = before.iter().flat_map(|call| source.split(call).skip(1));
    found.filter_map(|rest| rest.split('"').next()).map(str::to_owned).collect()
}

#[test]
fn every_detail_of_the_engine_is_documented() {
    let words = details(&sources("src/engine"));
    assert!(words.len() > 7, "{words:?}");
    assert_eq!(missing(&words, &text("docs/operations.md")), Vec::<String>::new());
}

#[test]
fn every_problem_event_and_health_reason_is_documented() {
    let source = sources("src/control");
    let document = text("docs/operations.md");
    let mut words = reasons(&source, &["HealthReason"]);
    let facts = &source[source.find("const fn facts").expect("facts")..];
    let facts = &facts[..facts.find("\n    }").expect("the function's end")];
    words.extend(
        facts.split("=>").skip(1).filter_map(|arm| arm.split('"').nth(1).map(str::to_owned)),
    );
    let names = &source[source.find("impl Event<'_>").expect("Event")..];
    let names = &names[..names.find("\n    }").expect("the function's end")];
    words.extend(
        names.split("=>").skip(1).filter_map(|arm| arm.split('"').nth(1).map(str::to_owned)),
    );
    assert!(words.len() > 30, "{words:?}");
    assert_eq!(missing(&words, &document), Vec::<String>::new());
}

#[test]
fn every_metric_is_documented() {
    let source = format!("{}\n{}", text("src/control/metrics.rs"), text("src/control/gauges.rs"));
    let named = source.split('"').filter(|word| word.starts_with("edge_isr_"));
    let name = |word: &str| word.split('{').next().map(str::to_owned);
    let words: BTreeSet<String> = named.filter_map(name).collect();
    assert!(words.len() > 20, "{words:?}");
    assert_eq!(missing(&words, &text("docs/operations.md")), Vec::<String>::new());
}

#[test]
fn a_word_that_is_not_documented_is_found() {
    let source = "impl Why {\n    fn as_str(self) {\n        Self::A => \"known\",\n        \
                  Self::B => \"new\",\n    }\n}";
    let words = reasons(source, &["Why"]);
    assert_eq!(missing(&words, "| `known` |"), ["new"]);
    assert_eq!(listed("const KEYS: &[&str] = &[\n    \"a\",\n    \"b\",\n];", "KEYS").len(), 2);
}

/// The targets of `](…)` in a document, without those of other sites.
fn links(document: &str) -> Vec<&str> {
    document
        .split("](")
        .skip(1)
        .filter_map(|rest| rest.split(')').next())
        .filter(|target| !target.contains("://"))
        .collect()
}

/// The anchors of a document's headings, as code hosts make them.
fn anchors(document: &str) -> Vec<String> {
    let kept = |c: char| c.is_alphanumeric() || c == '-' || c == '_';
    document
        .lines()
        .filter(|line| line.starts_with('#'))
        .map(|line| line.trim_start_matches('#').trim().to_lowercase().replace(' ', "-"))
        .map(|heading| heading.chars().filter(|c| kept(*c)).collect())
        .collect()
}

/// Every document.
fn documents() -> Vec<PathBuf> {
    let mut documents = Vec::new();
    for folder in [".", "docs", "docs/decisions", "django", "examples/blog", "examples/wagtail"] {
        let entries = fs::read_dir(root().join(folder)).expect(folder);
        let paths = entries.map(|entry| entry.expect("an entry").path());
        documents.extend(paths.filter(|path| path.extension().is_some_and(|e| e == "md")));
    }
    documents
}

/// What of a document is not shown as it was meant: rows of a table that has no heading, code that
/// does not begin and end on lines of its own.
fn malformed(document: &str) -> Vec<&str> {
    let (mut found, mut code, mut before) = (Vec::new(), false, "");
    let mut lines = document.lines().peekable();
    while let Some(line) = lines.next() {
        let fence = line.trim_start().strip_prefix("```");
        code ^= fence.is_some();
        let next = lines.peek().copied().unwrap_or_default();
        let begins = !code && line.starts_with('|') && !before.starts_with('|');
        if begins && !next.starts_with("| --") || fence.unwrap_or(line).contains("```") {
            found.push(line);
        }
        before = line;
    }
    if code {
        found.push("code without an end");
    }
    found
}

#[test]
fn tables_have_headings_and_code_has_lines_of_its_own() {
    for document in documents() {
        let text = fs::read_to_string(&document).expect("a document");
        assert_eq!(malformed(&text), Vec::<&str>::new(), "{}", document.display());
    }
    assert_eq!(malformed("| a |\n| -- |\n| b |\n\n| c |"), ["| c |"]);
    assert_eq!(
        malformed("so: ```sh ls ```\n```sh\nls"),
        ["so: ```sh ls ```", "code without an end"]
    );
}

#[test]
fn every_link_leads_somewhere() {
    let mut seen = 0;
    for document in documents() {
        let text = fs::read_to_string(&document).expect("a document");
        for link in links(&text) {
            seen += 1;
            let (file, anchor) = link.split_once('#').unwrap_or((link, ""));
            let folder = document.parent().unwrap_or(Path::new("."));
            let target = if file.is_empty() { document.clone() } else { folder.join(file) };
            assert!(target.exists(), "{}: {link} leads nowhere", document.display());
            if !anchor.is_empty() {
                let there = fs::read_to_string(&target).expect("a document");
                let anchors = anchors(&there);
                assert!(anchors.iter().any(|a| a == anchor), "{}: {link}", document.display());
            }
        }
    }
    assert!(seen > 20, "only {seen} links");
}
