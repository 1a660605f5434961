//! The settings, the control API, other caches' purge APIs, caches in front of the edge.

mod auth;
mod check;
mod config;
mod dashboard;
mod front_caches;
mod operate;
mod purge_apis;
mod revalidate;
mod route;
