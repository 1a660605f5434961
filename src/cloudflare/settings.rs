//! Settings and bindings out of the environment, read once per isolate.

use std::cell::RefCell;
use std::rc::Rc;

use wasm_bindgen::JsValue;

use crate::cache::admission::looked_at;
use crate::config::origin::OriginUrl;
use crate::config::{Config, LogLevel};
use crate::control::healthz::{Health, HealthReason};
use crate::control::log::Event;
use crate::control::secret::Secrets;
use crate::engine::Engine;
use crate::front_caches::parse_config;

use super::glue;
use super::platform::{Bindings, Edge, now};

/// Route rules that are too large for a variable (5 KB), compiled in by `scripts/deploy`.
const BUILT_IN_RULES: Option<&str> = option_env!("EDGE_ISR_RULES");

/// What an isolate needs to answer requests.
pub(super) struct Site {
    pub(super) engine: Engine<Edge>,
    pub(super) bindings: Rc<Bindings>,
    pub(super) secrets: Secrets,
    /// Static assets: the dashboard's files. Undefined where none are bound.
    pub(super) assets: JsValue,
    /// What is wrong with the settings. With any of these, every request passes uncached.
    pub(super) problems: Vec<HealthReason>,
    /// The origin, unless it is what is wrong.
    pub(super) origin: Option<OriginUrl>,
    /// The names of the fields that are read of every request.
    pub(super) looked_at: Vec<String>,
    /// The same as `glue.js` takes them.
    pub(super) looked_at_list: JsValue,
}

thread_local! {
    static SITE: RefCell<Option<Rc<Site>>> = const { RefCell::new(None) };
}

/// The isolate's site; read from the environment by the first request.
pub(super) fn site(env: &JsValue) -> Rc<Site> {
    SITE.with(|slot| {
        let mut slot = slot.borrow_mut();
        if let Some(site) = &*slot {
            return Rc::clone(site);
        }
        let site = Rc::new(read(env));
        if let Some(line) = problems_line(&site) {
            worker::console_error!("{line}");
        }
        *slot = Some(Rc::clone(&site));
        site
    })
}

fn problems_line(site: &Site) -> Option<String> {
    if site.problems.is_empty() {
        return None;
    }
    let health =
        Health { reasons: site.problems.clone(), epoch: None, view_age: None, config: None };
    let problems = health.lines();
    Event::ConfigInvalid { problems: &problems }.line(now(), LogLevel::Problems)
}

fn read(env: &JsValue) -> Site {
    let mut problems = Vec::new();
    let text = glue::setting_text(env, "EDGE_ISR");
    let text = BUILT_IN_RULES.map(str::to_owned).or(text).unwrap_or_else(|| "{}".to_owned());
    let config = parse_config(&text).unwrap_or_else(|errors| {
        problems.push(HealthReason::Config(errors));
        Config::default()
    });
    let origin = OriginUrl::parse(&glue::setting_text(env, "ORIGIN").unwrap_or_default());
    if let Err(error) = &origin {
        problems.push(HealthReason::Origin(*error));
    }
    let secret = |name: &str| glue::setting_text(env, name).unwrap_or_default();
    let secrets = Secrets::parse(&secret("WEBHOOK_SECRETS"), &secret("TOKENS"));
    let secrets = secrets.unwrap_or_else(|errors| {
        problems.push(HealthReason::Secrets(errors));
        Secrets::default()
    });
    let origin = origin.ok();
    let bindings = bindings(env, origin.as_ref(), &config, &mut problems);
    let origin_secret = Some(secret("ORIGIN_SECRET")).filter(|secret| !secret.is_empty());
    let looked_at = looked_at(&config);
    let looked_at_list = glue::list_of(&looked_at.join("\n"));
    let engine = Engine::new(config, origin_secret);
    let assets = glue::binding(env, "ASSETS");
    let bindings = Rc::new(bindings);
    Site { engine, bindings, secrets, assets, problems, origin, looked_at, looked_at_list }
}

fn bindings(
    env: &JsValue,
    origin: Option<&OriginUrl>,
    config: &Config,
    problems: &mut Vec<HealthReason>,
) -> Bindings {
    let mut bound = |name: &'static str| {
        let value = glue::binding(env, name);
        if value.is_undefined() {
            problems.push(HealthReason::BindingMissing(name));
        }
        value
    };
    let journal = bound("JOURNAL");
    Bindings {
        origin: origin.cloned(),
        site: glue::object_id(&journal, "journal").unwrap_or_default(),
        journal,
        shards: bound("SHARDS"),
        pages: bound("PAGES"),
        location_hint: config.location_hint.clone(),
        jurisdiction: config.jurisdiction.clone(),
    }
}
