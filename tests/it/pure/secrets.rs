//! Credentials at rest.

use painel_shared::secrets::{Keyring, Sealed, SecretError, fingerprint, random_token};
use painel_tests::stack::reveal;
use uuid::Uuid;

fn keyring(ids: &[(&str, u8)]) -> Keyring {
    Keyring::new(ids.iter().map(|(id, byte)| ((*id).to_owned(), vec![*byte; 32]))).unwrap()
}

#[test]
fn a_credential_opens_for_its_owner_only() {
    let (tenant, integration) = (Uuid::new_v4().into(), Uuid::new_v4().into());
    let ring = keyring(&[("a", 1)]);
    let token = random_token().unwrap();
    let sealed = ring.seal(&token, tenant, integration).unwrap();

    assert_eq!(reveal(&ring.open(&sealed, tenant, integration).unwrap()), reveal(&token));
    let elsewhere = ring.open(&sealed, Uuid::new_v4().into(), integration);
    assert!(matches!(elsewhere, Err(SecretError::Tampered)));
    let mut changed: Sealed = sealed.clone();
    changed.ciphertext[0] ^= 1;
    assert!(matches!(ring.open(&changed, tenant, integration), Err(SecretError::Tampered)));
}

#[test]
fn an_old_key_opens_and_the_first_one_seals() {
    let (tenant, integration) = (Uuid::new_v4().into(), Uuid::new_v4().into());
    let token = random_token().unwrap();
    let old = keyring(&[("old", 1)]).seal(&token, tenant, integration).unwrap();
    let ring = keyring(&[("new", 2), ("old", 1)]);
    assert_eq!(reveal(&ring.open(&old, tenant, integration).unwrap()), reveal(&token));
    assert_eq!(ring.seal(&token, tenant, integration).unwrap().key_id, "new");
    let without = keyring(&[("new", 2)]);
    assert!(matches!(without.open(&old, tenant, integration), Err(SecretError::UnknownKey(_))));
}

#[test]
fn a_token_has_256_bits_and_its_fingerprint_does_not_tell_it() {
    let token = random_token().unwrap();
    assert_eq!(reveal(&token).len(), 64);
    assert_eq!(fingerprint(&token).len(), 16);
    assert!(!reveal(&token).contains(&fingerprint(&token)));
    assert_ne!(reveal(&token), reveal(&random_token().unwrap()));
}
