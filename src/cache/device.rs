//! The visitor's kind of device, as one of three words ([`crate::config::VaryOn::Device`]).
//!
//! In this order: `iPad`, `Tablet`, or `Android` without `Mobi` in the User-Agent is a tablet;
//! `Sec-CH-UA-Mobile: ?1` or `Mobi` is a mobile; everything else, robots included, is a desktop.
//! Letters' case does not matter. As a User-Agent, each of the words means itself.

use crate::http::Fields;

/// `mobile`, `tablet` or `desktop`.
#[must_use]
pub fn device(fields: &Fields) -> &'static str {
    let agent = fields.get("user-agent").unwrap_or_default().to_ascii_lowercase();
    let mobile = agent.contains("mobi") && !agent.contains("ipad");
    if agent.contains("ipad") || agent.contains("tablet") || (agent.contains("android") && !mobile)
    {
        "tablet"
    } else if mobile || fields.get("sec-ch-ua-mobile").is_some_and(|v| v.trim() == "?1") {
        "mobile"
    } else {
        "desktop"
    }
}
