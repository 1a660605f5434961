//! The files of the tree.
#![allow(clippy::expect_used)]

use std::fs;
use std::path::{Path, PathBuf};

/// The Rust sources below a folder, in order of their paths.
pub(crate) fn rust_sources(folder: &Path) -> Vec<PathBuf> {
    files_of(folder, &["rs"])
}

/// The files below a folder whose names end in one of these, in order of their paths.
pub(crate) fn files_of(folder: &Path, extensions: &[&str]) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|e| extensions.iter().any(|one| e == *one)) {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}
