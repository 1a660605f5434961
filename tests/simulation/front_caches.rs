//! Two caches in front of the edge: one takes webhooks, one speaks as CloudFront does. Both fail,
//! refuse and forget.
//!
//! Their dice are their own, and only a quarter of the histories has them: what the other seeds
//! stand for does not hang on them.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;

use fastrand::Rng;
use serde_json::Value;

use edge_isr::cache::tag::Target;
use edge_isr::config::OriginUrl;
use edge_isr::config::front_cache::FrontCache;
use edge_isr::engine::port::OriginError;
use edge_isr::front_caches::{DeliveryAnswer, DeliveryRequest, cloudfront, webhook};
use edge_isr::http::{Fields, ResponseHead};

use crate::sched::{DAWN, Sched, sleep};

/// Their names.
pub(crate) const NAMES: [&str; 2] = ["hook", "front"];
/// Their secrets.
pub(crate) const SECRETS: &str = "hook:hook-secret front:AKID/front-secret";

/// Whether a seed's history has front caches.
pub(crate) const fn has(seed: u64) -> bool {
    matches!(seed % 16, 9 | 11 | 12 | 15)
}

/// The settings of both.
pub(crate) fn settings() -> Vec<FrontCache> {
    let [hook, front] = NAMES;
    let of = |name: &str, provider, url: &str| FrontCache {
        name: name.to_owned(),
        provider,
        url: OriginUrl::parse(url).unwrap(),
        id: "E1".to_owned(),
        tags: true,
    };
    vec![
        of(hook, &webhook::PROVIDER, "https://hook.example/"),
        of(front, &cloudfront::PROVIDER, "https://cloudfront.amazonaws.com"),
    ]
}

/// What one was sent, and took.
struct Heard {
    who: usize,
    at: i64,
    names: Vec<String>,
}

/// Both.
pub(crate) struct FrontCaches {
    dice: RefCell<Rng>,
    /// When which of them is away.
    away: Vec<(usize, i64, i64)>,
    /// How often something goes wrong.
    ill: f64,
    heard: RefCell<Vec<Heard>>,
    /// The ids of calls that were taken.
    ids: RefCell<BTreeMap<String, String>>,
    /// Invalidations in progress, and when each is completed.
    progress: RefCell<BTreeMap<String, i64>>,
    pub(crate) calls: Cell<u64>,
}

impl FrontCaches {
    pub(crate) fn new(seed: u64, span: u64) -> Self {
        let mut dice = Rng::with_seed(seed.wrapping_mul(0x2545_f491_4f6c_dd1d) ^ 0x0b5e);
        let mut away = Vec::new();
        for who in 0..NAMES.len() {
            for _ in 0..dice.usize(0..3) {
                let from = DAWN + dice.u64(0..span) as i64;
                away.push((who, from, from + [1_000, 9_000, 30_000][dice.usize(0..3)]));
            }
        }
        let ill = [0.0, 0.1, 0.4][dice.usize(0..3)];
        Self {
            dice: RefCell::new(dice),
            away,
            ill,
            heard: RefCell::default(),
            ids: RefCell::default(),
            progress: RefCell::default(),
            calls: Cell::new(0),
        }
    }

    fn below(&self, end: u64) -> u64 {
        self.dice.borrow_mut().u64(0..end)
    }

    fn unlucky(&self, healed: bool) -> bool {
        !healed && self.dice.borrow_mut().f64() < self.ill
    }

    /// A call comes, or is lost on its way, or its answer is.
    pub(crate) async fn deliver(
        &self,
        sched: &Rc<Sched>,
        request: DeliveryRequest,
        healed: bool,
    ) -> Result<DeliveryAnswer, OriginError> {
        self.calls.set(self.calls.get() + 1);
        let who = usize::from(!request.url.contains("hook"));
        sleep(sched, 1 + self.below(if self.below(8) == 0 { 4_000 } else { 100 })).await;
        let now = sched.now();
        let is_away =
            self.away.iter().any(|(w, from, until)| *w == who && (*from..*until).contains(&now));
        if (is_away && !healed) || self.unlucky(healed) {
            return match self.below(5) {
                0 => Err(OriginError::Unreachable),
                1 => {
                    sleep(sched, 10_000).await;
                    Err(OriginError::Timeout)
                }
                2 => Ok(answer(500, &[], "")),
                3 if who == 1 => Ok(answer(400, &[], &code("TooManyInvalidationsInProgress"))),
                _ => {
                    let after = (1 + self.below(19)).to_string();
                    Ok(answer(429, &[("retry-after", &after)], ""))
                }
            };
        }
        let answer =
            if who == 0 { self.hook(&request, now) } else { self.front(&request, now, healed) };
        sleep(sched, 1 + self.below(100)).await;
        if self.unlucky(healed) {
            return Err(OriginError::Broken);
        }
        Ok(answer)
    }

    /// A webhook: an id that it has had before is the same delivery.
    fn hook(&self, request: &DeliveryRequest, now: i64) -> DeliveryAnswer {
        let id = request.fields.get("webhook-id").unwrap().to_owned();
        let body = String::from_utf8(request.body.clone()).unwrap();
        match self.ids.borrow_mut().insert(id, body.clone()) {
            Some(before) if before == body => return answer(202, &[], ""),
            Some(_) => return answer(409, &[], ""),
            None => {}
        }
        let command: Value = serde_json::from_str(&body).unwrap();
        let mut names = Vec::new();
        for kind in ["tags", "urls", "prefixes", "hosts"] {
            let those = command[kind].as_array().into_iter().flatten();
            names.extend(those.map(|name| format!("{kind} {}", name.as_str().unwrap())));
        }
        if command["all"] == true {
            names.push("all".to_owned());
        }
        self.heard.borrow_mut().push(Heard { who: 0, at: now, names });
        answer(202, &[], "")
    }

    /// CloudFront: the same reference with the same paths is the same invalidation.
    fn front(&self, request: &DeliveryRequest, now: i64, healed: bool) -> DeliveryAnswer {
        let mut progress = self.progress.borrow_mut();
        if request.method == "GET" {
            let id = request.url.rsplit('/').next().unwrap().to_owned();
            if self.unlucky(healed) {
                progress.remove(&id);
            }
            return match progress.get(&id) {
                Some(until) => answer(200, &[], &invalidation(&id, now >= *until)),
                None => answer(404, &[], &code("NoSuchInvalidation")),
            };
        }
        let body = String::from_utf8(request.body.clone()).unwrap();
        let (paths, reference) = body.split_once("<CallerReference>").unwrap();
        if let Some(id) = self.ids.borrow().get(reference) {
            let until = *progress.entry(id.clone()).or_insert(now);
            return answer(201, &[], &invalidation(id, now >= until));
        }
        let names: Vec<String> = paths
            .split("<Path>")
            .skip(1)
            .map(|rest| rest.split("</Path>").next().unwrap().to_owned())
            .collect();
        let id = format!("I{}", progress.len() + self.ids.borrow().len());
        self.heard.borrow_mut().push(Heard { who: 1, at: now, names });
        self.ids.borrow_mut().insert(reference.to_owned(), id.clone());
        let until = now + self.below(40_000) as i64;
        progress.insert(id.clone(), until);
        answer(201, &[], &invalidation(&id, now >= until))
    }

    /// Which one did not get a target from a moment on, if one was not.
    pub(crate) fn misses(&self, target: &Target, from: i64) -> Option<&'static str> {
        let names = [
            match target {
                Target::Tag(tag) => format!("tags {}", tag.as_str()),
                Target::Url(name) => format!("urls https://{name}"),
                Target::Prefix(name) => format!("prefixes https://{name}"),
                Target::Host(name) => format!("hosts {name}"),
                Target::All => "all".to_owned(),
            },
            match target {
                Target::Tag(tag) => format!("#{}", tag.as_str()),
                Target::Url(name) => format!("{}?*", &name[name.find('/').unwrap()..]),
                Target::Prefix(name) => format!("{}*", &name[name.find('/').unwrap()..]),
                Target::Host(_) | Target::All => "/*".to_owned(),
            },
        ];
        let everything = ["all", "/*"];
        let heard = self.heard.borrow();
        let got_it = |who: usize| {
            let later = heard.iter().filter(|heard| heard.who == who && heard.at >= from);
            later.flat_map(|heard| &heard.names).any(|n| *n == names[who] || n == everything[who])
        };
        (0..NAMES.len()).find(|who| !got_it(*who)).map(|who| NAMES[who])
    }
}

fn answer(status: u16, fields: &[(&str, &str)], body: &str) -> DeliveryAnswer {
    let fields: Fields = fields.iter().copied().collect();
    DeliveryAnswer { head: ResponseHead { status, fields }, body: body.as_bytes().to_vec() }
}

fn invalidation(id: &str, completed: bool) -> String {
    let status = if completed { "Completed" } else { "InProgress" };
    format!("<Invalidation><Id>{id}</Id><Status>{status}</Status></Invalidation>")
}

fn code(code: &str) -> String {
    format!("<ErrorResponse><Error><Code>{code}</Code></Error></ErrorResponse>")
}
