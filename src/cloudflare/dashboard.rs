//! The dashboard's files out of the static assets, where some are bound.

use wasm_bindgen::JsValue;
use web_sys::Response;

use crate::control::dashboard::{self, DashboardCall};
use crate::http::{Fields, RequestHead};

use super::glue;
use super::heads::{json, response_head};
use super::settings::Site;

/// The answer to a request for the dashboard; none if it is for something else, or there is no such
/// file.
pub(super) async fn answer(site: &Site, head: &RequestHead) -> Option<Result<Response, JsValue>> {
    let call = dashboard::dashboard(head, &site.engine.config().control_prefix)?;
    match call {
        DashboardCall::Moved(to) => {
            let moved = Fields::from_iter([("location", to.as_str())]);
            let bound = !site.assets.is_undefined();
            bound.then(|| glue::respond(308, &json(&moved), &JsValue::NULL))
        }
        DashboardCall::File(name) => {
            let etag = head.fields.get("if-none-match").unwrap_or_default();
            match glue::asset(&site.assets, name, &head.method, etag).await {
                Ok(file) => {
                    let file = file?;
                    let head_of_file = response_head(&file)?;
                    Some(glue::respond_from(&file, &json(&dashboard::fields(&head_of_file.fields))))
                }
                Err(error) => Some(Err(error)),
            }
        }
    }
}
