//! No two types of the sources have the same name, those of one file alone neither: whoever reads
//! `Entry` need not look up which one it is.
#![allow(clippy::expect_used, clippy::panic)]

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use syn::visit::{self, Visit};

use crate::tree::rust_sources;

/// Names that stand twice, with the reason.
const ALLOWED: &[(&str, &str)] = &[
    ("Inner", "what the clones of a handle share, as everywhere in Rust"),
    ("Journal", "the Durable Object's class is named so in wrangler.toml, and holds the journal"),
];

/// The types that a file declares.
#[derive(Default)]
struct Types(Vec<String>);

impl<'ast> Visit<'ast> for Types {
    fn visit_item_struct(&mut self, item: &'ast syn::ItemStruct) {
        self.0.push(item.ident.to_string());
        visit::visit_item_struct(self, item);
    }

    fn visit_item_enum(&mut self, item: &'ast syn::ItemEnum) {
        self.0.push(item.ident.to_string());
        visit::visit_item_enum(self, item);
    }

    fn visit_item_trait(&mut self, item: &'ast syn::ItemTrait) {
        self.0.push(item.ident.to_string());
        visit::visit_item_trait(self, item);
    }

    fn visit_item_type(&mut self, item: &'ast syn::ItemType) {
        self.0.push(item.ident.to_string());
        visit::visit_item_type(self, item);
    }
}

/// The names that stand in more than one place, with where.
fn declared_twice<'a>(files: impl Iterator<Item = (&'a str, &'a str)>) -> Vec<String> {
    let mut declared: BTreeMap<String, Vec<&str>> = BTreeMap::new();
    for (path, text) in files {
        let file = syn::parse_file(text).unwrap_or_else(|error| panic!("{path}: {error}"));
        let mut types = Types::default();
        types.visit_file(&file);
        for name in types.0 {
            declared.entry(name).or_default().push(path);
        }
    }
    let twice = declared.into_iter().filter(|(_, paths)| paths.len() > 1);
    twice.map(|(name, paths)| format!("{name}: {}", paths.join(", "))).collect()
}

#[test]
fn each_type_has_a_name_of_its_own() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let paths = rust_sources(&root);
    let texts: Vec<(String, String)> = paths
        .iter()
        .map(|path| {
            let name = path.strip_prefix(&root).expect("below src").display().to_string();
            (name, fs::read_to_string(path).expect("a source"))
        })
        .collect();
    assert!(texts.len() > 100, "{}", texts.len());
    let files = texts.iter().map(|(path, text)| (path.as_str(), text.as_str()));
    let mut twice = declared_twice(files);
    // What is allowed has to be there: a reason without its name is out of date.
    for (name, _) in ALLOWED {
        let before = twice.len();
        twice.retain(|row| row.split(':').next() != Some(name));
        assert!(twice.len() < before, "{name} stands once");
    }
    assert!(twice.is_empty(), "declared twice:\n{}", twice.join("\n"));
}

#[test]
fn a_name_that_stands_twice_is_found() {
    let files = [
        ("a.rs", "pub struct Entry; struct Part; mod inside { pub(super) enum Kind {} }"),
        ("b.rs", "pub(crate) type Entry = u8; struct Part; pub trait Kind {}"),
        ("c.rs", "pub struct Other; fn entry() {}"),
    ];
    let want = ["Entry: a.rs, b.rs", "Kind: a.rs, b.rs", "Part: a.rs, b.rs"];
    assert_eq!(declared_twice(files.into_iter()), want);
}
