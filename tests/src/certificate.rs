//! Certificates of the tests' own, for this machine.

use std::path::Path;

/// Writes a new certificate and its key to `cert.pem` and `key.pem` of that folder; the certificate, as it stands there.
pub fn write(folder: &Path) -> String {
    let names = ["localhost".to_owned(), "127.0.0.1".to_owned()];
    let rcgen::CertifiedKey { cert, signing_key } = rcgen::generate_simple_self_signed(names).unwrap();
    std::fs::write(folder.join("cert.pem"), cert.pem()).unwrap();
    std::fs::write(folder.join("key.pem"), signing_key.serialize_pem()).unwrap();
    cert.pem()
}
