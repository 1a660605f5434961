//! The settings, the control API, other caches' purge APIs, caches in front of the edge.

mod auth;
mod check;
mod config;
mod dashboard;
mod dialect;
mod operate;
mod revalidate;
mod route;
mod upstream;
