//! The engine, through a platform of the tests: what visitors get, what it costs, what fails, what
//! attackers try.

mod at_once;
mod attacks;
mod attacks_lists;
mod audit;
mod bodies;
mod buckets;
mod cold;
#[path = "../common/mod.rs"]
mod common;
mod composed;
mod composed_attacks;
mod composed_origin;
mod composed_pages;
mod composed_shared;
mod control;
mod costs;
mod error_page;
mod esi;
mod explain;
mod faults;
mod figures;
mod from_colo;
mod front_caches;
mod generated;
mod history;
#[path = "../http_support/mod.rs"]
mod http_support;
mod invented;
mod load;
mod optional;
mod purge;
mod purge_success;
mod ranges;
mod readers;
mod refetched;
mod reshard;
mod rfc9110_content;
mod rfc9111;
mod schedule;
mod serve;
mod siblings;
mod slow;
mod storm;
mod transparency;
mod transparent;
mod unsafe_methods;
mod wake;
mod warm;
#[path = "../world/mod.rs"]
mod world;
