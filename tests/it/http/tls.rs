//! HTTPS without a proxy: the certificate that is in the files, also when it changes.

use std::time::Duration;

use painel_api::tls::{Certificate, TlsConfig};
use painel_tests::{certificate, stack::with_stack, wait::eventually};
use reqwest::{Client, Response};

/// Asks as somebody who trusts that certificate alone, and has not asked before.
async fn ask(certificate: &str, url: &str) -> reqwest::Result<Response> {
    let root = reqwest::Certificate::from_pem(certificate.as_bytes()).unwrap();
    Client::builder().tls_certs_only([root]).build().unwrap().get(url).send().await
}

#[test]
fn the_certificate_is_served_read_again_and_kept_where_a_new_one_is_none() {
    with_stack(|stack| async move {
        let folder = tempfile::tempdir().unwrap();
        let first = certificate::write(folder.path());
        let file = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
        let set = [("PAINEL_TLS_CERT", file("cert.pem")), ("PAINEL_TLS_KEY", file("key.pem"))];
        let plain = stack.serve_with(&stack.vars.clone().overridden_by(set)).await.url;
        let url = plain.replace("http://127.0.0.1", "https://localhost") + "/health/live";
        assert_eq!(ask(&first, &url).await.unwrap().status(), 200);
        assert!(ask(&first, &(plain + "/health/live")).await.is_err(), "HTTP without TLS is not served there");
        let second = certificate::write(folder.path());
        eventually("the new certificate", Duration::from_secs(60), || async {
            let answered = ask(&second, &url).await;
            answered.ok().map(|answer| assert_eq!(answer.status(), 200))
        })
        .await;
        assert!(ask(&first, &url).await.is_err(), "the certificate before is shown no more");
        std::fs::write(folder.path().join("cert.pem"), "nothing").unwrap();
        let began = std::time::Instant::now();
        eventually("two more looks at the files", Duration::from_secs(60), || async {
            assert_eq!(ask(&second, &url).await.unwrap().status(), 200);
            (began.elapsed() > Duration::from_secs(11)).then_some(())
        })
        .await;
    });
}

#[test]
fn files_that_hold_no_certificate_are_named() {
    painel_shared::process::install_tls();
    let folder = tempfile::tempdir().unwrap();
    certificate::write(folder.path());
    let shown = folder.path().join("cert.pem");
    let other = tempfile::tempdir().unwrap();
    certificate::write(other.path());
    for (key, named) in [
        (folder.path().join("missing.pem"), "PAINEL_TLS_KEY is"),
        (shown.clone(), "PAINEL_TLS_KEY is"),
        (other.path().join("key.pem"), "PAINEL_TLS_CERT and PAINEL_TLS_KEY do not fit together"),
    ] {
        let refused = Certificate::read(TlsConfig { certificate: shown.clone(), key }).unwrap_err();
        assert!(format!("{refused:#}").contains(named), "{refused:#}");
    }
}
