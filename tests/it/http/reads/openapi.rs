//! The description names every route, and the page that shows it loads nothing from elsewhere.

use std::collections::BTreeSet;

use painel_tests::stack::with_stack;
use serde_json::Value;

use super::body;

/// The routes, from the one page where they are.
fn routes() -> BTreeSet<(String, String)> {
    let file = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../api/src/routes.rs");
    let text = std::fs::read_to_string(file).unwrap();
    let mut all = BTreeSet::new();
    for resource in text.split("resource(\"").skip(1) {
        let path = resource.split('"').next().unwrap();
        for (method, called) in [("get", "get()"), ("post", "post()"), ("put", "put()")] {
            if resource.contains(called) && path != "/openapi.json" {
                all.insert((path.to_owned(), method.to_owned()));
            }
        }
    }
    all
}

/// Every `$ref` in it.
fn references(value: &Value) -> Vec<&str> {
    match value {
        Value::Object(map) => {
            let own = map.get("$ref").and_then(Value::as_str);
            own.into_iter().chain(map.values().flat_map(references)).collect()
        }
        Value::Array(list) => list.iter().flat_map(references).collect(),
        _ => Vec::new(),
    }
}

#[test]
fn every_route_is_described_and_nothing_else() {
    with_stack(|stack| async move {
        let client = stack.serve().await.with_token(None);
        let description = body(&client, "/openapi.json").await;
        let mut described = BTreeSet::new();
        let mut ids = BTreeSet::new();
        for (path, methods) in description["paths"].as_object().unwrap() {
            for (method, operation) in methods.as_object().unwrap() {
                described.insert((path.clone(), method.clone()));
                let id = operation["operationId"].as_str().unwrap().to_owned();
                assert!(ids.insert(id.clone()), "{method} {path}: another operation is called {id}");
                let answers = operation["responses"].as_object().unwrap();
                assert!(answers.keys().any(|status| status.starts_with('2')), "{method} {path}");
                let open = path.starts_with("/health");
                assert_eq!(answers.contains_key("401"), !open, "{method} {path}");
            }
        }
        assert_eq!(described, routes());
        for reference in references(&description) {
            let found = description.pointer(reference.strip_prefix('#').unwrap());
            assert!(found.is_some(), "{reference} leads nowhere");
        }
        assert!(described.len() >= 16);
        assert_eq!(description["components"]["securitySchemes"]["bearer"]["scheme"], "bearer");
    });
}

#[test]
fn the_page_loads_nothing_from_elsewhere() {
    with_stack(|stack| async move {
        let client = stack.serve().await.with_token(None);
        for path in ["/docs/", "/docs/swagger-initializer.js", "/docs/index.css"] {
            let response = client.request(reqwest::Method::GET, path).send().await.unwrap();
            assert_eq!(response.status(), 200, "{path}");
            let text = response.text().await.unwrap();
            let loads = ["src=\"http", "href=\"http", "url(http", "@import"];
            assert!(loads.iter().all(|load| !text.contains(load)), "{path}: {text}");
        }
    });
}
