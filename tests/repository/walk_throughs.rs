//! What CONTRIBUTING.md says of how to add something is so: its files exist, and what it names
//! stands in them. The files that the map in docs/architecture.md names exist as well.
#![allow(clippy::expect_used)]

use std::fs;
use std::path::Path;

/// The points of a document's walk-throughs, each with what it has between back quotes.
fn points(text: &str) -> Vec<Vec<String>> {
    let from = text.find("### A purge API").unwrap_or(text.len());
    let text = &text[from..];
    let text = &text[..text.find("\n## ").unwrap_or(text.len())];
    let mut points: Vec<String> = Vec::new();
    for line in text.lines() {
        if line.starts_with(|c: char| c.is_ascii_digit()) {
            points.push(line.to_owned());
        } else if let Some(point) = points.last_mut().filter(|_| line.starts_with("   ")) {
            point.push_str(&line[2..]);
        }
    }
    let named = |point: &String| point.split('`').skip(1).step_by(2).map(str::to_owned).collect();
    points.iter().map(named).collect()
}

/// What is named and is not there.
fn missing(points: &[Vec<String>], read: impl Fn(&str) -> Option<String>) -> Vec<String> {
    let mut missing = Vec::new();
    for point in points {
        let Some((file, names)) = point.split_first() else { continue };
        let Some(text) = read(file) else {
            missing.push(format!("there is no {file}"));
            continue;
        };
        let absent = names.iter().filter(|name| !text.contains(name.as_str()));
        missing.extend(absent.map(|name| format!("{name} is not in {file}")));
    }
    missing
}

#[test]
fn a_name_may_go_on_in_the_next_line() {
    let text = "### A purge API\n\n1. `a.rs` has `fn\n   b`.\n";
    assert_eq!(points(text), [["a.rs", "fn b"]]);
}

#[test]
fn what_the_walk_throughs_name_is_there() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let points = points(&fs::read_to_string(root.join("CONTRIBUTING.md")).expect("the document"));
    assert!(points.len() >= 15 && points.iter().all(|point| !point.is_empty()), "{points:?}");
    let missing = missing(&points, |file| fs::read_to_string(root.join(file)).ok());
    assert!(missing.is_empty(), "{missing:#?}");
}

/// Every file of the sources and tests, below their folders.
fn files(folder: &Path, into: &mut Vec<String>) {
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            files(&path, into);
        } else {
            into.push(path.to_string_lossy().replace('\\', "/"));
        }
    }
}

#[test]
fn the_map_names_files_that_are_there() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let map = fs::read_to_string(root.join("docs/architecture.md")).expect("the map");
    let mut known = Vec::new();
    files(&root.join("src"), &mut known);
    files(&root.join("tests"), &mut known);
    let named: Vec<&str> = map.split('`').filter(|name| name.ends_with(".rs")).collect();
    assert!(named.len() > 50, "{named:?}");
    let there = |name: &&str| known.iter().any(|file| file.ends_with(&format!("/{name}")));
    let gone: Vec<&str> = named.into_iter().filter(|name| !there(name)).collect();
    assert!(gone.is_empty(), "{gone:?}");
}

/// The files of a room that its module's table does not name; none if it has no table.
fn unnamed(module: &str) -> Vec<String> {
    let doc = || module.lines().filter(|line| line.starts_with("//! |"));
    let declared = module.lines().filter_map(|line| {
        let line = line.strip_prefix("pub ").or(line.strip_prefix("pub(crate) ")).unwrap_or(line);
        line.strip_prefix("mod ")?.strip_suffix(';')
    });
    let named = |name: &&str| doc().any(|line| line.contains(&format!("`{name}`")));
    let has_table = doc().next().is_some();
    declared.filter(|name| has_table && !named(name)).map(str::to_owned).collect()
}

#[test]
fn the_table_of_a_room_names_all_of_its_files() {
    let mut known = Vec::new();
    files(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut known);
    let mut tables = 0;
    for path in known.iter().filter(|path| path.ends_with("/mod.rs")) {
        let module = fs::read_to_string(path).expect("a source");
        tables += usize::from(module.contains("//! |"));
        assert_eq!(unnamed(&module), Vec::<String>::new(), "{path}");
    }
    assert!(tables >= 8, "{tables}");
    let module = "//! | a | [`a`] |\nmod a;\npub(crate) mod b;\n";
    assert_eq!(unnamed(module), ["b"]);
}

#[test]
fn what_is_not_there_is_found() {
    let text = "### A purge API\n\n1. `a.rs` has `fn b`\n   and `fn c`.\n\
                2. `d.rs` too.\n\n## Style\n1. `e`\n";
    let read = |file: &str| (file == "a.rs").then(|| "fn b".to_owned());
    assert_eq!(missing(&points(text), read), ["fn c is not in a.rs", "there is no d.rs"]);
}
