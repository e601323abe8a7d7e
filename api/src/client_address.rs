//! Whose address a request comes from, where proxies stand in between.
//!
//! A proxy appends the address that it was asked from. Whatever stands left of what a trusted one has appended can have been
//! made up by anybody, so the list is read from the right, and no further than trusted proxies reach.

use std::net::IpAddr;

use actix_web::{HttpRequest, http::header};
use ipnet::IpNet;
use painel_shared::config::{ConfigError, Vars};

const PROXIES: &str = "PAINEL_TRUSTED_PROXIES";
const HEADER: &str = "PAINEL_TRUSTED_HEADER";

/// How a client's address is found.
#[derive(Clone, Debug)]
pub struct ClientAddress {
    proxies: TrustedProxies,
    header: TrustedHeader,
}

/// The one header that the proxies write: a client may have sent the other, and they let it pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum TrustedHeader {
    XForwardedFor,
    /// RFC 7239.
    Forwarded,
}

impl ClientAddress {
    /// Reads `PAINEL_TRUSTED_PROXIES` and `PAINEL_TRUSTED_HEADER`.
    pub fn from_vars(vars: &Vars) -> Result<Self, ConfigError> {
        let headers = [("x-forwarded-for", TrustedHeader::XForwardedFor), ("forwarded", TrustedHeader::Forwarded)];
        Ok(Self {
            proxies: TrustedProxies::from_vars(vars)?,
            header: vars.word_or(HEADER, &headers, TrustedHeader::XForwardedFor)?,
        })
    }

    /// Whether whoever connects from there speaks for others.
    pub fn is_trusted(&self, peer: IpAddr) -> bool {
        self.proxies.is_trusted(peer, 0)
    }

    /// The client of a request.
    pub fn of(&self, request: &HttpRequest) -> Option<IpAddr> {
        let peer = request.peer_addr()?.ip().to_canonical();
        let hops: Vec<Option<IpAddr>> = match self.header {
            TrustedHeader::XForwardedFor => {
                listed(request, "x-forwarded-for").iter().map(|hop| address(hop)).collect()
            }
            TrustedHeader::Forwarded => {
                let elements = listed(request, header::FORWARDED.as_str());
                elements.iter().map(|element| address(parameter_for(element)?)).collect()
            }
        };
        Some(self.proxies.client(peer, hops.into_iter().rev()))
    }
}

/// Which proxies are trusted to say whom they were asked by.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum TrustedProxies {
    /// None: whoever connects is the client.
    #[default]
    None,
    /// The last so many, whatever their addresses.
    Count(usize),
    /// Those of these networks.
    Networks(Vec<IpNet>),
}

impl TrustedProxies {
    /// Reads `PAINEL_TRUSTED_PROXIES`: a count, or networks separated by commas.
    pub fn from_vars(vars: &Vars) -> Result<Self, ConfigError> {
        let Some(text) = vars.text(PROXIES).map(str::trim).filter(|text| !text.is_empty()) else {
            return Ok(Self::None);
        };
        if let Ok(count) = text.parse() {
            return Ok(if count == 0 { Self::None } else { Self::Count(count) });
        }
        let network = |text: &str| text.parse().or_else(|_| text.parse::<IpAddr>().map(IpNet::from)).ok();
        let networks: Option<Vec<IpNet>> = text.split(',').map(|text| network(text.trim())).collect();
        networks.map(Self::Networks).ok_or_else(|| {
            ConfigError::new(
                PROXIES,
                format!(
                    "is `{text}`; it must be how many proxies there are, or their networks, such as 10.0.0.0/8"
                ),
            )
        })
    }

    /// Whether that address, with so many proxies between it and here, is a trusted proxy.
    fn is_trusted(&self, address: IpAddr, passed: usize) -> bool {
        match self {
            Self::None => false,
            Self::Count(count) => passed < *count,
            Self::Networks(networks) => networks.iter().any(|network| network.contains(&address)),
        }
    }

    /// The client, where `peer` has connected, and `hops` are the addresses that proxies were asked from, the last one's
    /// first. Where one of them is unreadable, nothing beyond it is known.
    pub fn client(&self, peer: IpAddr, hops: impl IntoIterator<Item = Option<IpAddr>>) -> IpAddr {
        let mut client = peer;
        for (passed, hop) in hops.into_iter().enumerate() {
            match hop {
                Some(hop) if self.is_trusted(client, passed) => client = hop,
                _ => break,
            }
        }
        client
    }
}

/// The elements of a header's list, over all lines of that name.
fn listed(request: &HttpRequest, name: &str) -> Vec<String> {
    let lines = request.headers().get_all(name).map(|value| String::from_utf8_lossy(value.as_bytes()));
    let elements =
        lines.flat_map(|line| line.split(',').map(|element| element.trim().to_owned()).collect::<Vec<_>>());
    elements.collect()
}

/// The `for` of an element of `Forwarded`.
fn parameter_for(element: &str) -> Option<&str> {
    let pairs = element.split(';').filter_map(|pair| pair.trim().split_once('='));
    pairs.into_iter().find(|(name, _)| name.eq_ignore_ascii_case("for")).map(|(_, value)| value.trim_matches('"'))
}

/// An address, with a port or without, in brackets or without.
fn address(text: &str) -> Option<IpAddr> {
    let bare = text.parse().ok();
    let bracketed =
        || text.strip_prefix('[').and_then(|rest| rest.split_once(']')).and_then(|(ip, _)| ip.parse().ok());
    let with_port = || text.parse::<std::net::SocketAddr>().ok().map(|socket| socket.ip());
    bare.or_else(with_port).or_else(bracketed).map(|ip: IpAddr| ip.to_canonical())
}
