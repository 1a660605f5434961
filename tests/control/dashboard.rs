//! Which request is for a file of the dashboard, and what goes with it.

use edge_isr::control::dashboard::{DashboardCall, dashboard, fields};
use edge_isr::http::{Fields, RequestHead};

fn request(method: &str, path: &str) -> RequestHead {
    RequestHead {
        method: method.to_owned(),
        scheme: "https".to_owned(),
        host: "example.com".to_owned(),
        path: path.to_owned(),
        query: None,
        fields: Fields::new(),
        client: None,
    }
}

#[test]
fn only_plain_names_below_the_prefix_are_files() {
    let rows = [
        ("GET", "/__isr/", Some("index.html")),
        ("HEAD", "/__isr/", Some("index.html")),
        ("GET", "/__isr/dashboard/app.js", Some("app.js")),
        ("GET", "/__isr/dashboard/u-plot.css", Some("u-plot.css")),
        ("POST", "/__isr/", None),
        ("PURGE", "/__isr/dashboard/app.js", None),
        ("GET", "/", None),
        ("GET", "/dashboard/app.js", None),
        ("GET", "/__isrx/", None),
        ("GET", "/__isr/v1/stats", None),
        ("GET", "/__isr/index.html", None),
        ("GET", "/__isr/dashboard", None),
        ("GET", "/__isr/dashboard/", None),
        ("GET", "/__isr/dashboard/.assetsignore", None),
        ("GET", "/__isr/dashboard/../wrangler.toml", None),
        ("GET", "/__isr/dashboard/..%2fa.js", None),
        ("GET", "/__isr/dashboard/a/b.js", None),
        ("GET", "/__isr/dashboard/App.js", None),
        ("GET", "/__isr/dashboard/a\\b", None),
    ];
    for (method, path, file) in rows {
        let request = request(method, path);
        assert_eq!(dashboard(&request, "/__isr"), file.map(DashboardCall::File), "{method} {path}");
    }
    let bare = request("GET", "/ops/cache");
    let moved = Some(DashboardCall::Moved("/ops/cache/".to_owned()));
    assert_eq!(dashboard(&bare, "/ops/cache"), moved);
}

#[test]
fn a_file_has_its_own_description_and_nothing_else_of_the_asset_servers() {
    let of_file = [
        ("content-type", "text/html; charset=utf-8"),
        ("etag", "\"1\""),
        ("cache-control", "public, max-age=31536000"),
        ("access-control-allow-origin", "*"),
        ("set-cookie", "a=1"),
    ];
    let fields = fields(&Fields::from_iter(of_file));
    assert_eq!(fields.get("content-type"), Some("text/html; charset=utf-8"));
    assert_eq!(fields.get("etag"), Some("\"1\""));
    assert_eq!(fields.all("cache-control").collect::<Vec<_>>(), ["no-cache"]);
    assert_eq!(fields.get("access-control-allow-origin"), None);
    assert_eq!(fields.get("set-cookie"), None);
    assert_eq!(fields.get("x-content-type-options"), Some("nosniff"));
    let policy = fields.get("content-security-policy").unwrap_or_default();
    assert!(policy.starts_with("default-src 'none'; "), "{policy}");
    for forbidden in ["unsafe", "http", "*"] {
        assert!(!policy.contains(forbidden), "{policy}");
    }
}
