//! Caches in front of the edge: a line with a digit that chooses one, a line with the status of its
//! answer, the body of a `revalidate` call that is delivered to it, an empty line, the body of its
//! answer.

use edge_isr::base::time::{Epoch, Timestamp};
use edge_isr::cache::tag::Target;
use edge_isr::config::Config;
use edge_isr::config::front_cache_access::FrontCacheAccess;
use edge_isr::control::{revalidate, targets};
use edge_isr::front_caches::{
    DeliveryAnswer, DeliveryProgress, DeliveryRequest, call_progress, cloudfront,
    delivery_progress, parse_config, progress_request, requests,
};
use edge_isr::http::{Fields, ResponseHead};
use edge_isr::journal::Delivery;

use super::latin1;

const NOW: Timestamp = Timestamp::from_seconds(1_795_253_820);

thread_local! {
    static SITE: Option<(Config, Vec<FrontCacheAccess>)> = site();
}

fn site() -> Option<(Config, Vec<FrontCacheAccess>)> {
    let text = r#"{"host_aliases": {"example.com": "www.example.com"}, "front_caches": [
        {"name": "a", "provider": "cloudflare", "zone": "z"},
        {"name": "b", "provider": "cloudflare", "zone": "z", "tags": true},
        {"name": "c", "provider": "fastly", "service": "s"},
        {"name": "d", "provider": "fastly", "service": "s", "tags": true},
        {"name": "e", "provider": "cloudfront", "distribution": "E1"},
        {"name": "f", "provider": "cloudfront", "distribution": "E1", "tags": true},
        {"name": "g", "provider": "purge", "url": "http://cache.example:6081/base"},
        {"name": "h", "provider": "purge", "url": "http://cache.example:6081/base", "tags": true},
        {"name": "i", "provider": "webhook", "url": "https://hook.example/v1"},
        {"name": "j", "provider": "webhook", "url": "https://hook.example/v1"},
        {"name": "k", "provider": "workers-cache"},
        {"name": "l", "provider": "workers-cache", "tags": true}]}"#;
    let config = parse_config(text).ok()?;
    let secrets = "a:t b:t c:t d:t e:k/s f:k/s g:t h:t i:t k:t l:t \
        j:whsec_MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNA==";
    let access = FrontCacheAccess::all(&config, secrets);
    Some((config, access))
}

/// What purges it is a request that can be sent, to the front cache alone, and names what is
/// pending or more; and any answer means one thing.
pub(crate) fn front_caches(data: &[u8]) {
    SITE.with(|site| {
        let Some((config, access)) = site else { panic!("our own settings are refused") };
        let text = latin1(data);
        let (choice, rest) = text.split_once('\n').unwrap_or((&text, ""));
        let (status, rest) = rest.split_once('\n').unwrap_or((rest, ""));
        let (command, body) = rest.split_once("\n\n").unwrap_or((rest, ""));
        let choice: usize = choice.trim().parse().unwrap_or(0);
        let access = &access[choice % access.len()];
        means(access, status.trim().parse().unwrap_or(200), body);
        let bytes: Vec<u8> = command.chars().map(|c| c as u8).collect();
        let normalise = targets::page_query(config);
        if let Ok(command) = revalidate::parse(&bytes, config, &normalise, Timestamp::ZERO) {
            says(access, command.targets, command.mode);
        }
    });
}

fn means(access: &FrontCacheAccess, status: u16, body: &str) {
    let provider = access.front_cache.provider;
    let head = ResponseHead { status, fields: Fields::new() };
    let answer = DeliveryAnswer { head, body: body.chars().map(|c| c as u8).collect() };
    let failed = !(200..=299).contains(&status) && !matches!(status, 404 | 412);
    for means in [delivery_progress(provider, &answer, NOW), call_progress(provider, &answer, NOW)]
    {
        assert!(!failed || means.is_err(), "{status} is no success");
        if let Ok(DeliveryProgress::InProgress(call)) = means {
            assert_eq!(provider, &cloudfront::PROVIDER);
            let Ok(Some(request)) = progress_request(access, &call, NOW) else {
                panic!("{call} can't be asked")
            };
            assert!(request.url.ends_with(&format!("/distribution/E1/invalidation/{call}")));
            is_well_formed(access, &request);
        }
    }
}

fn says(access: &FrontCacheAccess, targets: Vec<Target>, mode: edge_isr::journal::Mode) {
    let delivery = Delivery { epochs: vec![Epoch(7)], targets, mode, at: NOW };
    let Ok(said) = requests(access, &delivery, NOW) else {
        panic!("the secrets are of the right form")
    };
    assert_eq!(requests(access, &delivery, NOW).as_ref(), Ok(&said), "the same is said again");
    assert!(!said.is_empty());
    said.iter().for_each(|request| is_well_formed(access, request));
    let text: Vec<String> = said
        .iter()
        .map(|request| {
            let tags = ["xkey", "surrogate-key"]
                .map(|name| request.fields.joined(name).unwrap_or_default());
            format!("{} {} {}", request.url, latin1(&request.body), tags.join(" "))
        })
        .collect();
    let text = text.join("\n");
    let everything = [
        "purge_everything",
        "/purge_all",
        "<Path>/*<",
        "/base/* ",
        "\"all\":true",
        "\"purgeEverything\":true",
    ];
    if everything.iter().any(|all| text.contains(all)) {
        return;
    }
    for target in &delivery.targets {
        // Where nothing is escaped, its name stands there; a page's may be cut to its path.
        let name = target.name();
        let plain = name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_./:".contains(&b));
        let path = name.find('/').map_or(name, |at| &name[at..]);
        let page = path.trim_end_matches('/');
        assert!(!plain || text.contains(page), "{target:?} is not in {text}");
    }
}

fn is_well_formed(access: &FrontCacheAccess, request: &DeliveryRequest) {
    let base = access.front_cache.url.join("");
    assert!(request.url.starts_with(&base), "{request:?}");
    assert!(request.url.bytes().all(|b| b.is_ascii_graphic()), "{request:?}");
    assert!(url_host(&request.url) == url_host(&base), "{request:?}");
    for (_, value) in request.fields.iter() {
        assert!(value.bytes().all(|b| b == b' ' || b.is_ascii_graphic()), "{request:?}");
    }
    assert!(matches!(request.method, "GET" | "POST" | "PURGE"));
    assert!(request.method == "POST" || request.body.is_empty());
}

fn url_host(url: &str) -> Option<&str> {
    url.split('/').nth(2)
}
