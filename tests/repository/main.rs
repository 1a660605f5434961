//! What holds for the tree itself: imports, documents, fuzz targets.

mod architecture;
mod docs;
mod fuzz_bodies;
mod lengths;
mod settings;
mod simulation_rules;
mod tree;
mod type_names;
mod walk_throughs;
