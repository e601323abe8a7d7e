//! Calls to the tests' AWS services as their wire has them, for what the product never does.

use painel_shared::time::now;
use rustack_auth::{
    canonical::build_canonical_request,
    hash_payload,
    sigv4::{build_string_to_sign, compute_signature, derive_signing_key},
};
use serde_json::Value;

use crate::stack::access_key;

const REGION: &str = "us-east-1";
const SIGNED: [&str; 3] = ["host", "x-amz-date", "x-amz-target"];

/// Calls a service, signed (AWS Signature Version 4); what it answers.
pub(crate) async fn call(url: &str, service: &str, target: &str, body: &Value) -> String {
    let (body, host) = (body.to_string(), url.strip_prefix("http://").unwrap());
    let at = now().format("%Y%m%dT%H%M%SZ").to_string();
    let (date, _) = at.split_once('T').unwrap();
    let headers = [("host", host), ("x-amz-date", at.as_str()), ("x-amz-target", target)];
    let asked = build_canonical_request("POST", "/", "", &headers, &SIGNED, &hash_payload(body.as_bytes()));
    let scope = format!("{date}/{REGION}/{service}/aws4_request");
    let key = access_key();
    let signing_key = derive_signing_key(&key.secret, date, REGION, service).unwrap();
    let text = build_string_to_sign(&at, &scope, &hash_payload(asked.as_bytes()));
    let signature = compute_signature(&signing_key, &text).unwrap();
    let signed = SIGNED.join(";");
    let authorization =
        format!("AWS4-HMAC-SHA256 Credential={}/{scope}, SignedHeaders={signed}, Signature={signature}", key.id);
    let request = reqwest::Client::new()
        .post(url)
        .header("X-Amz-Date", &at)
        .header("X-Amz-Target", target)
        .header("Authorization", authorization)
        .header("Content-Type", "application/x-amz-json-1.0")
        .body(body);
    request.send().await.unwrap().error_for_status().unwrap().text().await.unwrap()
}
