//! No function of the sources has more than 60 lines, and no file more than 400, with its tests.
//! Few files have less than 60: an idea in many small files is as hard to follow as one in a large
//! file.
#![allow(clippy::expect_used, clippy::panic)]

use std::fs;
use std::path::Path;

use syn::spanned::Spanned as _;
use syn::visit::{self, Visit};

use crate::tree::{files_of, rust_sources};

const LINES_OF_FUNCTION: usize = 60;
const LINES_OF_FILE: usize = 400;
/// A file with fewer is small.
const FEW_LINES: usize = 60;
/// So many files may be small, in a hundred: an idea that stands alone, and is no larger.
const SMALL_IN_A_HUNDRED: usize = 10;

/// The functions that are too long, by their names.
struct Long(Vec<String>);

impl Long {
    fn note(&mut self, signature: &syn::Signature, block: &syn::Block) {
        let (from, to) = (signature.span().start().line, block.span().end().line);
        if to - from + 1 > LINES_OF_FUNCTION {
            self.0.push(signature.ident.to_string());
        }
    }
}

impl<'ast> Visit<'ast> for Long {
    fn visit_item_fn(&mut self, function: &'ast syn::ItemFn) {
        self.note(&function.sig, &function.block);
        visit::visit_item_fn(self, function);
    }

    fn visit_impl_item_fn(&mut self, function: &'ast syn::ImplItemFn) {
        self.note(&function.sig, &function.block);
        visit::visit_impl_item_fn(self, function);
    }

    fn visit_trait_item_fn(&mut self, function: &'ast syn::TraitItemFn) {
        if let Some(block) = &function.default {
            self.note(&function.sig, block);
        }
        visit::visit_trait_item_fn(self, function);
    }
}

/// What is too long in a file: itself, and its functions.
fn too_long(path: &str, text: &str) -> Vec<String> {
    let mut long = Long(Vec::new());
    long.visit_file(&syn::parse_file(text).unwrap_or_else(|error| panic!("{path}: {error}")));
    let file = (text.lines().count() > LINES_OF_FILE).then(|| path.to_owned());
    file.into_iter().chain(long.0.iter().map(|name| format!("{path}: {name}"))).collect()
}

#[test]
fn no_function_and_no_file_is_too_long() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let files = rust_sources(&root.join("src"));
    assert!(files.len() > 100);
    let mut found = Vec::new();
    for file in files {
        let path = file.strip_prefix(root).expect("below the root").to_string_lossy().into_owned();
        found.extend(too_long(&path, &fs::read_to_string(&file).expect("a source")));
    }
    assert!(found.is_empty(), "too long: {found:#?}");
}

/// What people copy as one file.
const COPIED_WHOLE: &[&str] = &["scripts/lib/isr.py"];

#[test]
fn no_script_is_too_long() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let folders = ["src", "scripts", "benches", "dashboard", "examples"];
    let extensions = ["js", "mjs", "py", "rs", "sh"];
    let files: Vec<_> =
        folders.iter().flat_map(|folder| files_of(&root.join(folder), &extensions)).collect();
    let is_long = |file: &&std::path::PathBuf| {
        fs::read_to_string(file).expect("a source").lines().count() > LINES_OF_FILE
    };
    let long: Vec<String> = files
        .iter()
        .filter(is_long)
        .map(|file| file.strip_prefix(root).expect("below the root").to_string_lossy().into_owned())
        .filter(|path| !COPIED_WHOLE.contains(&path.as_str()))
        .collect();
    assert!(files.len() > 300 && long.is_empty(), "too long: {long:#?}");
}

/// A `mod.rs` is a list of what is beside it, and in `http/` each field has a file of its own.
fn may_be_small(path: &str) -> bool {
    path.ends_with("/mod.rs") || path == "src/lib.rs" || path.starts_with("src/http/")
}

#[test]
fn few_files_are_small() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let files = rust_sources(&root.join("src"));
    let small: Vec<String> = files
        .iter()
        .filter(|file| fs::read_to_string(file).expect("a source").lines().count() < FEW_LINES)
        .map(|file| file.strip_prefix(root).expect("below the root").to_string_lossy().into_owned())
        .filter(|path| !may_be_small(path))
        .collect();
    let most = files.len() * SMALL_IN_A_HUNDRED / 100;
    assert!(small.len() <= most, "{} of {} are small: {small:#?}", small.len(), files.len());
}

#[test]
fn what_is_too_long_is_found() {
    let lines = |count: usize| "    g();\n".repeat(count);
    let rows = [
        (format!("fn f() {{\n{}}}\n", lines(58)), vec![]),
        (format!("fn f() {{\n{}}}\n", lines(59)), vec!["a.rs: f"]),
        (format!("impl S {{\nfn f() {{\n{}}}\n}}\n", lines(59)), vec!["a.rs: f"]),
        (format!("trait T {{\nfn f() {{\n{}}}\n}}\n", lines(59)), vec!["a.rs: f"]),
        ("// a\n".repeat(400), vec![]),
        ("// a\n".repeat(401), vec!["a.rs"]),
    ];
    for (text, want) in rows {
        assert_eq!(too_long("a.rs", &text), want);
    }
}
