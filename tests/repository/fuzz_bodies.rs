//! The bodies of the fuzz targets, on the corpus that is kept and on bytes made here: no nightly,
//! no fuzzer.
//!
//! What `cargo fuzz` explores for hours this repeats in a second: every input of the corpus, each
//! of them mutated a few times in a way that is the same in every run, and random bytes.

#![allow(clippy::panic, clippy::unwrap_used, clippy::expect_used, reason = "a test")]

#[path = "../../fuzz/bodies/mod.rs"]
mod bodies;

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;

use bodies::{BODIES, Body};
use proptest::prelude::*;
use proptest::test_runner::{RngSeed, TestRunner};

fn fuzz() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("fuzz")
}

/// The kept inputs of a target, in order of name.
fn corpus(name: &str) -> Vec<Vec<u8>> {
    let folder = fuzz().join("corpus").join(name);
    let mut paths: Vec<PathBuf> = fs::read_dir(&folder)
        .unwrap_or_else(|error| panic!("{}: {error}", folder.display()))
        .map(|entry| entry.unwrap().path())
        .collect();
    paths.sort();
    paths.into_iter().map(|path| fs::read(path).unwrap()).collect()
}

/// The names of the files of a folder that end so.
fn names(folder: PathBuf, ending: &str) -> BTreeSet<String> {
    let files = fs::read_dir(&folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display()));
    files
        .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
        .filter_map(|name| name.strip_suffix(ending).map(str::to_owned))
        .collect()
}

#[test]
fn every_target_has_a_body_a_program_a_corpus_and_a_row_of_results() {
    let targets = names(fuzz().join("fuzz_targets"), ".rs");
    let bodies: BTreeSet<String> = BODIES.iter().map(|(name, _)| (*name).to_owned()).collect();
    assert_eq!(bodies.len(), BODIES.len());
    assert_eq!(targets, bodies);
    assert_eq!(targets, names(fuzz().join("corpus"), ""));
    let manifest = fs::read_to_string(fuzz().join("Cargo.toml")).unwrap();
    let report = fs::read_to_string(fuzz().join("../docs/fuzzing.md")).unwrap();
    for (name, _) in BODIES {
        assert!(!corpus(name).is_empty(), "{name}");
        let program = fs::read_to_string(fuzz().join(format!("fuzz_targets/{name}.rs"))).unwrap();
        assert!(program.contains(&format!("::{name}(data)")), "{name} runs another body");
        let binary = format!("name = \"{name}\"\npath = \"fuzz_targets/{name}.rs\"\n");
        assert!(manifest.contains(&binary), "{name} is not in fuzz/Cargo.toml");
        assert!(report.contains(&format!("| `{name}` |")), "{name} is not in docs/fuzzing.md");
    }
}

/// A new field's parser can't be forgotten: each file of `src/http` is a target, but for the ones
/// that parse nothing.
#[test]
fn every_field_has_a_target() {
    let fields = names(fuzz().join("../src/http"), ".rs");
    let targets = names(fuzz().join("fuzz_targets"), ".rs");
    let without: Vec<&String> = fields.difference(&targets).collect();
    assert_eq!(without, ["fields", "head", "mod"]);
}

#[test]
fn the_kept_corpus_holds() {
    for (name, body) in BODIES {
        for input in corpus(name) {
            run(name, *body, &input);
        }
    }
}

#[test]
fn mutations_of_the_corpus_hold() {
    let pieces: Vec<Vec<u8>> =
        ["\"", "\\", ",", ";", "=", "\n", "\n\n", " ", "*", "\u{0}", "-1", "9999999999999999999"]
            .iter()
            .map(|piece| piece.as_bytes().to_vec())
            .chain([vec![0xff], vec![0x80, 0x80]])
            .collect();
    for (name, body) in BODIES {
        let inputs = corpus(name);
        let change = (
            any::<prop::sample::Index>(),
            any::<prop::sample::Index>(),
            0..3u8,
            any::<prop::sample::Index>(),
        );
        let changes = prop::collection::vec(change, 1..4);
        let mut runner = TestRunner::new(config());
        let cases = (prop::sample::select(inputs), changes);
        runner
            .run(&cases, |(mut input, changes)| {
                for (at, with, how, end) in changes {
                    let (at, end) = (at.index(input.len() + 1), end.index(input.len() + 1));
                    let (from, to) = (at.min(end), at.max(end));
                    let piece = with.get(&pieces).clone();
                    match how {
                        0 => drop(input.splice(at..at, piece)),
                        1 => drop(input.splice(from..to, piece)),
                        _ => drop(input.splice(from..to, [])),
                    }
                }
                run(name, *body, &input);
                Ok(())
            })
            .unwrap();
    }
}

#[test]
fn random_bytes_hold() {
    for (name, body) in BODIES {
        let mut runner = TestRunner::new(config());
        runner
            .run(&prop::collection::vec(any::<u8>(), 0..64), |input| {
                run(name, *body, &input);
                Ok(())
            })
            .unwrap();
    }
}

/// The same cases in every run.
fn config() -> ProptestConfig {
    ProptestConfig {
        rng_seed: RngSeed::Fixed(9110),
        failure_persistence: None,
        cases: 400,
        ..ProptestConfig::default()
    }
}

/// Runs a body; an input that breaks it is shown.
fn run(name: &str, body: Body, input: &[u8]) {
    let result = std::panic::catch_unwind(|| body(input));
    assert!(result.is_ok(), "{name}: {:?}", String::from_utf8_lossy(input));
}
