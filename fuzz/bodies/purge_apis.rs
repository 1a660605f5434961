//! Other caches' purge APIs: a line each for method, path, query and fields, an empty line, the
//! body.

use edge_isr::base::time::{Epoch, Timestamp};
use edge_isr::config::Config;
use edge_isr::control::purge_apis::{PurgeOutcome, PurgeRefusal, route};
use edge_isr::control::secret::Secrets;
use edge_isr::front_caches::parse_config;
use edge_isr::http::{Fields, RequestHead};

use super::latin1;

const NOW: Timestamp = Timestamp::from_seconds(1_795_253_820);
const TOKEN: &str = "0123456789abcdef";

thread_local! {
    static SITE: Option<(Config, Secrets)> = site();
}

fn site() -> Option<(Config, Secrets)> {
    let text = r#"{"control_hosts": ["purge.example.com"],
        "host_aliases": {"example.com": "www.example.com"}, "trusted_ips": ["10.0.0.0/8"]}"#;
    let secrets = Secrets::parse("", &format!("ci:revalidate:{TOKEN}"));
    Some((parse_config(text).ok()?, secrets.ok()?))
}

/// A call is a command with targets or a refusal in the 400s; and nobody makes one without the
/// token.
pub(crate) fn purge_apis(data: &[u8]) {
    SITE.with(|site| {
        let Some((config, secrets)) = site else { panic!("our own settings are refused") };
        check(data, config, secrets);
    });
}

fn check(data: &[u8], config: &Config, secrets: &Secrets) {
    let cut = data.windows(2).position(|pair| pair == b"\n\n").unwrap_or(data.len());
    let (head, body) = data.split_at(cut);
    let body = body.get(2..).unwrap_or_default();
    let text = latin1(head);
    let mut lines = text.split('\n');
    let mut next = || lines.next().unwrap_or_default().to_owned();
    let (method, path, query) = (next(), next(), next());
    let fields: Fields = lines
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
        .collect();
    let request = RequestHead {
        method,
        scheme: "https".to_owned(),
        host: "purge.example.com".to_owned(),
        path: format!("/{}", path.trim_start_matches('/')),
        query: Some(query).filter(|query| !query.is_empty()),
        fields,
        client: Some("192.0.2.7".to_owned()),
    };
    let Some(Ok(call)) = route(&request, config) else { return };
    if call.authenticate(&request, body, secrets, config, NOW).is_ok() {
        let shown = request.fields.iter().any(|(_, value)| !value.is_empty());
        assert!(shown, "nothing was shown");
    }
    match call.read(&request, body, config) {
        Ok(purge) => {
            assert!(!purge.command.targets.is_empty());
            let reply = purge.accepted(&PurgeOutcome { id: "job-1", epoch: Epoch(7), at: NOW });
            assert!((200..=201).contains(&reply.status), "{reply:?}");
        }
        Err(problem) => {
            let reply = call.refused(&PurgeRefusal::Content(problem));
            assert!((400..500).contains(&reply.status), "{reply:?}");
        }
    }
}
