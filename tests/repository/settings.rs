//! docs/configuration.md says of each setting what the parser does: its default and its bounds.
#![allow(clippy::expect_used, clippy::panic)]

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;

use edge_isr::config::Config;
use edge_isr::front_caches::parse_config;

/// A row: a setting's name, its default, and its bounds, if the table has them.
struct Row {
    name: String,
    default: String,
    bounds: Option<(String, String)>,
}

/// The rows of the first table below a heading.
fn rows(document: &str, heading: &str) -> Vec<Row> {
    let start = document.find(heading).expect(heading);
    let lines = document[start..].lines().skip_while(|line| !line.starts_with("| ---"));
    let lines = lines.skip(1).take_while(|line| line.starts_with('|'));
    let row = |line: &str| {
        let cells: Vec<&str> = line.split('|').map(str::trim).collect();
        let bounds = cells.get(3).and_then(|cell| cell.split_once('–'));
        let bounds = bounds.map(|(least, most)| (least.trim().to_owned(), most.trim().to_owned()));
        Row { name: cells[1].trim_matches('`').to_owned(), default: cells[2].to_owned(), bounds }
    };
    lines.map(row).collect()
}

/// What a cell says, as JSON: `1,000`, `true`, `["a"]`, `problems`; none if it describes it.
fn value(cell: &str) -> Option<serde_json::Value> {
    let written = cell.strip_prefix('`').and_then(|rest| rest.strip_suffix('`'));
    let plain = written.map_or_else(
        || cell.split(", or ").next().unwrap_or_default().replace(',', ""),
        str::to_owned,
    );
    match serde_json::from_str(&plain) {
        Ok(value) => Some(value),
        Err(_) => written.map(serde_json::Value::from),
    }
}

/// The settings with one of them set: of the site, or of routes.
fn with(name: &str, value: &serde_json::Value, of_routes: bool) -> Result<Config, String> {
    let settings = serde_json::json!({ name: value });
    let settings = if of_routes { serde_json::json!({ "defaults": settings }) } else { settings };
    parse_config(&settings.to_string()).map_err(|errors| format!("{name} = {value}: {errors:?}"))
}

fn checked(document: &str, heading: &str, of_routes: bool) -> (BTreeSet<String>, usize, usize) {
    let (mut names, mut defaults, mut bounds) = (BTreeSet::new(), 0, 0);
    for row in rows(document, heading) {
        if let Some(default) = value(&row.default) {
            let config =
                with(&row.name, &default, of_routes).unwrap_or_else(|error| panic!("{error}"));
            assert_eq!(config, Config::default(), "the default of {} is another one", row.name);
            defaults += 1;
        }
        let ends = row.bounds.iter().flat_map(|(least, most)| [(least, -1.0), (most, 1.0)]);
        for (end, beyond) in ends {
            let Some(end) = value(end).and_then(|end| end.as_f64()) else { continue };
            let set = |number: f64| with(&row.name, &serde_json::json!(number), of_routes);
            set(end).unwrap_or_else(|error| panic!("{error}"));
            assert!(set(end + beyond).is_err(), "{} takes more than {end}", row.name);
            bounds += 1;
        }
        assert!(names.insert(row.name.clone()), "{} stands twice", row.name);
    }
    (names, defaults, bounds)
}

/// The texts of a constant list of the parser.
fn listed(source: &str, name: &str) -> BTreeSet<String> {
    let start = source.find(&format!("const {name}: &[&str] = &[")).expect(name);
    let list = &source[start..][..source[start..].find("];").expect("the list's end")];
    list.split('"').skip(1).step_by(2).map(str::to_owned).collect()
}

#[test]
fn defaults_and_bounds_are_as_documented() {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    let text = |path: &str| fs::read_to_string(root.join(path)).expect(path);
    let document = text("docs/configuration.md");
    let (site, defaults, bounds) = checked(&document, "## Settings of the site", false);
    assert_eq!(site, listed(&text("src/config/parse.rs"), "SITE_KEYS"));
    assert!(defaults >= 18 && bounds >= 25, "{defaults} defaults, {bounds} bounds");
    let (routes, defaults, _) = checked(&document, "## Settings of routes", true);
    assert_eq!(routes, listed(&text("src/config/parse/route.rs"), "ROUTE_KEYS"));
    assert!(defaults >= 14, "{defaults} defaults");
}
