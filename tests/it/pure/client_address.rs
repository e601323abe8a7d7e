//! Nobody can make up the address under which they are noted.

use std::net::{IpAddr, Ipv4Addr};

use painel_api::client_address::TrustedProxies;
use painel_shared::config::Vars;
use proptest::prelude::*;

fn proxies(text: &str) -> TrustedProxies {
    let vars = Vars::default().overridden_by([("PAINEL_TRUSTED_PROXIES", text.to_owned())]);
    TrustedProxies::from_vars(&vars).unwrap()
}

fn ip(last: u8) -> IpAddr {
    Ipv4Addr::new(10, 0, 0, last).into()
}

#[test]
fn the_list_is_read_from_the_right_and_no_further_than_trust_reaches() {
    let outside: IpAddr = "203.0.113.9".parse().unwrap();
    let hops = |list: &[IpAddr]| list.iter().rev().copied().map(Some).collect::<Vec<_>>();
    let forged: IpAddr = "198.51.100.7".parse().unwrap();
    let table = [
        ("", ip(1), hops(&[outside]), ip(1)),
        ("0", ip(1), hops(&[outside]), ip(1)),
        ("1", ip(1), hops(&[forged, outside]), outside),
        ("2", ip(1), hops(&[forged, outside, ip(2)]), outside),
        ("2", ip(1), hops(&[outside]), outside),
        ("10.0.0.0/8", ip(1), hops(&[forged, outside, ip(2)]), outside),
        ("10.0.0.1", ip(1), hops(&[forged, outside, ip(2)]), ip(2)),
        ("10.0.0.0/8", outside, hops(&[forged]), outside),
        ("10.0.0.0/8", ip(1), hops(&[]), ip(1)),
        ("10.0.0.0/8", ip(1), vec![None, Some(forged)], ip(1)),
        ("10.0.0.0/8, 2001:db8::/32", "2001:db8::1".parse().unwrap(), hops(&[outside]), outside),
    ];
    for (trusted, peer, hops, client) in table {
        assert_eq!(proxies(trusted).client(peer, hops.clone()), client, "{trusted:?} {peer} {hops:?}");
    }
}

#[test]
fn what_is_no_count_and_no_network_is_named() {
    let vars = Vars::default().overridden_by([("PAINEL_TRUSTED_PROXIES", "10.0.0.0/8,proxy".to_owned())]);
    let error = TrustedProxies::from_vars(&vars).unwrap_err().to_string();
    assert!(error.contains("PAINEL_TRUSTED_PROXIES is `10.0.0.0/8,proxy`; it must be"), "{error}");
}

proptest! {
    #[test]
    fn what_a_client_sends_itself_changes_nothing(
        forged in proptest::collection::vec(proptest::option::of(any::<IpAddr>()), 0..5),
        passed in proptest::collection::vec(1..=250_u8, 0..4),
        client in any::<IpAddr>().prop_filter("outside", |ip| !ip.to_string().starts_with("10.")),
    ) {
        // Each trusted proxy has appended whom it was asked by; the last one has connected.
        let mut list = forged;
        list.push(Some(client));
        list.extend(passed.iter().map(|last| Some(ip(*last))));
        let count = passed.len() + 1;
        let hops = || list.iter().rev().copied();
        prop_assert_eq!(proxies("10.0.0.0/8").client(ip(251), hops()), client);
        prop_assert_eq!(proxies(&count.to_string()).client(ip(251), hops()), client);
    }
}
